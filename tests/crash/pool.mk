# Power cuts at the level of the pool: VG text and thin pool together.
pool_crash_tests = tests/crash/pool-power-cut
check_PROGRAMS += $(pool_crash_tests)
TESTS += $(pool_crash_tests)
tests_crash_pool_power_cut_SOURCES = tests/crash/pool-power-cut.c
tests_crash_pool_power_cut_LDADD = src/pool/libpool-bundled.la src/pool/libpool.la src/control/libcontrol.la src/lvm/liblvm.la src/thin/libthin.la \
	src/util/libutil.la $(GLIB_LIBS) $(BLKID_LIBS) $(ZLIB_LIBS)
