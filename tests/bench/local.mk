# bench
EXTRA_PROGRAMS += tests/bench/bench-thin-metadata
tests_bench_bench_thin_metadata_SOURCES = tests/bench/bench-thin-metadata.c
tests_bench_bench_thin_metadata_LDADD = src/thin/libthin.la src/util/libutil.la $(GLIB_LIBS)
