# service

# --- systemd's units, udev's rules ---
systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = src/service/virt-thin@.service src/service/virt-thin-schedule@.service \
	src/service/virt-thin-check.service src/service/virt-thin-check.timer \
	src/service/virt-thin-metrics.service src/service/virt-thin-metrics.timer \
	src/service/virt-thin-metrics-http.service src/service/virt-thin-metrics.socket
systemduserunitdir = $(prefix)/lib/systemd/user
systemduserunit_DATA = src/service/user/virt-thin-schedule@.service
udevrulesdir = $(prefix)/lib/udev/rules.d
udevrules_DATA = src/service/59-virt-thin.rules
CLEANFILES += $(systemdunit_DATA) $(systemduserunit_DATA) $(udevrules_DATA)
EXTRA_DIST += src/service/virt-thin@.service.in src/service/59-virt-thin.rules.in \
	src/service/virt-thin-check.service.in src/service/virt-thin-check.timer.in \
	src/service/virt-thin-metrics.service.in src/service/virt-thin-metrics.timer.in \
	src/service/virt-thin-metrics-http.service.in src/service/virt-thin-metrics.socket.in \
	src/service/virt-thin-schedule@.service.in src/service/user/virt-thin-schedule@.service.in
$(systemdunit_DATA) $(systemduserunit_DATA) $(udevrules_DATA): %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	  $(SED) -e 's|@bindir[@]|$(bindir)|g' -e 's|@runstatedir[@]|$(runstatedir)|g' '$<' > '$@'

# The service as a library: what is in its processes besides main().
noinst_LTLIBRARIES += src/service/libservice.la
src_service_libservice_la_SOURCES = \
	src/service/fuse/folder.c src/service/fuse/folder.h \
	src/service/fuse/fuse-ops.c src/service/fuse/fuse-ops.h \
	src/service/fuse/fuse-view.c src/service/fuse/fuse-view.h \
	src/service/fuse/mount.c src/service/fuse/mount.h \
	src/service/fuse/shared.c src/service/fuse/shared.h \
	src/service/fuse/stream-file.c src/service/fuse/stream-file.h \
	src/service/nodes/block-node.h \
	src/service/nodes/loop.c \
	src/service/nodes/nbd-kernel.c src/service/nodes/nbd-kernel.h \
	src/service/nodes/nbd-node.c \
	src/service/nodes/node-process.c \
	src/service/nodes/node-sync.c \
	src/service/nodes/nodes.c src/service/nodes/nodes.h \
	src/service/process/control-server.c src/service/process/control-server.h \
	src/service/process/engine.c \
	src/service/process/holder.c src/service/process/holder.h \
	src/service/process/holder-folder.c \
	src/service/process/service.c src/service/process/service.h \
	src/service/process/service-pool.c src/service/process/service-pool.h
src_service_libservice_la_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS) $(NL_CFLAGS)
src_service_libservice_la_LIBADD = src/service/libnbdserver.la $(FUSE_LIBS) $(NL_LIBS) $(GLIB_LIBS)

# --- the NBD server ---
noinst_LTLIBRARIES += src/service/libnbdserver.la
src_service_libnbdserver_la_SOURCES = \
	src/service/nbd/nbd-server.c src/service/nbd/nbd-server.h \
	src/service/nbd/handshake.c \
	src/service/nbd/context.c \
	src/service/nbd/dirty.c \
	src/service/nbd/connection.c \
	src/service/nbd/memory.c \
	src/service/nbd/request.c \
	src/service/nbd/nbd-private.h src/service/nbd/nbd-protocol.h
src_service_libnbdserver_la_LIBADD = $(GLIB_LIBS)
