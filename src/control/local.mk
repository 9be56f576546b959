# control
noinst_LTLIBRARIES += src/control/libcontrol.la
control_xml = src/control/org.virt_thin.VolumeGroup1.xml
src_control_libcontrol_la_SOURCES = \
	src/control/control.h src/control/control.c src/control/control-listener.c \
	src/control/control-handshake.h src/control/control-handshake.c \
	src/control/control-stream.h src/control/control-stream.c \
	src/control/service.h src/control/service.c \
	src/control/control-socket.h src/control/control-socket.c
nodist_src_control_libcontrol_la_SOURCES = src/control/control-info.h src/control/control-info.c
src_control_libcontrol_la_LIBADD = $(GLIB_LIBS)

# The interface as GDBus wants it, from its XML.
src/control/control-info.h: $(control_xml)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	  $(GDBUS_CODEGEN) --interface-info-header --output $@ $(srcdir)/$(control_xml)
src/control/control-info.c: $(control_xml)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	  $(GDBUS_CODEGEN) --interface-info-body --output $@ $(srcdir)/$(control_xml)
BUILT_SOURCES += src/control/control-info.h
CLEANFILES += src/control/control-info.h src/control/control-info.c
EXTRA_DIST += $(control_xml)

controldir = $(datadir)/dbus-1/interfaces
dist_control_DATA = $(control_xml)
