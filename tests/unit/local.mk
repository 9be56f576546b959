# cmocka programs; each prints TAP.
if HAVE_CMOCKA
unit_tests = \
	tests/unit/test-util \
	tests/unit/test-journal \
	tests/unit/test-control \
	tests/unit/test-settings
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

tests_unit_test_util_SOURCES = tests/unit/test-util.c
tests_unit_test_util_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_util_LDADD = src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)

tests_unit_test_settings_SOURCES = tests/unit/test-settings.c
tests_unit_test_settings_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_settings_LDADD = src/pool/libpool.la src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)

tests_unit_test_journal_SOURCES = tests/unit/test-journal.c
tests_unit_test_journal_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_journal_LDADD = src/thin/libthin.la $(GLIB_LIBS) $(CMOCKA_LIBS)
tests_unit_test_control_SOURCES = tests/unit/test-control.c tests/unit/fake-pool.c tests/unit/fake-pool.h
tests_unit_test_control_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_control_LDADD = src/service/libservice.la src/pool/libpool.la src/control/libcontrol.la src/util/libutil.la \
	$(GLIB_LIBS) $(ZLIB_LIBS) $(CMOCKA_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-libvirt-layout
TESTS += tests/unit/test-libvirt-layout
endif
tests_unit_test_libvirt_layout_SOURCES = tests/unit/test-libvirt-layout.c src/libvirt/vtbackend-layout.c src/libvirt/vtbackend-libvirt.c
tests_unit_test_libvirt_layout_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_libvirt_layout_LDADD = src/util/libutil.la $(GLIB_LIBS) $(CMOCKA_LIBS)
