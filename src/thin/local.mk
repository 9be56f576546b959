# thin: the engine, and apart from it what everybody may link who reads the format.
noinst_LTLIBRARIES += src/thin/libthinformat.la
src_thin_libthinformat_la_SOURCES = \
	src/thin/format/block.c src/thin/format/block.h \
	src/thin/format/btree-node.h \
	src/thin/format/count-new.c src/thin/format/count-new.h \
	src/thin/format/delta.c src/thin/format/delta.h \
	src/thin/format/device.h \
	src/thin/format/dump.c src/thin/format/dump.h \
	src/thin/format/disk-format.h \
	src/thin/format/usage.c src/thin/format/usage.h \
	src/thin/format/walk.c src/thin/format/walk.h
src_thin_libthinformat_la_LIBADD = $(GLIB_LIBS)

# Finding what is left of metadata, and making it anew.
noinst_LTLIBRARIES += src/thin/libthinrebuild.la
src_thin_libthinrebuild_la_SOURCES = \
	src/thin/rebuild/build.c src/thin/rebuild/build.h src/thin/rebuild/build-private.h \
	src/thin/rebuild/build-blocks.c src/thin/rebuild/build-counts.c \
	src/thin/rebuild/build-space.c src/thin/rebuild/build-tree.c \
	src/thin/rebuild/rebuild.c src/thin/rebuild/rebuild.h \
	src/thin/rebuild/rebuild-maps.c src/thin/rebuild/rebuild-private.h \
	src/thin/rebuild/xml.c src/thin/rebuild/xml.h \
	src/thin/rebuild/roots.c src/thin/rebuild/roots.h src/thin/rebuild/roots-private.h \
	src/thin/rebuild/roots-commits.c \
	src/thin/rebuild/roots-describe.c \
	src/thin/rebuild/roots-pairs.c \
	src/thin/rebuild/roots-scan.c
src_thin_libthinrebuild_la_LIBADD = src/thin/libthinformat.la src/util/libutil.la $(GLIB_LIBS)

noinst_LTLIBRARIES += src/thin/libthin.la
src_thin_libthin_la_SOURCES = \
	src/thin/bounce.c \
	src/thin/commit.c \
	src/thin/gather.h \
	src/thin/journal.c src/thin/journal.h \
	src/thin/messages.c \
	src/thin/pool.c src/thin/pool-private.h \
	src/thin/thin.h \
	src/thin/translations.c src/thin/translations.h \
	src/thin/unmap.c \
	src/thin/volume.c \
	src/thin/write.c \
	src/thin/metadata/block-cache.c src/thin/metadata/block-cache.h \
	src/thin/metadata/btree.c src/thin/metadata/btree.h \
	src/thin/metadata/btree-insert.c src/thin/metadata/btree-remove.c \
	src/thin/metadata/check.c src/thin/metadata/check-private.h \
	src/thin/metadata/check-walk.c src/thin/metadata/check-counts.c \
	src/thin/metadata/check-quick.c src/thin/metadata/mend-leaks.c \
	src/thin/metadata/metadata.c src/thin/metadata/metadata.h \
	src/thin/metadata/metadata-private.h \
	src/thin/metadata/metadata-devices.c src/thin/metadata/metadata-maps.c \
	src/thin/metadata/space-map-data.c src/thin/metadata/space-map-data.h \
	src/thin/metadata/space-map-metadata.c src/thin/metadata/space-map-metadata.h \
	src/thin/metadata/transaction.c src/thin/metadata/transaction.h
src_thin_libthin_la_LIBADD = src/thin/libthinformat.la src/util/libutil.la $(GLIB_LIBS)
