# Long random runs, power cuts, many threads: of the engine alone, and of a whole volume group. Each
# prints what it did, and has a longer form under $VIRT_THIN_TEST_LONG.
crash_tests = \
	tests/crash/model-run \
	tests/crash/power-cut \
	tests/crash/power-cut-threads \
	tests/crash/io-failures \
	tests/crash/engine-death \
	tests/crash/concurrency \
	tests/crash/pool-model-run \
	tests/crash/pool-power-cut \
	tests/crash/pool-repair
crash_scripts = tests/crash/sanitizers.sh tests/crash/nbd-sanitizers.sh
check_PROGRAMS += $(crash_tests)
EXTRA_DIST += $(crash_scripts)
