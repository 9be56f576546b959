# archive: whole volume groups as a stream.
virt_thin_SOURCES += \
	src/archive/archive.h src/archive/archive-private.h src/archive/archive-base.c \
	src/archive/archive-read.c src/archive/archive-source.c src/archive/archive-target.c \
	src/archive/archive-write.c \
	src/archive/gpt.h src/archive/gpt.c \
	src/archive/rebuild.h src/archive/rebuild.c
