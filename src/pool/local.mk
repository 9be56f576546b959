# pool
# What everybody may link: the interface, the rules, the settings; no engine in it.
noinst_LTLIBRARIES += src/pool/libpool.la
src_pool_libpool_la_SOURCES = \
	src/pool/pool.h src/pool/pool-internal.h src/pool/pool.c
src_pool_libpool_la_LIBADD = $(GLIB_LIBS)
