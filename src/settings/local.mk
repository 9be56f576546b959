# settings
noinst_LTLIBRARIES += src/settings/libsettings.la
src_settings_libsettings_la_SOURCES = src/settings/settings.c src/settings/settings.h
src_settings_libsettings_la_LIBADD = $(GLIB_LIBS)
