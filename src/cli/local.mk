# cli: the program. Here is what its commands are made of; their folders add to the sources.
bin_PROGRAMS += virt-thin
virt_thin_SOURCES = \
	src/cli/cli.h src/cli/cli.c \
	src/cli/help.c \
	src/cli/json.h src/cli/json.c \
	src/cli/progress.h src/cli/progress.c \
	src/cli/refresh.h src/cli/refresh.c \
	src/cli/tell.c
virt_thin_CPPFLAGS = $(AM_CPPFLAGS) -DVIRT_THIN_BACKEND_DIR=\"$(storagebackenddir)\"
virt_thin_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(LIBVIRT_CFLAGS) $(NBD_CFLAGS) $(XML_CFLAGS) \
	$(BLKID_CFLAGS) $(ZSTD_CFLAGS)
virt_thin_LDADD = $(src_libs) $(BLKID_LIBS) $(JSON_LIBS) $(XML_LIBS) $(ZSTD_LIBS) -ldl

dist_man_MANS += docs/virt-thin.1 docs/virt-thin.conf.5 docs/virt-thin-storage.cfg.5
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = src/cli/completion/virt-thin

# A program that an earlier version installed in sbin would be found first. pvesm, for scripts that
# were written for Proxmox VE's, is where that has it.
install-exec-hook:
	test '$(DESTDIR)$(bindir)/virt-thin' -ef '$(DESTDIR)$(sbindir)/virt-thin' || \
	  rm -f '$(DESTDIR)$(sbindir)/virt-thin'
if ENABLE_PVESM
	$(MKDIR_P) '$(DESTDIR)$(sbindir)'
	ln -srf '$(DESTDIR)$(bindir)/virt-thin' '$(DESTDIR)$(sbindir)/pvesm'
endif
if ENABLE_PVESM
uninstall-hook:
	rm -f '$(DESTDIR)$(sbindir)/pvesm'
endif
