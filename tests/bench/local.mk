# bench
EXTRA_PROGRAMS += tests/bench/bench-thin-metadata tests/bench/bench-thin
EXTRA_DIST += tests/bench/bench-guest.sh tests/bench/bench-vm.sh tests/bench/bench-vm.guest
