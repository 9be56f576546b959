# cli
sbin_PROGRAMS += virt-thin
virt_thin_SOURCES = \
	src/cli/main.c src/cli/cli.h src/cli/cli.c \
	src/cli/json.h src/cli/json.c \
	src/cli/progress.h src/cli/progress.c \
	src/cli/init.c src/cli/serve.c src/cli/activate.c \
	src/cli/list.c src/cli/info.c src/cli/check.c \
	src/cli/volume.c \
	src/cli/copy.h src/cli/copy.c src/cli/qemu.h src/cli/qemu.c src/cli/qemu-read.c \
	src/cli/library.h src/cli/library.c src/cli/libnbd-client.h src/cli/libnbd-client.c \
	src/cli/import.c src/cli/export.c \
	src/cli/storage.h src/cli/storage.c src/cli/storage-check.c src/cli/storage-words.c \
	src/cli/storage-status.c src/cli/storage-list.c src/cli/storage-backups.c \
	src/cli/storage-volume.h src/cli/storage-volume.c src/cli/storage-stream.c \
	src/cli/storage-edit.c \
	src/cli/storage-folder.h src/cli/storage-folder.c src/cli/storage-folder-list.c \
	src/cli/storage-folder-volume.c src/cli/storage-folder-stream.c \
	src/cli/storage-subvolume.c \
	src/cli/libvirt-client.h src/cli/libvirt-client.c src/cli/apply.h src/cli/apply-host.c \
	src/cli/apply-plan.c src/cli/storage-apply.c src/cli/stream.c src/cli/enable.c
virt_thin_CPPFLAGS = $(AM_CPPFLAGS) -DVIRT_THIN_BACKEND_DIR=\"$(storagebackenddir)\"
virt_thin_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(LIBVIRT_CFLAGS) $(NBD_CFLAGS) $(XML_CFLAGS)
virt_thin_LDADD = $(src_libs) $(JSON_LIBS) $(XML_LIBS) -ldl

dist_man_MANS += docs/virt-thin.1 docs/virt-thin.conf.5 docs/virt-thin-storage.cfg.5
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = src/cli/completion/virt-thin

# For scripts that were written for Proxmox VE's pvesm.
if ENABLE_PVESM
install-exec-hook:
	cd $(DESTDIR)$(sbindir) && $(LN_S) -f virt-thin pvesm
uninstall-hook:
	rm -f $(DESTDIR)$(sbindir)/pvesm
endif
