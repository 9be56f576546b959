noinst_LTLIBRARIES += src/thin/libthin.la
src_thin_libthin_la_SOURCES = \
	src/thin/journal.c src/thin/journal.h \
	src/thin/metadata.h \
	src/thin/thin.h
src_thin_libthin_la_LIBADD = src/util/libutil.la $(GLIB_LIBS)
