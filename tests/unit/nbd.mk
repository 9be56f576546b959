# The NBD server over a pool in memory.
if HAVE_CMOCKA
nbd_unit_tests = tests/unit/test-nbd-handshake tests/unit/test-nbd-requests tests/unit/test-nbd-clients
check_PROGRAMS += $(nbd_unit_tests)
TESTS += $(nbd_unit_tests)
check_LTLIBRARIES += tests/unit/libnbdtest.la
endif
tests_unit_libnbdtest_la_SOURCES = \
	tests/unit/nbd-client.c tests/unit/nbd-client.h tests/unit/memory-pool.c tests/unit/memory-pool.h
tests_unit_libnbdtest_la_LIBADD = src/service/libnbdserver.la src/control/libcontrol.la src/pool/libpool.la src/util/libutil.la $(GLIB_LIBS)
nbd_test_ldadd = tests/unit/libnbdtest.la $(CMOCKA_LIBS) $(GLIB_LIBS)
tests_unit_test_nbd_handshake_SOURCES = tests/unit/test-nbd-handshake.c
tests_unit_test_nbd_handshake_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_nbd_handshake_LDADD = $(nbd_test_ldadd)
tests_unit_test_nbd_requests_SOURCES = tests/unit/test-nbd-requests.c
tests_unit_test_nbd_requests_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_nbd_requests_LDADD = $(nbd_test_ldadd)
tests_unit_test_nbd_clients_SOURCES = tests/unit/test-nbd-clients.c
tests_unit_test_nbd_clients_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_nbd_clients_LDADD = $(nbd_test_ldadd)
