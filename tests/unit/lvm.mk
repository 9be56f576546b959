# LVM2 on disk.
if HAVE_CMOCKA
lvm_tests = \
	tests/unit/test-lvm-text \
	tests/unit/test-lvm-vg \
	tests/unit/test-lvm-store \
	tests/unit/test-lvm-volumes \
	tests/unit/test-lvm-commit \
	tests/unit/test-lvm-large
check_PROGRAMS += $(lvm_tests)
TESTS += $(lvm_tests)
endif
lvm_helper = tests/unit/lvm-helper.c tests/unit/lvm-helper.h
lvm_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) -DTEST_TOP_SRCDIR=\"$(abs_top_srcdir)\"
lvm_ldadd = src/lvm/liblvm.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS) $(CMOCKA_LIBS)

tests_unit_test_lvm_text_SOURCES = tests/unit/test-lvm-text.c $(lvm_helper)
tests_unit_test_lvm_text_CPPFLAGS = $(lvm_cppflags)
tests_unit_test_lvm_text_LDADD = $(lvm_ldadd)
tests_unit_test_lvm_vg_SOURCES = tests/unit/test-lvm-vg.c $(lvm_helper)
tests_unit_test_lvm_vg_CPPFLAGS = $(lvm_cppflags)
tests_unit_test_lvm_vg_LDADD = $(lvm_ldadd)
tests_unit_test_lvm_store_SOURCES = tests/unit/test-lvm-store.c $(lvm_helper)
tests_unit_test_lvm_store_CPPFLAGS = $(lvm_cppflags)
tests_unit_test_lvm_store_LDADD = $(lvm_ldadd)
tests_unit_test_lvm_commit_SOURCES = tests/unit/test-lvm-commit.c $(lvm_helper)
tests_unit_test_lvm_commit_CPPFLAGS = $(lvm_cppflags)
tests_unit_test_lvm_commit_LDADD = $(lvm_ldadd)
tests_unit_test_lvm_volumes_SOURCES = tests/unit/test-lvm-volumes.c $(lvm_helper)
tests_unit_test_lvm_volumes_CPPFLAGS = $(lvm_cppflags)
tests_unit_test_lvm_volumes_LDADD = $(lvm_ldadd)
tests_unit_test_lvm_large_SOURCES = tests/unit/test-lvm-large.c $(lvm_helper)
tests_unit_test_lvm_large_CPPFLAGS = $(lvm_cppflags)
tests_unit_test_lvm_large_LDADD = $(lvm_ldadd)

EXTRA_DIST += tests/fixtures/lvm
