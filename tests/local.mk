# What the compiled tests share: an archive, of which each takes what it uses.
check_LTLIBRARIES += tests/libhelpers.la
tests_libhelpers_la_SOURCES = \
	tests/crash/case.c tests/crash/case.h \
	tests/crash/scenario.c tests/crash/scenario.h \
	tests/unit/fake-pool.c tests/unit/fake-pool.h \
	tests/unit/lvm-helper.c tests/unit/lvm-helper.h \
	tests/unit/memory-pool.c tests/unit/memory-pool.h \
	tests/unit/nbd-client.c tests/unit/nbd-client.h \
	tests/unit/pool-helper.c tests/unit/pool-helper.h \
	tests/unit/progress.h \
	tests/unit/rebuild-helper.c tests/unit/rebuild-helper.h \
	tests/unit/storagecfg-helper.c tests/unit/storagecfg-helper.h \
	tests/unit/thin-harness.c tests/unit/thin-harness.h \
	tests/unit/thin-helper.c tests/unit/thin-helper.h
tests_libhelpers_la_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_TOP_SRCDIR=\"$(abs_top_srcdir)\"

# Each folder of tests says what it builds and has to run; what takes longest comes first here.
include tests/vm/local.mk
include tests/integration/local.mk
include tests/sim/local.mk
include tests/crash/local.mk
include tests/unit/local.mk
include tests/fuzz/local.mk
include tests/bench/local.mk
if SYSTEM_TESTS
TESTS += $(vm_tests) $(integration_tests) $(sim_tests) $(crash_tests) $(crash_scripts) $(fuzz_tests)
endif
TESTS += $(unit_tests) $(unit_scripts)
