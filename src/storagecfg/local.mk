# storage.cfg
noinst_LTLIBRARIES += src/storagecfg/libstoragecfg.la
src_storagecfg_libstoragecfg_la_SOURCES = \
	src/storagecfg/storagecfg.h src/storagecfg/storagecfg-private.h \
	src/storagecfg/schema.c \
	src/storagecfg/formats.c src/storagecfg/formats.h \
	src/storagecfg/value.c \
	src/storagecfg/parse.c \
	src/storagecfg/edit.c \
	src/storagecfg/pools.c src/storagecfg/pools.h
src_storagecfg_libstoragecfg_la_LIBADD = src/util/libutil.la $(GLIB_LIBS)
