# pool
# What everybody may link: the interface, the decisions, a service's client; no engine in it.
noinst_LTLIBRARIES += src/pool/libpool.la
src_pool_libpool_la_SOURCES = \
	src/pool/change.h src/pool/change.c \
	src/pool/delta.h src/pool/delta.c \
	src/pool/devices.h src/pool/devices.c \
	src/pool/forecast.h src/pool/forecast.c \
	src/pool/growth.h src/pool/growth.c \
	src/pool/guest.h src/pool/guest.c \
	src/pool/health.h src/pool/health.c \
	src/pool/layout.h src/pool/layout.c \
	src/pool/plan.h src/pool/plan-private.h src/pool/plan.c src/pool/plan-work.c \
	src/pool/pool.h src/pool/pool-private.h src/pool/pool.c \
	src/pool/rules.h src/pool/rules.c \
	src/pool/snapshots.h src/pool/snapshots.c \
	src/pool/usage.h src/pool/usage.c \
	src/pool/temporary.h src/pool/temporary.c \
	src/pool/users.h src/pool/users.c \
	src/pool/remote/pool.c \
	src/pool/remote/service.h src/pool/remote/service.c \
	src/pool/remote/wire.h src/pool/remote/wire.c
src_pool_libpool_la_LIBADD = $(GLIB_LIBS)

# The pool in this process.
noinst_LTLIBRARIES += src/pool/libpool-bundled.la
src_pool_libpool_bundled_la_SOURCES = \
	src/pool/bundled/bundled-private.h src/pool/bundled/pool.c \
	src/pool/bundled/recover.c \
	src/pool/bundled/commit.c \
	src/pool/bundled/change.c \
	src/pool/bundled/base.c \
	src/pool/bundled/handle.c \
	src/pool/bundled/health.c \
	src/pool/bundled/replace.c \
	src/pool/bundled/shrink.c \
	src/pool/bundled/check.c \
	src/pool/bundled/init.c \
	src/pool/place.h src/pool/bundled/place.c \
	src/pool/bundled/volume.c \
	src/pool/bundled/gate.c \
	src/pool/bundled/forecast.c \
	src/pool/bundled/grow.c \
	src/pool/repair/repair.h src/pool/repair/repair-private.h src/pool/repair/repair.c \
	src/pool/repair/bare.c \
	src/pool/repair/decide.c \
	src/pool/repair/facts.c \
	src/pool/repair/metadata.c \
	src/pool/repair/older.c \
	src/pool/repair/plan.c \
	src/pool/repair/roots.c \
	src/pool/repair/run.c \
	src/pool/repair/texts.c \
	src/pool/repair/undo.c
src_pool_libpool_bundled_la_LIBADD = src/dm/libdm.la $(GLIB_LIBS)

# The kernel's pool, and the choice between it and the bundled one.
noinst_LTLIBRARIES += src/pool/libpool-kernel.la
src_pool_libpool_kernel_la_SOURCES = \
	src/pool/look.c src/pool/look.h src/pool/open.c src/pool/open.h \
	src/pool/kernel/kernel-private.h src/pool/kernel/pool.c \
	src/pool/kernel/change.c \
	src/pool/kernel/base.c \
	src/pool/kernel/group.c \
	src/pool/kernel/devices.c \
	src/pool/kernel/info.c \
	src/pool/kernel/init.c \
	src/pool/kernel/pools.c \
	src/pool/kernel/replace.c \
	src/pool/kernel/step.c \
	src/pool/kernel/volume.c \
	src/pool/kernel/watch.c
src_pool_libpool_kernel_la_LIBADD = src/dm/libdm.la $(GLIB_LIBS)
