# The virt-thin program, driven as people drive it.
cli_tests = \
	tests/integration/cli-usage.sh \
	tests/integration/cli-volumes.sh \
	tests/integration/cli-served.sh \
	tests/integration/cli-images.sh \
	tests/integration/cli-bad-input.sh \
	tests/integration/cli-fixtures.sh \
	tests/integration/cli-fixtures-lvm.sh \
	tests/integration/cli-enable.sh \
	tests/integration/cli-release.sh \
	tests/integration/cli-extend.sh \
	tests/integration/cli-grow.sh \
	tests/integration/cli-storage-check.sh \
	tests/integration/cli-storage-folder.sh \
	tests/integration/cli-storage-folder-stream.sh \
	tests/integration/cli-storage.sh \
	tests/integration/cli-sanitized.sh
TESTS += $(cli_tests)
EXTRA_DIST += $(cli_tests) tests/integration/cli-lib.sh tests/integration/storage-life.sh tests/integration/validate-json

pool_fixtures = \
	tests/fixtures/pools/README.md tests/fixtures/pools/01-clean.md5 \
	tests/fixtures/pools/01-clean.img.tar.zst \
	tests/fixtures/pools/02-crash.img.tar.zst \
	tests/fixtures/pools/03a-tid-pool-ahead.img.tar.zst \
	tests/fixtures/pools/04a-needs-check.img.tar.zst \
	tests/fixtures/pools/04b-damaged-leaf.img.tar.zst \
	tests/fixtures/pools/04c-leaked-block.img.tar.zst \
	tests/fixtures/pools/05a-out-of-data.img.tar.zst \
	tests/fixtures/pools/06-delete-msg-pending.img.tar.zst \
	tests/fixtures/pools/06-msg-pending.img.tar.zst \
	tests/fixtures/pools/06-snap-made-tid-old.img.tar.zst \
	tests/fixtures/pools/07-three-pvs.img.tar.zst tests/fixtures/pools/07-three-pvs.md5 \
	tests/fixtures/pools/08-striped.img.tar.zst tests/fixtures/pools/08-striped.md5 \
	tests/fixtures/pools/09-other-types.img.tar.zst tests/fixtures/pools/09-other-types.md5 \
	tests/fixtures/pools/10-history.img.tar.zst tests/fixtures/pools/10-history.md5 \
	tests/fixtures/pools/11-external-origin.img.tar.zst tests/fixtures/pools/11-external-origin.md5 \
	tests/fixtures/pools/12-raid-metadata.img.tar.zst tests/fixtures/pools/12-raid-metadata.md5 \
	tests/fixtures/pools/13-repaired.img.tar.zst tests/fixtures/pools/13-repaired.md5 \
	tests/fixtures/pools/14-stray-devices.img.tar.zst tests/fixtures/pools/14-stray-devices.md5 \
	tests/fixtures/pools/15-lost-device.img.tar.zst tests/fixtures/pools/15-lost-device.md5 \
	tests/fixtures/pools/16-pvmove.img.tar.zst tests/fixtures/pools/16-pvmove.md5 \
	tests/fixtures/pools/17-several-pools.img.tar.zst tests/fixtures/pools/17-several-pools.md5 \
	tests/fixtures/make-pools
EXTRA_DIST += $(pool_fixtures)
