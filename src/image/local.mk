# image: copies between volumes, files and QEMU's formats.
virt_thin_SOURCES += \
	src/image/copy.h src/image/copy.c \
	src/image/interrupt.h src/image/interrupt.c \
	src/image/libnbd-client.h src/image/libnbd-client.c \
	src/image/nbd-export.h src/image/nbd-export.c \
	src/image/output.h src/image/output.c \
	src/image/qemu.h src/image/qemu.c src/image/qemu-read.c
