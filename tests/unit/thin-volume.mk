# Tests of the engine's data plane.
if HAVE_CMOCKA
thin_volume_tests = \
	tests/unit/test-thin-volume \
	tests/unit/test-thin-space \
	tests/unit/test-thin-fixtures
check_PROGRAMS += $(thin_volume_tests)
TESTS += $(thin_volume_tests)
endif
thin_harness = tests/unit/thin-harness.c tests/unit/thin-harness.h
thin_volume_ldadd = src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS) $(CMOCKA_LIBS)

tests_unit_test_thin_volume_SOURCES = tests/unit/test-thin-volume.c $(thin_harness)
tests_unit_test_thin_volume_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_thin_volume_LDADD = $(thin_volume_ldadd)
tests_unit_test_thin_space_SOURCES = tests/unit/test-thin-space.c $(thin_harness)
tests_unit_test_thin_space_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_thin_space_LDADD = $(thin_volume_ldadd)
tests_unit_test_thin_fixtures_SOURCES = tests/unit/test-thin-fixtures.c $(pool_helper)
tests_unit_test_thin_fixtures_CPPFLAGS = $(pool_cppflags)
tests_unit_test_thin_fixtures_LDADD = $(pool_ldadd)
