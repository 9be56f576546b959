# With the real programs: the command line (cli-), the service of a volume group (service-), the NBD
# server (nbd-), lvm2 (lvm-), a libvirtd of the test's own (libvirt-, storage-, xml), make (dist).
integration_tests = \
	tests/integration/cli-advice.sh \
	tests/integration/cli-archive.sh \
	tests/integration/cli-backup-faults.sh \
	tests/integration/cli-backup.sh \
	tests/integration/cli-bad-input.sh \
	tests/integration/cli-claim.sh \
	tests/integration/cli-delta.sh \
	tests/integration/cli-dump.sh \
	tests/integration/cli-repair.sh \
	tests/integration/cli-enable.sh \
	tests/integration/cli-extend.sh \
	tests/integration/cli-fixtures-lvm.sh \
	tests/integration/cli-fixtures.sh \
	tests/integration/cli-full-disk.sh \
	tests/integration/cli-grow.sh \
	tests/integration/cli-growing.sh \
	tests/integration/cli-health.sh \
	tests/integration/cli-holders.sh \
	tests/integration/cli-images-foreign.sh \
	tests/integration/cli-images.sh \
	tests/integration/cli-look.sh \
	tests/integration/cli-metrics.sh \
	tests/integration/cli-mount-session.sh \
	tests/integration/cli-mount.sh \
	tests/integration/cli-outputs.sh \
	tests/integration/cli-private.sh \
	tests/integration/cli-release.sh \
	tests/integration/cli-replicate.sh \
	tests/integration/cli-restore-metadata.sh \
	tests/integration/cli-sanitized.sh \
	tests/integration/cli-rescue.sh \
	tests/integration/cli-schedule.sh \
	tests/integration/cli-sectors.sh \
	tests/integration/cli-send.sh \
	tests/integration/cli-served.sh \
	tests/integration/cli-storage-check.sh \
	tests/integration/cli-storage-folder-stream.sh \
	tests/integration/cli-storage-folder.sh \
	tests/integration/cli-storage.sh \
	tests/integration/cli-terminal.sh \
	tests/integration/cli-top.sh \
	tests/integration/cli-tree.sh \
	tests/integration/cli-usage.sh \
	tests/integration/cli-usage-command.sh \
	tests/integration/cli-volumes.sh \
	tests/integration/cli-whole-disks.sh \
	tests/integration/dist.sh \
	tests/integration/docs-backup.sh \
	tests/integration/docs-walk.sh \
	tests/integration/folders.sh \
	tests/integration/format.sh \
	tests/integration/libvirt-behind.sh \
	tests/integration/libvirt-clients.sh \
	tests/integration/libvirt-data.sh \
	tests/integration/libvirt-datastore.sh \
	tests/integration/libvirt-domain-snapshots.sh \
	tests/integration/libvirt-failover.sh \
	tests/integration/libvirt-hang.sh \
	tests/integration/libvirt-harness.sh \
	tests/integration/libvirt-pool.sh \
	tests/integration/libvirt-scale.sh \
	tests/integration/libvirt-shim.sh \
	tests/integration/libvirt-sparse.sh \
	tests/integration/libvirt-thick.sh \
	tests/integration/libvirt-uninstall.sh \
	tests/integration/libvirt-volume.sh \
	tests/integration/lvm-judges.sh \
	tests/integration/lvm-marks.sh \
	tests/integration/nbd-clients.sh \
	tests/integration/nbd-pool.sh \
	tests/integration/nbd-since.sh \
	tests/integration/quickstart.sh \
	tests/integration/service-attack.sh \
	tests/integration/service-crash.sh \
	tests/integration/service-freeze.sh \
	tests/integration/service-fuse.sh \
	tests/integration/service-kill.sh \
	tests/integration/service-life.sh \
	tests/integration/service-lost.sh \
	tests/integration/service-nodes.sh \
	tests/integration/service-session.sh \
	tests/integration/service-under-fire.sh \
	tests/integration/service-unit.sh \
	tests/integration/service-user.sh \
	tests/integration/service-zeros.sh \
	tests/integration/storage-apply.sh \
	tests/integration/storage-iscsi-direct.sh \
	tests/integration/storagecfg-xml.sh \
	tests/integration/without-root.sh \
	tests/integration/xml.sh
EXTRA_DIST += $(integration_tests) \
	tests/integration/lib.sh tests/integration/cli-lib.sh tests/integration/libvirt-lib.sh \
	tests/integration/docs-lib.sh tests/integration/ssh-lib.sh \
	tests/integration/make-root \
	tests/integration/service-lib.sh tests/integration/storage-life.sh \
	tests/integration/validate-json tests/integration/fuse-manners.py \
	tests/integration/flush-log.py \
	tests/integration/md-mark.py \
	tests/integration/nbd-since.py \
	tests/integration/advice.py tests/integration/advice.txt tests/integration/metrics-alerts.yml \
	tests/fixtures/pools tests/fixtures/storagecfg-pools tests/fixtures/make-pools

check_PROGRAMS += \
	tests/integration/file-service \
	tests/integration/freeze-tool \
	tests/integration/libvirt-harness \
	tests/integration/lvm-tool \
	tests/integration/make-volumes \
	tests/integration/nbd-serve \
	tests/integration/thin-service
# The service over plain files (holder, FUSE folder and block nodes alone), and over a volume group.
tests_integration_file_service_SOURCES = \
	tests/integration/service-tool.c tests/integration/file-pool.c
tests_integration_thin_service_SOURCES = tests/integration/service-tool.c
# What it needs of the backend's own files: libvirt's functions and fields.
tests_integration_libvirt_harness_SOURCES = tests/integration/libvirt-harness.c \
	src/libvirt/vtbackend-layout.c src/libvirt/vtbackend-libvirt.c
tests_integration_libvirt_harness_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS)
tests_integration_libvirt_harness_LDADD = $(LDADD) $(LIBVIRT_LIBS)

# Preloaded into libvirtd by libvirt-shim.sh.
check_LTLIBRARIES += tests/integration/libvirt-wrong-layout.la
tests_integration_libvirt_wrong_layout_la_SOURCES = tests/integration/libvirt-wrong-layout.c
tests_integration_libvirt_wrong_layout_la_CFLAGS = $(WARN)
tests_integration_libvirt_wrong_layout_la_LDFLAGS = \
	-module -avoid-version -shared -rpath /nowhere
tests_integration_libvirt_wrong_layout_la_LIBADD = -ldl
