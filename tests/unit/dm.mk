# Tests of the kernel's side, as far as they need no kernel.
if HAVE_CMOCKA
dm_tests = tests/unit/test-device-filter tests/unit/test-thin-reader tests/unit/test-watch
check_PROGRAMS += $(dm_tests)
TESTS += $(dm_tests)
endif
tests_unit_test_thin_reader_SOURCES = tests/unit/test-thin-reader.c $(thin_metadata_helper)
tests_unit_test_thin_reader_CPPFLAGS = $(thin_metadata_cppflags)
tests_unit_test_thin_reader_LDADD = src/dm/libdm.la src/lvm/liblvm.la $(thin_metadata_ldadd)
tests_unit_test_watch_SOURCES = tests/unit/test-watch.c
tests_unit_test_watch_LDADD = src/dm/libdm.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
tests_unit_test_device_filter_SOURCES = tests/unit/test-device-filter.c
tests_unit_test_device_filter_LDADD = src/dm/libdm.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
