# Tests of the kernel's side, as far as they need no kernel.
if HAVE_CMOCKA
dm_tests = tests/unit/test-thin-reader
check_PROGRAMS += $(dm_tests)
TESTS += $(dm_tests)
endif
tests_unit_test_thin_reader_SOURCES = tests/unit/test-thin-reader.c $(thin_metadata_helper)
tests_unit_test_thin_reader_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_reader_LDADD = src/dm/libdm.la src/lvm/liblvm.la $(thin_metadata_ldadd)
