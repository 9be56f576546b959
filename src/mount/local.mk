# mount: what is in a volume, mounted.
virt_thin_SOURCES += \
	src/mount/attach.h src/mount/attach.c \
	src/mount/look.h src/mount/look.c \
	src/mount/run.h src/mount/run.c \
	src/mount/source.h src/mount/source.c \
	src/mount/temporary.h src/mount/temporary.c
