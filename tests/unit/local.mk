# One case a file, named for what it asks; each links tests/libhelpers.la and all of src (LDADD).
unit_tests = \
	tests/unit/test-block-stack \
	tests/unit/test-control \
	tests/unit/test-control-users \
	tests/unit/test-device-filter \
	tests/unit/test-failover \
	tests/unit/test-growth \
	tests/unit/test-interrupt \
	tests/unit/test-io-tail \
	tests/unit/test-journal \
	tests/unit/test-libvirt-layout \
	tests/unit/test-lvm-changes \
	tests/unit/test-lvm-commit \
	tests/unit/test-lvm-content \
	tests/unit/test-lvm-content-faults \
	tests/unit/test-lvm-corners \
	tests/unit/test-lvm-faults \
	tests/unit/test-lvm-grow \
	tests/unit/test-lvm-label \
	tests/unit/test-lvm-large \
	tests/unit/test-lvm-like \
	tests/unit/test-lvm-machine \
	tests/unit/test-lvm-mend \
	tests/unit/test-lvm-mutations \
	tests/unit/test-lvm-opening \
	tests/unit/test-lvm-odd-texts \
	tests/unit/test-lvm-places \
	tests/unit/test-lvm-store \
	tests/unit/test-lvm-text \
	tests/unit/test-lvm-texts \
	tests/unit/test-lvm-vg \
	tests/unit/test-lvm-volumes \
	tests/unit/test-nbd-clients \
	tests/unit/test-nbd-handshake \
	tests/unit/test-nbd-requests \
	tests/unit/test-nbd-since \
	tests/unit/test-pool-bad-input \
	tests/unit/test-pool-bundled \
	tests/unit/test-pool-devices \
	tests/unit/test-pool-fixtures \
	tests/unit/test-pool-guest \
	tests/unit/test-pool-io-errors \
	tests/unit/test-pool-limits \
	tests/unit/test-pool-plan \
	tests/unit/test-pool-room \
	tests/unit/test-pool-rules \
	tests/unit/test-pool-scale \
	tests/unit/test-pool-strangers \
	tests/unit/test-retention \
	tests/unit/test-schedule \
	tests/unit/test-settings \
	tests/unit/test-storagecfg \
	tests/unit/test-storagecfg-edit \
	tests/unit/test-storagecfg-pools \
	tests/unit/test-storagecfg-values \
	tests/unit/test-stream \
	tests/unit/test-thin-btree \
	tests/unit/test-thin-btree-faults \
	tests/unit/test-thin-check \
	tests/unit/test-thin-delta \
	tests/unit/test-thin-dump \
	tests/unit/test-thin-faults \
	tests/unit/test-thin-fixtures \
	tests/unit/test-thin-mend \
	tests/unit/test-thin-metadata \
	tests/unit/test-thin-model \
	tests/unit/test-thin-mutations \
	tests/unit/test-thin-pool-faults \
	tests/unit/test-thin-reader \
	tests/unit/test-thin-reads \
	tests/unit/test-thin-rebuild \
	tests/unit/test-thin-roots \
	tests/unit/test-thin-refusals \
	tests/unit/test-thin-salvage \
	tests/unit/test-thin-space \
	tests/unit/test-thin-usage \
	tests/unit/test-thin-volume \
	tests/unit/test-transfer \
	tests/unit/test-transfer-history \
	tests/unit/test-util \
	tests/unit/test-worker \
	tests/unit/test-watch
check_PROGRAMS += $(unit_tests)
unit_scripts = tests/unit/thin-metadata-sanitizers.sh
EXTRA_DIST += $(unit_scripts) tests/fixtures/lvm tests/fixtures/thin-metadata

# The backend's own files, which are in no library.
tests_unit_test_libvirt_layout_SOURCES = tests/unit/test-libvirt-layout.c \
	src/libvirt/vtbackend-layout.c src/libvirt/vtbackend-libvirt.c

# The program's own, too.
# A flush that fails.
tests_unit_test_util_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fdatasync
# Calls that look into a device, and fail.
tests_unit_test_lvm_content_faults_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pread -Wl,--wrap=lseek \
	-Wl,--wrap=fstat -Wl,--wrap=fallocate -Wl,--wrap=fdatasync -Wl,--wrap=blkid_new_probe \
	-Wl,--wrap=blkid_probe_set_device -Wl,--wrap=blkid_do_probe \
	-Wl,--wrap=g_file_get_contents -Wl,--wrap=g_file_test
# What the machine says of itself.
tests_unit_test_lvm_machine_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=g_get_host_name \
	-Wl,--wrap=g_file_get_contents -Wl,--wrap=g_file_set_contents_full \
	-Wl,--wrap=g_get_monotonic_time -Wl,--wrap=g_try_malloc
tests_unit_test_stream_SOURCES = tests/unit/test-stream.c $(stream_sources) \
	src/image/interrupt.h src/image/interrupt.c
tests_unit_test_stream_LDADD = $(LDADD) $(ZSTD_LIBS)
transfer_test_sources = tests/unit/transfer-helper.h tests/unit/transfer-helper.c \
	$(transfer_sources) $(stream_sources) src/image/interrupt.h src/image/interrupt.c \
	src/cli/tell.c src/cli/progress.h src/cli/progress.c
tests_unit_test_transfer_SOURCES = tests/unit/test-transfer.c $(transfer_test_sources)
tests_unit_test_transfer_LDADD = $(LDADD) $(ZSTD_LIBS)
tests_unit_test_transfer_history_SOURCES = tests/unit/test-transfer-history.c \
	$(transfer_test_sources)
tests_unit_test_transfer_history_LDADD = $(LDADD) $(ZSTD_LIBS)
tests_unit_test_failover_SOURCES = tests/unit/test-failover.c \
	src/apply/domain-xml.c src/schedule/first-host.c src/schedule/history.c \
	src/schedule/nvram.c src/schedule/replicas.c src/schedule/schedule.c
tests_unit_test_failover_CFLAGS = $(AM_CFLAGS) $(XML_CFLAGS)
tests_unit_test_failover_LDADD = $(LDADD) $(XML_LIBS)
# What of schedules opens no volume group by itself.
tests_unit_test_schedule_SOURCES = tests/unit/test-schedule.c \
	src/schedule/file.c src/schedule/history.c src/schedule/report.c \
	src/schedule/schedule.c src/schedule/sets.c src/schedule/snapshots.c

# A file of the program's alone.
tests_unit_test_interrupt_SOURCES = tests/unit/test-interrupt.c src/image/interrupt.c
