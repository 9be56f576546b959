# bench: built when scripts/bench asks for it.
bench_programs = tests/bench/bench-thin-metadata tests/bench/bench-thin tests/bench/bench-thin-usage
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)
EXTRA_DIST += tests/bench/bench-backup.sh tests/bench/bench-guest.sh tests/bench/bench-vm.sh \
  tests/bench/bench-vm.guest
