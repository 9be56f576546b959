# The service over plain files (holder, FUSE folder and block nodes alone), and over a volume group.
check_PROGRAMS += tests/integration/file-service tests/integration/thin-service
tests_integration_file_service_SOURCES = tests/integration/service-tool.c tests/integration/file-pool.c
tests_integration_file_service_LDADD = src/service/libservice.la src/pool/libpool.la src/control/libcontrol.la src/util/libutil.la $(GLIB_LIBS)
tests_integration_thin_service_SOURCES = tests/integration/service-tool.c
tests_integration_thin_service_LDADD = src/service/libservice.la src/pool/libpool-bundled.la src/pool/libpool.la src/control/libcontrol.la \
	src/lvm/liblvm.la src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS)

service_tests = \
	tests/integration/service-crash.sh \
	tests/integration/service-fuse.sh \
	tests/integration/service-kill.sh \
	tests/integration/service-life.sh \
	tests/integration/service-nodes.sh \
	tests/integration/service-session.sh
TESTS += $(service_tests)
EXTRA_DIST += $(service_tests) tests/integration/service-lib.sh tests/integration/fuse-manners.py tests/integration/flush-log.py
