# thin: the engine, and apart from it what everybody may link who reads the format.
noinst_LTLIBRARIES += src/thin/libthinformat.la
src_thin_libthinformat_la_SOURCES = \
	src/thin/format/block.c src/thin/format/block.h \
	src/thin/format/btree-node.h \
	src/thin/format/device.h \
	src/thin/format/disk-format.h \
	src/thin/format/walk.c src/thin/format/walk.h
src_thin_libthinformat_la_LIBADD = $(GLIB_LIBS)

noinst_LTLIBRARIES += src/thin/libthin.la
src_thin_libthin_la_SOURCES = \
	src/thin/thin.h src/thin/metadata.h \
	src/thin/block-cache.c src/thin/block-cache.h \
	src/thin/transaction.c src/thin/transaction.h \
	src/thin/btree.c src/thin/btree.h \
	src/thin/btree-insert.c src/thin/btree-remove.c \
	src/thin/space-map-metadata.c src/thin/space-map-metadata.h \
	src/thin/space-map-data.c src/thin/space-map-data.h \
	src/thin/metadata.c src/thin/metadata-private.h \
	src/thin/metadata-devices.c src/thin/metadata-maps.c \
	src/thin/check.c src/thin/check-walk.c src/thin/check-counts.c src/thin/check-private.h \
	src/thin/pool-private.h src/thin/gather.h \
	src/thin/bounce.c \
	src/thin/commit.c \
	src/thin/journal.c src/thin/journal.h \
	src/thin/messages.c \
	src/thin/pool.c \
	src/thin/translations.c src/thin/translations.h \
	src/thin/unmap.c \
	src/thin/volume.c \
	src/thin/write.c
src_thin_libthin_la_LIBADD = src/thin/libthinformat.la src/util/libutil.la $(GLIB_LIBS)
