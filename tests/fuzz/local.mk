# Each is run.sh with the sources that it asks for.
fuzz_tests = \
	tests/fuzz/backup.sh \
	tests/fuzz/control.sh \
	tests/fuzz/image.sh \
	tests/fuzz/lvm-label.sh \
	tests/fuzz/lvm-text.sh \
	tests/fuzz/nbd.sh \
	tests/fuzz/storagecfg.sh \
	tests/fuzz/stream.sh \
	tests/fuzz/thin-metadata.sh \
	tests/fuzz/thin-xml.sh
EXTRA_DIST += $(fuzz_tests) tests/fuzz/run.sh tests/fuzz/fuzz.h tests/fuzz/fuzz-control.c \
	tests/fuzz/fuzz-backup.c tests/fuzz/corpus-backup \
	tests/fuzz/fuzz-lvm-label.c tests/fuzz/corpus-lvm-label \
	tests/fuzz/fuzz-lvm-text.c tests/fuzz/corpus-lvm-text tests/fuzz/lvm-text.dict \
	tests/fuzz/fuzz-nbd.c tests/fuzz/corpus-nbd \
	tests/fuzz/fuzz-storagecfg.c tests/fuzz/corpus-storagecfg tests/fuzz/storagecfg.dict \
	tests/fuzz/fuzz-stream.c tests/fuzz/corpus-stream \
	tests/fuzz/fuzz-thin-metadata.c tests/fuzz/corpus-thin-metadata \
	tests/fuzz/fuzz-thin-xml.c tests/fuzz/corpus-thin-xml tests/fuzz/thin-xml.dict

# Every command of the program, in one process with what damages its images.
check_PROGRAMS += tests/fuzz/image
tests_fuzz_image_SOURCES = tests/fuzz/image.c \
	tests/fuzz/image-file.h tests/fuzz/image-file.c \
	tests/fuzz/image-mutate.h tests/fuzz/image-mutate.c
tests_fuzz_image_CPPFLAGS = $(virt_thin_CPPFLAGS)
tests_fuzz_image_CFLAGS = $(virt_thin_CFLAGS)
image_commands = $(filter-out %-main.$(OBJEXT),$(virt_thin_OBJECTS))
tests_fuzz_image_LDADD = $(image_commands) $(virt_thin_LDADD)
tests_fuzz_image_DEPENDENCIES = $(image_commands) $(src_libs)
