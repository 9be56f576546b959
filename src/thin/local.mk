noinst_LTLIBRARIES += src/thin/libthin.la
src_thin_libthin_la_SOURCES = \
	src/thin/thin.h src/thin/metadata.h \
	src/thin/disk-format.h \
	src/thin/block-cache.c src/thin/block-cache.h \
	src/thin/transaction.c src/thin/transaction.h \
	src/thin/btree.c src/thin/btree.h src/thin/btree-node.h \
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
src_thin_libthin_la_LIBADD = src/util/libutil.la $(GLIB_LIBS)
