# storage.cfg
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-storagecfg
TESTS += tests/unit/test-storagecfg
endif
tests_unit_test_storagecfg_SOURCES = tests/unit/test-storagecfg.c
tests_unit_test_storagecfg_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_storagecfg_LDADD = src/storagecfg/libstoragecfg.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
