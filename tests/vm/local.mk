# Under a real kernel, in a guest: what this machine's kernel need not have.
vm_tests = tests/vm/nbd-node.sh tests/vm/guest-kills.sh tests/vm/guest-full.sh tests/vm/systemd.sh tests/vm/kernel-pool.sh tests/vm/kernel-libvirt.sh tests/vm/kernel-storage.sh tests/vm/both-ways.sh tests/vm/power-cut.sh tests/vm/kernel-concurrency.sh
TESTS += $(vm_tests)
EXTRA_DIST += $(vm_tests) tests/vm/nbd-node.guest tests/vm/systemd.guest tests/vm/vmrun tests/vm/mkinitramfs.sh tests/vm/mkroot.sh tests/vm/kernel-pool.guest tests/vm/kernel-libvirt.guest tests/vm/kernel-storage.guest tests/vm/guest-lib.sh tests/vm/vm-lib.sh tests/vm/both-ways.guest tests/vm/power-cut.guest tests/vm/kernel-concurrency.guest tests/vm/guest-changes.sh
TESTS += tests/vm/storage-apply.sh
EXTRA_DIST += tests/vm/storage-apply.sh tests/vm/storage-apply.guest
