/* virt-thin - simulation: fibers in place of threads, one seeded scheduler, a clock of its own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The whole program is one thread of the system's. What the product starts as a thread is a fiber;
 * what it locks and waits for (pthread's, GLib's) ends here, by the linker (local.mk lists the
 * names); and each lock and each I/O is a point at which the seed says who goes on. Time passes
 * only when the scheduler says so: when all wait, it jumps to whoever is due first.
 *
 * A process is a set of fibers. One that is killed lives on as a ghost: its disks are gone (EIO,
 * nothing reaches anybody), its sleeps end at once, and so it runs into the ends of its functions
 * and frees its memory, which a kernel would have done.
 *
 * Units: microseconds since the epoch of the simulation. Thread-safety: one thread.
 */
#pragma once

#include <glib.h>

typedef struct {
  char *name;
  gboolean dead;
  guint n_fibers;
} SimProcess;

typedef struct SimFiber SimFiber;

/* Begin anew at @seed, with no fiber but the caller's. All others must have ended. */
void sim_reset(guint64 seed);

SimProcess *sim_process_new(const char *name);
void sim_process_kill(SimProcess *process);
/* Wait for the last of its fibers; frees it. */
void sim_process_reap(SimProcess *process);

typedef void (*SimFunc)(gpointer data);
void sim_spawn(SimProcess *process, const char *name, SimFunc func, gpointer data);
SimProcess *sim_self(void); /* NULL: the simulation itself */
static inline gboolean sim_is_ghost(void)
{
  SimProcess *self = sim_self();
  return self && self->dead;
}

/* @area of @size bytes (32 at most), thread-local in the product, is each fiber's own. One only. */
void sim_fiber_local(void *area, gsize size);

/* Somebody else may go on here. @what and @detail are part of the trace. */
void sim_point(const char *what, guint64 detail);
/* Nobody else goes on until it is taken back: for what others are not to see half done. */
void sim_alone(gboolean alone);
/* Wait until sim_wake() of @object, or until @deadline (G_MAXINT64: for ever); FALSE: it came
 * first. */
gboolean sim_wait(gconstpointer object, gint64 deadline);
void sim_wake(gconstpointer object, gboolean all);
void sim_sleep(gint64 us);
gint64 sim_now(void);

/* Whoever waits for a socket looks again (wrap-socket.c). */
void sim_sockets_moved(void);

/* --- what the seed says --- */

/* Of the scheduler and of what has no better place. */
guint32 sim_random(guint32 limit);
/* A stream of its own, for what must stay the same whatever else is left out. */
typedef struct {
  guint64 state;
} SimRandom;
SimRandom sim_stream(guint64 a, guint64 b, guint64 c);
guint32 sim_next(SimRandom *random, guint32 limit); /* [0, limit) */
static inline gboolean sim_chance(SimRandom *random, guint32 of)
{
  return sim_next(random, of) == 0;
}

/* --- the trace --- */

extern gboolean sim_verbose;
void sim_trace(const char *format, ...) G_GNUC_PRINTF(1, 2); /* of verbose runs */
void sim_digest_add(guint64 value);
guint64 sim_digest(void);
guint64 sim_n_points(void);

/* A law is broken: say so, and do not return. Defined by the program. */
void sim_fail(const char *format, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;
