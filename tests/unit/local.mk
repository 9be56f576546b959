# cmocka programs; each prints TAP.
if HAVE_CMOCKA
unit_tests = \
	tests/unit/test-util
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

tests_unit_test_util_SOURCES = tests/unit/test-util.c
tests_unit_test_util_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_util_LDADD = src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
