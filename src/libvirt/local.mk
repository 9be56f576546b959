# libvirt: the module that libvirt loads, and the backend it loads in turn. Both lie in a folder of
# our own; `virt-thin enable` points libvirt there.
storagebackenddir = $(pkglibdir)/storage-backend
storagebackend_LTLIBRARIES = src/libvirt/libvirt_storage_backend_logical.la \
	src/libvirt/virt-thin-backend.la

# Nothing but libc: no sanitizer, no GLib, no thread library.
src_libvirt_libvirt_storage_backend_logical_la_SOURCES = src/libvirt/shim.c \
	src/libvirt/guard.c src/libvirt/guard.h src/libvirt/stock.c src/libvirt/stock.h
src_libvirt_libvirt_storage_backend_logical_la_CFLAGS = $(WARN) $(LIBVIRT_CFLAGS)
src_libvirt_libvirt_storage_backend_logical_la_LDFLAGS = -module -avoid-version -shared \
	-export-symbols-regex '^virStorageBackendLogicalRegister$$'
src_libvirt_libvirt_storage_backend_logical_la_LIBADD = -ldl

vtbackend_sources = \
	src/libvirt/stock.c src/libvirt/stock.h \
	src/libvirt/vtbackend-private.h \
	src/libvirt/vtbackend-copy.c \
	src/libvirt/vtbackend-data.c \
	src/libvirt/vtbackend-dispatch.c \
	src/libvirt/vtbackend-layout.c src/libvirt/vtbackend-layout.h \
	src/libvirt/vtbackend-libvirt.c src/libvirt/vtbackend-libvirt.h \
	src/libvirt/vtbackend-pool.c \
	src/libvirt/vtbackend-register.c \
	src/libvirt/vtbackend-service.c \
	src/libvirt/vtbackend-sources.c \
	src/libvirt/vtbackend-spawn.c \
	src/libvirt/vtbackend-volume.c \
	src/libvirt/vtbackend-xml.c
# The pool over D-Bus, the kernel's, and the LVM reader (which brings libutil along). No engine:
# tests/integration/libvirt-shim.sh sees to it.
src_libvirt_virt_thin_backend_la_SOURCES = $(vtbackend_sources)
src_libvirt_virt_thin_backend_la_CFLAGS = $(AM_CFLAGS) $(XML_CFLAGS)
src_libvirt_virt_thin_backend_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-export-symbols-regex '^vtbackend_register$$' -Wl,--no-undefined
src_libvirt_virt_thin_backend_la_LIBADD = src/pool/libpool-kernel.la src/pool/libpool.la \
	src/control/libcontrol.la src/settings/libsettings.la src/lvm/liblvm.la $(GLIB_LIBS) $(XML_LIBS)

# A libvirt that is switched over to what is installed has a copy of the shim: of this version, and
# none when it is uninstalled. By the program of this folder, that make may install everything in
# any order; not for a package, whose own scripts do so (docs/libvirt.md).
install-data-hook: virt-thin$(EXEEXT)
	test -n '$(DESTDIR)' || ./virt-thin enable --if-enabled --no-restart
uninstall-local: virt-thin$(EXEEXT)
	test -n '$(DESTDIR)' || ./virt-thin disable --if-enabled --no-restart
