# pvesm: `virt-thin storage`, Proxmox's words.
virt_thin_SOURCES += \
	src/pvesm/apply.c \
	src/pvesm/backups.c \
	src/pvesm/check.c \
	src/pvesm/commands.h src/pvesm/commands.c \
	src/pvesm/edit.c \
	src/pvesm/folder.h src/pvesm/folder.c \
	src/pvesm/folder-list.c src/pvesm/folder-stream.c src/pvesm/folder-volume.c \
	src/pvesm/item.h src/pvesm/item.c \
	src/pvesm/list.c \
	src/pvesm/pvesm.h src/pvesm/pvesm.c \
	src/pvesm/status.c \
	src/pvesm/stream.c \
	src/pvesm/subvolume.c \
	src/pvesm/volume.h src/pvesm/volume.c \
	src/pvesm/words.c
