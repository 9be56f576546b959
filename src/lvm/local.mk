# lvm
noinst_LTLIBRARIES += src/lvm/liblvm.la
src_lvm_liblvm_la_SOURCES = \
	src/lvm/model/allocate.c \
	src/lvm/archive.c \
	src/lvm/content.c src/lvm/content.h \
	src/lvm/devmapper.c src/lvm/devmapper.h \
	src/lvm/model/header.c \
	src/lvm/label.c src/lvm/label.h \
	src/lvm/model/lv.c \
	src/lvm/lv-io.c \
	src/lvm/lvm-conf.c src/lvm/lvm-conf.h \
	src/lvm/metadata-area.c src/lvm/metadata-area.h \
	src/lvm/model/uuid.c \
	src/lvm/ownership.c \
	src/lvm/model/pool-choose.c \
	src/lvm/probe.c \
	src/lvm/model/status.c \
	src/lvm/store.c src/lvm/store.h src/lvm/store-private.h \
	src/lvm/store-create.c \
	src/lvm/store-mend.c \
	src/lvm/texts.c src/lvm/texts.h \
	src/lvm/model/text.c src/lvm/model/text.h src/lvm/model/text-private.h src/lvm/model/text-parse.c \
	src/lvm/model/vg.c src/lvm/model/vg.h src/lvm/model/vg-private.h \
	src/lvm/model/vg-change.c \
	src/lvm/model/vg-like.c \
	src/lvm/model/vg-references.c \
	src/lvm/model/vg-repair.c \
	src/lvm/model/words.c
src_lvm_liblvm_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLKID_CFLAGS) $(DEVMAPPER_CFLAGS)
src_lvm_liblvm_la_LIBADD = src/util/libutil.la $(BLKID_LIBS) $(DEVMAPPER_LIBS) $(GLIB_LIBS)
