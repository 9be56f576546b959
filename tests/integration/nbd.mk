# The NBD server with real clients.
check_PROGRAMS += tests/integration/nbd-serve
TESTS += tests/integration/nbd-clients.sh tests/integration/nbd-pool.sh
EXTRA_DIST += tests/integration/nbd-clients.sh tests/integration/nbd-pool.sh
tests_integration_nbd_serve_SOURCES = tests/integration/nbd-serve.c
tests_integration_nbd_serve_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit
tests_integration_nbd_serve_LDADD = tests/unit/libnbdtest.la $(GLIB_LIBS)
