# rescue: volumes out of a pool that does not open.
virt_thin_SOURCES += \
	src/rescue/dump.h src/rescue/dump.c \
	src/rescue/lists.h src/rescue/lists.c \
	src/rescue/mapfile.h src/rescue/mapfile.c \
	src/rescue/open.h src/rescue/open-private.h src/rescue/open.c src/rescue/open-volume.c \
	src/rescue/volume.h src/rescue/volume.c
