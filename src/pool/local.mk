# pool
# What everybody may link: the interface, the rules, the settings; no engine in it.
noinst_LTLIBRARIES += src/pool/libpool.la
src_pool_libpool_la_SOURCES = \
	src/pool/pool.h src/pool/pool-internal.h src/pool/pool.c \
	src/pool/pool-devices.c src/pool/pool-devices.h \
	src/pool/change.h src/pool/change.c \
	src/pool/plan.h src/pool/plan.c \
	src/pool/pool-layout.c src/pool/pool-layout.h \
	src/pool/pool-rules.c src/pool/pool-rules.h \
	src/pool/pool-guest.c src/pool/pool-guest.h \
	src/pool/settings.c src/pool/settings.h \
	src/pool/pool-remote.c src/pool/pool-remote.h src/pool/pool-remote-volume.c \
	src/pool/pool-service.h src/pool/pool-service.c src/pool/pool-wire.h src/pool/pool-wire.c
src_pool_libpool_la_LIBADD = $(GLIB_LIBS)

# The pool in this process.
noinst_LTLIBRARIES += src/pool/libpool-bundled.la
src_pool_libpool_bundled_la_SOURCES = \
	src/pool/pool-bundled.h src/pool/pool-bundled.c \
	src/pool/pool-bundled-recover.c \
	src/pool/pool-bundled-commit.c \
	src/pool/pool-bundled-change.c \
	src/pool/pool-bundled-base.c \
	src/pool/pool-bundled-handle.c \
	src/pool/pool-bundled-replace.c \
	src/pool/pool-bundled-check.c \
	src/pool/pool-bundled-init.c \
	src/pool/pool-bundled-volume.c \
	src/pool/pool-bundled-gate.c \
	src/pool/pool-bundled-grow.c
src_pool_libpool_bundled_la_LIBADD = src/dm/libdm.la $(GLIB_LIBS)

# The kernel's pool, and the choice between it and the bundled one.
noinst_LTLIBRARIES += src/pool/libpool-kernel.la
src_pool_libpool_kernel_la_SOURCES = \
	src/pool/pool-choose.h src/pool/pool-choose.c \
	src/pool/pool-kernel.h src/pool/pool-kernel.c \
	src/pool/pool-kernel-change.c \
	src/pool/pool-kernel-base.c \
	src/pool/pool-kernel-group.c \
	src/pool/pool-kernel-devices.c \
	src/pool/pool-kernel-info.c \
	src/pool/pool-kernel-init.c \
	src/pool/pool-kernel-pools.c \
	src/pool/pool-kernel-replace.c \
	src/pool/pool-kernel-step.c \
	src/pool/pool-kernel-volume.c \
	src/pool/pool-kernel-watch.c
src_pool_libpool_kernel_la_LIBADD = src/dm/libdm.la $(GLIB_LIBS)
