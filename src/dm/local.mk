# dm: the kernel's side of a volume group.
noinst_LTLIBRARIES += src/dm/libdm.la
src_dm_libdm_la_SOURCES = \
	src/dm/block-devices.c src/dm/block-devices.h \
	src/dm/device-filter.c src/dm/device-filter.h \
	src/dm/direct-io.c \
	src/dm/dm.c src/dm/dm.h \
	src/dm/instant.c src/dm/instant.h \
	src/dm/lvm2.c src/dm/lvm2.h \
	src/dm/thin-count.c \
	src/dm/thin-reader.c src/dm/thin-reader.h src/dm/thin-reader-private.h \
	src/dm/watch.c src/dm/watch.h
src_dm_libdm_la_CFLAGS = $(AM_CFLAGS) $(DEVMAPPER_CFLAGS)
src_dm_libdm_la_LIBADD = src/thin/libthinformat.la $(DEVMAPPER_LIBS) $(GLIB_LIBS)
