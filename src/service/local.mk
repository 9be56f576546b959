# service

# --- systemd's unit, udev's rules ---
systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = src/service/virt-thin@.service
udevrulesdir = $(prefix)/lib/udev/rules.d
udevrules_DATA = src/service/59-virt-thin.rules
CLEANFILES += $(systemdunit_DATA) $(udevrules_DATA)
EXTRA_DIST += src/service/virt-thin@.service.in src/service/59-virt-thin.rules.in
$(systemdunit_DATA) $(udevrules_DATA): %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	  $(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@runstatedir[@]|$(runstatedir)|g' '$<' > '$@'

# The service as a library: what is in its processes besides main().
noinst_LTLIBRARIES += src/service/libservice.la
src_service_libservice_la_SOURCES = \
	src/service/block-node.h \
	src/service/condition.h \
	src/service/control-server.c src/service/control-server.h \
	src/service/engine.c \
	src/service/folder.c src/service/folder.h \
	src/service/fuse-ops.c src/service/fuse-ops.h \
	src/service/fuse-view.c src/service/fuse-view.h \
	src/service/holder.c src/service/holder.h src/service/holder-folder.c \
	src/service/loop.c \
	src/service/mount.c src/service/mount.h \
	src/service/nbd-kernel.c src/service/nbd-kernel.h src/service/nbd-node.c \
	src/service/node-process.c src/service/node-sync.c src/service/nodes.c src/service/nodes.h \
	src/service/service.c src/service/service.h \
	src/service/service-pool.c src/service/service-pool.h \
	src/service/shared.c src/service/shared.h \
	src/service/stream-file.c src/service/stream-file.h
src_service_libservice_la_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS) $(NL_CFLAGS)
src_service_libservice_la_LIBADD = src/service/libnbdserver.la $(FUSE_LIBS) $(NL_LIBS) $(GLIB_LIBS)

# --- the NBD server ---
noinst_LTLIBRARIES += src/service/libnbdserver.la
src_service_libnbdserver_la_SOURCES = \
	src/service/nbd-server.c src/service/nbd-server.h \
	src/service/nbd-handshake.c \
	src/service/nbd-connection.c \
	src/service/nbd-request.c \
	src/service/nbd-internal.h src/service/nbd-protocol.h
src_service_libnbdserver_la_LIBADD = $(GLIB_LIBS)
