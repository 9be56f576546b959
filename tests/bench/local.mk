# bench
EXTRA_PROGRAMS += tests/bench/bench-thin-metadata
tests_bench_bench_thin_metadata_SOURCES = tests/bench/bench-thin-metadata.c
tests_bench_bench_thin_metadata_LDADD = src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS)
EXTRA_PROGRAMS += tests/bench/bench-thin
tests_bench_bench_thin_SOURCES = tests/bench/bench-thin.c tests/unit/thin-harness.c tests/unit/thin-harness.h
tests_bench_bench_thin_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/unit
tests_bench_bench_thin_LDADD = src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS)
EXTRA_DIST += tests/bench/bench-guest.sh tests/bench/bench-vm.sh tests/bench/bench-vm.guest
