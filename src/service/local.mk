# service

# --- the systemd unit ---
systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = src/service/virt-thin@.service
CLEANFILES += $(systemdunit_DATA)
EXTRA_DIST += src/service/virt-thin@.service.in
src/service/virt-thin@.service: src/service/virt-thin@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) 's|@sbindir[@]|$(sbindir)|g' '$(srcdir)/$@.in' > '$@'

# The service as a library: what is in its processes besides main().
noinst_LTLIBRARIES += src/service/libservice.la
src_service_libservice_la_SOURCES = \
	src/service/control-server.c src/service/control-server.h
src_service_libservice_la_LIBADD = $(GLIB_LIBS)

# --- the NBD server ---
noinst_LTLIBRARIES += src/service/libnbdserver.la
src_service_libnbdserver_la_SOURCES = \
	src/service/nbd-server.c src/service/nbd-server.h \
	src/service/nbd-handshake.c \
	src/service/nbd-connection.c \
	src/service/nbd-request.c \
	src/service/nbd-internal.h src/service/nbd-protocol.h
src_service_libnbdserver_la_LIBADD = $(GLIB_LIBS)
