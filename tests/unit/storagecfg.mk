# storage.cfg
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-storagecfg tests/unit/test-storagecfg-pools tests/unit/test-pool-guest
TESTS += tests/unit/test-storagecfg tests/unit/test-storagecfg-pools tests/unit/test-pool-guest
endif
tests_unit_test_storagecfg_SOURCES = tests/unit/test-storagecfg.c
tests_unit_test_storagecfg_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_storagecfg_LDADD = src/storagecfg/libstoragecfg.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
tests_unit_test_storagecfg_pools_SOURCES = tests/unit/test-storagecfg-pools.c
tests_unit_test_storagecfg_pools_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_storagecfg_pools_LDADD = src/storagecfg/libstoragecfg.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)

# What each type of storage becomes, and that libvirt's schema takes it.
EXTRA_DIST += tests/fixtures/storagecfg-pools
TESTS += tests/integration/storagecfg-xml.sh
EXTRA_DIST += tests/integration/storagecfg-xml.sh
tests_unit_test_pool_guest_SOURCES = tests/unit/test-pool-guest.c
tests_unit_test_pool_guest_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pool_guest_LDADD = src/pool/libpool.la src/control/libcontrol.la src/lvm/liblvm.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
