# What src/lvm writes, judged by lvm2; what lvm2 writes, read by src/lvm.
check_PROGRAMS += tests/integration/lvm-tool
tests_integration_lvm_tool_SOURCES = tests/integration/lvm-tool.c
tests_integration_lvm_tool_LDADD = src/lvm/liblvm.la src/util/libutil.la $(GLIB_LIBS) $(ZLIB_LIBS)
TESTS += tests/integration/lvm-judges.sh
EXTRA_DIST += tests/integration/lvm-judges.sh
