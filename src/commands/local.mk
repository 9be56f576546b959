# commands: virt-thin's own, and main().
virt_thin_SOURCES += \
	src/commands/activate.c \
	src/commands/archive.c \
	src/commands/backend-folder.h src/commands/backend-folder.c \
	src/commands/backup.c \
	src/commands/check.c \
	src/commands/commands.h \
	src/commands/delta.c \
	src/commands/dump.c \
	src/commands/enable.c \
	src/commands/enable-session.h src/commands/enable-session.c \
	src/commands/export.c \
	src/commands/failover.c \
	src/commands/import.c \
	src/commands/info.c \
	src/commands/init.c \
	src/commands/libvirt-daemons.c \
	src/commands/libvirt-daemons.h \
	src/commands/list.c \
	src/commands/list-tree.h src/commands/list-tree.c \
	src/commands/main.c \
	src/commands/nbd.c \
	src/commands/receive.c \
	src/commands/metrics.c \
	src/commands/mount.c \
	src/commands/refresh.c \
	src/commands/send.c \
	src/commands/repair.c \
	src/commands/replicate.c \
	src/commands/restore-metadata.h src/commands/restore-metadata.c \
	src/commands/schedule.c \
	src/commands/schedule-list.h src/commands/schedule-list.c \
	src/commands/rescue.c \
	src/commands/restore.c \
	src/commands/serve.c \
	src/commands/stream.c \
	src/commands/top.c \
	src/commands/tree.c \
	src/commands/tree-nodes.h src/commands/tree-nodes.c \
	src/commands/tree-svg.h src/commands/tree-svg.c \
	src/commands/tree-text.h src/commands/tree-text.c \
	src/commands/usage.c \
	src/commands/volume.c
