# fuzz
lvm_fuzz = tests/fuzz/lvm-text.sh tests/fuzz/lvm-label.sh
TESTS += $(lvm_fuzz)
EXTRA_DIST += $(lvm_fuzz) tests/fuzz/run.sh tests/fuzz/fuzz.h tests/fuzz/fuzz-lvm-text.c tests/fuzz/fuzz-lvm-label.c tests/fuzz/lvm-text.dict \
	tests/fuzz/corpus-lvm-text tests/fuzz/corpus-lvm-label
TESTS += tests/fuzz/thin-metadata.sh
EXTRA_DIST += tests/fuzz/thin-metadata.sh tests/fuzz/fuzz-thin-metadata.c tests/fuzz/corpus-thin-metadata
TESTS += tests/fuzz/nbd.sh
EXTRA_DIST += tests/fuzz/nbd.sh tests/fuzz/fuzz-nbd.c tests/fuzz/corpus-nbd
TESTS += tests/fuzz/storagecfg.sh
EXTRA_DIST += tests/fuzz/storagecfg.sh tests/fuzz/fuzz-storagecfg.c tests/fuzz/storagecfg.dict tests/fuzz/corpus-storagecfg
