# The pool: its rules, and the bundled implementation.
if HAVE_CMOCKA
pool_tests = \
	tests/unit/test-pool-rules \
	tests/unit/test-pool-bundled \
	tests/unit/test-pool-fixtures \
	tests/unit/test-pool-bad-input \
	tests/unit/test-pool-overcommit \
	tests/unit/test-pool-scale \
	tests/unit/test-pool-io-errors \
	tests/unit/test-pool-strangers
check_PROGRAMS += $(pool_tests)
TESTS += $(pool_tests)
endif

tests_unit_test_pool_rules_SOURCES = tests/unit/test-pool-rules.c
tests_unit_test_pool_rules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pool_rules_LDADD = src/pool/libpool.la src/lvm/liblvm.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)

pool_helper = tests/unit/pool-helper.c tests/unit/pool-helper.h
pool_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(CMOCKA_CFLAGS)
pool_ldadd = src/pool/libpool-bundled.la src/pool/libpool.la src/control/libcontrol.la src/lvm/liblvm.la src/thin/libthin.la src/util/libutil.la \
	$(GLIB_LIBS) $(BLKID_LIBS) $(ZLIB_LIBS) $(CMOCKA_LIBS)

tests_unit_test_pool_bundled_SOURCES = tests/unit/test-pool-bundled.c $(pool_helper)
tests_unit_test_pool_bundled_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_bundled_LDADD = $(pool_ldadd)

tests_unit_test_pool_fixtures_SOURCES = tests/unit/test-pool-fixtures.c $(pool_helper)
tests_unit_test_pool_fixtures_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_fixtures_LDADD = $(pool_ldadd)

tests_unit_test_pool_bad_input_SOURCES = tests/unit/test-pool-bad-input.c $(pool_helper)
tests_unit_test_pool_bad_input_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_bad_input_LDADD = $(pool_ldadd)

tests_unit_test_pool_overcommit_SOURCES = tests/unit/test-pool-overcommit.c $(pool_helper)
tests_unit_test_pool_overcommit_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_overcommit_LDADD = $(pool_ldadd)

tests_unit_test_pool_scale_SOURCES = tests/unit/test-pool-scale.c $(pool_helper)
tests_unit_test_pool_scale_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_scale_LDADD = $(pool_ldadd)

tests_unit_test_pool_io_errors_SOURCES = tests/unit/test-pool-io-errors.c $(pool_helper)
tests_unit_test_pool_io_errors_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_io_errors_LDADD = $(pool_ldadd)

tests_unit_test_pool_strangers_SOURCES = tests/unit/test-pool-strangers.c $(pool_helper)
tests_unit_test_pool_strangers_CPPFLAGS = $(pool_cppflags)
tests_unit_test_pool_strangers_LDADD = $(pool_ldadd)

