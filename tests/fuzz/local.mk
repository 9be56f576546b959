# Each is run.sh with the sources that it asks for.
fuzz_tests = \
	tests/fuzz/backup.sh \
	tests/fuzz/lvm-label.sh \
	tests/fuzz/lvm-text.sh \
	tests/fuzz/nbd.sh \
	tests/fuzz/storagecfg.sh \
	tests/fuzz/stream.sh \
	tests/fuzz/thin-metadata.sh
EXTRA_DIST += $(fuzz_tests) tests/fuzz/run.sh tests/fuzz/fuzz.h \
	tests/fuzz/fuzz-backup.c tests/fuzz/corpus-backup \
	tests/fuzz/fuzz-lvm-label.c tests/fuzz/corpus-lvm-label \
	tests/fuzz/fuzz-lvm-text.c tests/fuzz/corpus-lvm-text tests/fuzz/lvm-text.dict \
	tests/fuzz/fuzz-nbd.c tests/fuzz/corpus-nbd \
	tests/fuzz/fuzz-storagecfg.c tests/fuzz/corpus-storagecfg tests/fuzz/storagecfg.dict \
	tests/fuzz/fuzz-stream.c tests/fuzz/corpus-stream \
	tests/fuzz/fuzz-thin-metadata.c tests/fuzz/corpus-thin-metadata
