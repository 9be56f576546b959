# backup: full and incremental backups as files that QEMU reads.
virt_thin_SOURCES += \
	src/backup/changes.h src/backup/changes.c \
	src/backup/file.h src/backup/file.c \
	src/backup/folder.h src/backup/folder-private.h src/backup/folder.c \
	src/backup/folder-write.c \
	src/backup/image.h src/backup/image.c \
	src/backup/make.h src/backup/make.c \
	src/backup/manifest.h src/backup/manifest.c \
	src/backup/merge.h src/backup/merge.c \
	src/backup/prune.h src/backup/prune.c \
	src/backup/restore.h src/backup/restore.c \
	src/backup/sha256.h src/backup/sha256.c \
	src/backup/sum.h src/backup/sum.c \
	src/backup/tar.h src/backup/tar.c \
	src/backup/verify.h src/backup/verify.c
