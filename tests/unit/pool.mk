# The pool: its rules, and the bundled implementation.
if HAVE_CMOCKA
pool_tests = \
	tests/unit/test-pool-rules
check_PROGRAMS += $(pool_tests)
TESTS += $(pool_tests)
endif

tests_unit_test_pool_rules_SOURCES = tests/unit/test-pool-rules.c
tests_unit_test_pool_rules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pool_rules_LDADD = src/pool/libpool.la src/lvm/liblvm.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
