# lvm
noinst_LTLIBRARIES += src/lvm/liblvm.la
src_lvm_liblvm_la_SOURCES = \
	src/lvm/allocate.c \
	src/lvm/text.c src/lvm/text.h src/lvm/text-private.h src/lvm/text-parse.c \
	src/lvm/lv.c \
	src/lvm/names.c \
	src/lvm/pool-choose.c \
	src/lvm/vg.c src/lvm/vg.h src/lvm/vg-private.h src/lvm/vg-change.c
src_lvm_liblvm_la_LIBADD = src/util/libutil.la $(GLIB_LIBS)
