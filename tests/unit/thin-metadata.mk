# Tests of the thin metadata.
if HAVE_CMOCKA
thin_metadata_tests = \
	tests/unit/test-thin-metadata \
	tests/unit/test-thin-btree \
	tests/unit/test-thin-check \
	tests/unit/test-thin-faults \
	tests/unit/test-thin-model
check_PROGRAMS += $(thin_metadata_tests)
TESTS += $(thin_metadata_tests) tests/unit/thin-metadata-sanitizers.sh
endif
thin_metadata_helper = tests/unit/thin-helper.c tests/unit/thin-helper.h
thin_metadata_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
thin_metadata_ldadd = src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS) $(CMOCKA_LIBS)

tests_unit_test_thin_metadata_SOURCES = tests/unit/test-thin-metadata.c $(thin_metadata_helper)
tests_unit_test_thin_metadata_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_metadata_LDADD = $(thin_metadata_ldadd)

tests_unit_test_thin_check_SOURCES = tests/unit/test-thin-check.c $(thin_metadata_helper)
tests_unit_test_thin_check_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_check_LDADD = $(thin_metadata_ldadd)

tests_unit_test_thin_model_SOURCES = tests/unit/test-thin-model.c $(thin_metadata_helper)
tests_unit_test_thin_model_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_model_LDADD = $(thin_metadata_ldadd)

tests_unit_test_thin_btree_SOURCES = tests/unit/test-thin-btree.c $(thin_metadata_helper)
tests_unit_test_thin_btree_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_btree_LDADD = $(thin_metadata_ldadd)

tests_unit_test_thin_faults_SOURCES = tests/unit/test-thin-faults.c $(thin_metadata_helper)
tests_unit_test_thin_faults_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_faults_LDADD = $(thin_metadata_ldadd)

EXTRA_DIST += tests/fixtures/thin-metadata tests/unit/thin-metadata-sanitizers.sh
