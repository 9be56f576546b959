# Each folder of tests says what it builds and runs.
include tests/unit/local.mk
include tests/unit/pool.mk
include tests/unit/lvm.mk
include tests/unit/nbd.mk
include tests/integration/local.mk
include tests/integration/nbd.mk
include tests/crash/local.mk
include tests/crash/pool.mk
include tests/fuzz/local.mk
include tests/bench/local.mk
include tests/unit/thin-metadata.mk
include tests/unit/thin-volume.mk
include tests/unit/dm.mk
include tests/integration/service.mk
include tests/integration/cli.mk
include tests/integration/lvm.mk
include tests/vm/local.mk
