noinst_LTLIBRARIES += src/thin/libthin.la
src_thin_libthin_la_SOURCES = \
	src/thin/thin.h src/thin/metadata.h \
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
