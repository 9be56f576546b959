# Long random runs of the engine, power cuts, many threads. Each prints what it did, and has a longer form under $VIRT_THIN_TEST_LONG.
thin_crash_tests = \
	tests/crash/model-run \
	tests/crash/power-cut \
	tests/crash/power-cut-threads \
	tests/crash/io-failures \
	tests/crash/engine-death \
	tests/crash/concurrency
check_PROGRAMS += $(thin_crash_tests)
TESTS += $(thin_crash_tests) tests/crash/sanitizers.sh
EXTRA_DIST += tests/crash/sanitizers.sh
thin_crash_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/unit
thin_crash_ldadd = src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS)
thin_crash_harness = tests/unit/thin-harness.c tests/unit/thin-harness.h
thin_crash_scenario = tests/crash/scenario.c tests/crash/scenario.h

tests_crash_model_run_SOURCES = tests/crash/model-run.c $(thin_crash_scenario) $(thin_crash_harness)
tests_crash_model_run_CPPFLAGS = $(thin_crash_cppflags)
tests_crash_model_run_LDADD = $(thin_crash_ldadd)
tests_crash_power_cut_SOURCES = tests/crash/power-cut.c $(thin_crash_scenario) $(thin_crash_harness)
tests_crash_power_cut_CPPFLAGS = $(thin_crash_cppflags)
tests_crash_power_cut_LDADD = $(thin_crash_ldadd)
tests_crash_concurrency_SOURCES = tests/crash/concurrency.c $(thin_crash_harness)
tests_crash_concurrency_CPPFLAGS = $(thin_crash_cppflags)
tests_crash_concurrency_LDADD = $(thin_crash_ldadd)
tests_crash_power_cut_threads_SOURCES = tests/crash/power-cut-threads.c $(thin_crash_harness)
tests_crash_power_cut_threads_CPPFLAGS = $(thin_crash_cppflags)
tests_crash_power_cut_threads_LDADD = $(thin_crash_ldadd)
tests_crash_io_failures_SOURCES = tests/crash/io-failures.c $(thin_crash_scenario) $(thin_crash_harness)
tests_crash_io_failures_CPPFLAGS = $(thin_crash_cppflags)
tests_crash_io_failures_LDADD = $(thin_crash_ldadd)
tests_crash_engine_death_SOURCES = tests/crash/engine-death.c $(thin_crash_scenario) $(thin_crash_harness)
tests_crash_engine_death_CPPFLAGS = $(thin_crash_cppflags)
tests_crash_engine_death_LDADD = $(thin_crash_ldadd)

# The same for a whole volume group.
if HAVE_CMOCKA
check_PROGRAMS += tests/crash/pool-model-run
TESTS += tests/crash/pool-model-run
endif
tests_crash_pool_model_run_SOURCES = tests/crash/pool-model-run.c $(pool_helper)
tests_crash_pool_model_run_CPPFLAGS = $(pool_cppflags)
tests_crash_pool_model_run_LDADD = $(pool_ldadd)

# The NBD server.
TESTS += tests/crash/nbd-sanitizers.sh
EXTRA_DIST += tests/crash/nbd-sanitizers.sh
