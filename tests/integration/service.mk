# The service over plain files: tests of holder, FUSE folder and block nodes alone.
check_PROGRAMS += tests/integration/file-service
tests_integration_file_service_SOURCES = tests/integration/file-service.c
tests_integration_file_service_LDADD = src/service/libservice.la src/pool/libpool.la src/control/libcontrol.la src/util/libutil.la $(GLIB_LIBS)
