noinst_LTLIBRARIES += src/util/libutil.la
src_util_libutil_la_SOURCES = \
	src/util/block-stack.c src/util/block-stack.h \
	src/util/block-users.c src/util/block-users.h \
	src/util/condition.h \
	src/util/crc.c src/util/crc.h \
	src/util/error.c src/util/error.h \
	src/util/files.c src/util/files.h \
	src/util/freeze.c src/util/freeze.h \
	src/util/image-format.c src/util/image-format.h \
	src/util/io.c src/util/io.h \
	src/util/io-file.c \
	src/util/io-log.c \
	src/util/io-tail.c src/util/io-tail.h \
	src/util/io-failer.c \
	src/util/io-part.c \
	src/util/keep.c src/util/keep.h \
	src/util/latency.c src/util/latency.h \
	src/util/library.c src/util/library.h \
	src/util/loop.c src/util/loop.h \
	src/util/memory.h \
	src/util/name.c src/util/name.h \
	src/util/proc.c src/util/proc.h \
	src/util/retention.c src/util/retention.h \
	src/util/size.c src/util/size.h \
	src/util/systemd.c src/util/systemd.h \
	src/util/worker.c src/util/worker.h
src_util_libutil_la_LIBADD = $(GLIB_LIBS) $(ZLIB_LIBS) -ldl -lm
