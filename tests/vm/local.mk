# Under a real kernel, in a guest: what this machine's kernel need not have. The longest first.
vm_tests = \
	tests/vm/systemd.sh \
	tests/vm/kernel-suite.sh \
	tests/vm/nested-guest.sh \
	tests/vm/nbd-node.sh \
	tests/vm/guest-kills.sh \
	tests/vm/guest-full.sh \
	tests/vm/kernel-pool.sh \
	tests/vm/kernel-libvirt.sh \
	tests/vm/kernel-replicate.sh \
	tests/vm/kernel-send.sh \
	tests/vm/kernel-storage.sh \
	tests/vm/kernel-grow.sh \
	tests/vm/kernel-health.sh \
	tests/vm/kernel-nbd.sh \
	tests/vm/kernel-mount.sh \
	tests/vm/both-ways.sh \
	tests/vm/archive-raid.sh \
	tests/vm/power-cut.sh \
	tests/vm/kernel-concurrency.sh \
	tests/vm/storage-apply.sh
EXTRA_DIST += $(vm_tests) \
	tests/vm/systemd.guest \
	tests/vm/kernel-suite.guest \
	tests/vm/nested-guest.guest \
	tests/vm/nbd-node.guest \
	tests/vm/kernel-pool.guest \
	tests/vm/kernel-libvirt.guest \
	tests/vm/kernel-send.guest \
	tests/vm/kernel-replicate.guest \
	tests/vm/kernel-storage.guest \
	tests/vm/kernel-grow.guest \
	tests/vm/kernel-health.guest \
	tests/vm/kernel-nbd.guest \
	tests/vm/kernel-mount.guest \
	tests/vm/both-ways.guest \
	tests/vm/archive-raid.guest \
	tests/vm/power-cut.guest \
	tests/vm/kernel-concurrency.guest \
	tests/vm/storage-apply.guest \
	tests/vm/guest-changes.sh \
	tests/vm/guest-lib.sh \
	tests/vm/guest-libvirt.sh \
	tests/vm/counter.S \
	tests/vm/scatter.S \
	tests/vm/vm-lib.sh \
	tests/vm/vmrun \
	tests/vm/mkinitramfs.sh \
	tests/vm/mkroot.sh

# What the first of them makes for all, and for the next time.
distclean-local:
	rm -rf guest-kernel guest-root.img guest-root.img.lock guest-root.img.stamp \
		debian13-root debian13-root.lock debian13-root.stamp
