# integration
EXTRA_DIST += tests/integration/lib.sh tests/integration/libvirt-lib.sh

libvirt_integration_tests = \
	tests/integration/libvirt-clients.sh \
	tests/integration/libvirt-data.sh \
	tests/integration/libvirt-hang.sh \
	tests/integration/libvirt-harness.sh \
	tests/integration/libvirt-pool.sh \
	tests/integration/libvirt-scale.sh \
	tests/integration/libvirt-shim.sh \
	tests/integration/libvirt-thick.sh \
	tests/integration/libvirt-volume.sh \
	tests/integration/storage-apply.sh \
	tests/integration/storage-iscsi-direct.sh \
	tests/integration/xml.sh
TESTS += $(libvirt_integration_tests)
EXTRA_DIST += $(libvirt_integration_tests)
check_PROGRAMS += tests/integration/make-volumes
tests_integration_make_volumes_SOURCES = tests/integration/make-volumes.c
tests_integration_make_volumes_LDADD = src/thin/libthin.la src/lvm/liblvm.la $(GLIB_LIBS) $(ZLIB_LIBS)
# Linked against what it needs of the backend's own files: libvirt's functions and fields.
check_PROGRAMS += tests/integration/libvirt-harness
tests_integration_libvirt_harness_SOURCES = tests/integration/libvirt-harness.c src/libvirt/vtbackend-layout.c src/libvirt/vtbackend-libvirt.c
tests_integration_libvirt_harness_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS)
tests_integration_libvirt_harness_LDADD = src/util/libutil.la $(GLIB_LIBS) $(LIBVIRT_LIBS)
# Preloaded into libvirtd by libvirt-shim.sh.
check_LTLIBRARIES += tests/integration/libvirt-wrong-layout.la
tests_integration_libvirt_wrong_layout_la_SOURCES = tests/integration/libvirt-wrong-layout.c
tests_integration_libvirt_wrong_layout_la_CFLAGS = $(WARN)
tests_integration_libvirt_wrong_layout_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_integration_libvirt_wrong_layout_la_LIBADD = -ldl

TESTS += tests/integration/quickstart.sh
EXTRA_DIST += tests/integration/quickstart.sh
