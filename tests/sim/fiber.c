/* virt-thin - simulation: fibers, their scheduler, the clock
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fiber.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK (512u << 10)
#define GUARD 4096u
/* Points at which nothing else happens: more than any honest run needs between two steps of the
 * clock's. */
#define STUCK 20000000u

struct SimFiber {
  ucontext_t context;
  void *stack;
  guint id;
  SimProcess *process;
  const char *name;
  SimFunc func;
  gpointer data;
  gconstpointer waits_for; /* NULL: it can run, once it is @wake_at */
  gint64 wake_at;
  gboolean timed_out;
  int errno_kept;
  guint8 local[32]; /* of sim.local */
};

static struct {
  GPtrArray *fibers; /* of SimFiber; the first is the simulation itself */
  GPtrArray *stacks; /* not in use */
  SimFiber *current, *ended;
  guint next_id;
  gint64 now;
  guint64 points, progress, digest;
  gboolean alone;
  void *local; /* NULL: there is none */
  gsize local_size;
  SimRandom random;
} sim;

gboolean sim_verbose;

/* --- random numbers: splitmix64 --- */

static guint64 step(guint64 *state)
{
  guint64 z = (*state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
  return z ^ z >> 31;
}

SimRandom sim_stream(guint64 a, guint64 b, guint64 c)
{
  SimRandom random = {a};

  random.state = step(&random.state) ^ b;
  random.state = step(&random.state) ^ c;
  step(&random.state);
  return random;
}

guint32 sim_next(SimRandom *random, guint32 limit)
{
  return limit ? (guint32)(step(&random->state) >> 32) % limit : 0;
}

guint32 sim_random(guint32 limit)
{
  return sim_next(&sim.random, limit);
}

/* --- the trace --- */

void sim_digest_add(guint64 value)
{
  sim.digest = (sim.digest ^ value) * G_GUINT64_CONSTANT(0x100000001b3);
  sim.digest ^= sim.digest >> 29;
}

guint64 sim_digest(void)
{
  return sim.digest;
}

guint64 sim_n_points(void)
{
  return sim.points;
}

void sim_trace(const char *format, ...)
{
  va_list args;

  if (!sim_verbose)
    return;
  printf("# %10.6f %u %s%s ", sim.now / 1e6, sim.current->id,
         sim.current->process ? sim.current->process->name : "sim", sim_is_ghost() ? "+" : "");
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
}

/* --- switching --- */

static gboolean can_run(const SimFiber *f)
{
  return !f->waits_for && f->wake_at <= sim.now;
}

static SimFiber *earliest(void)
{
  SimFiber *best = NULL;

  for (guint i = 0; i < sim.fibers->len; i++) {
    SimFiber *f = sim.fibers->pdata[i];

    if (f->wake_at != G_MAXINT64 && (!best || f->wake_at < best->wake_at))
      best = f;
  }
  return best;
}

static void list_waiters(void)
{
  for (guint i = 0; i < sim.fibers->len; i++) {
    SimFiber *f = sim.fibers->pdata[i];

    printf("# fiber %u %s of %s waits\n", f->id, f->name, f->process ? f->process->name : "sim");
  }
}

/* Waiters whose time has come. */
static void expire(void)
{
  for (guint i = 0; i < sim.fibers->len; i++) {
    SimFiber *f = sim.fibers->pdata[i];

    if (f->waits_for && f->wake_at <= sim.now) {
      f->waits_for = NULL;
      f->timed_out = TRUE;
    }
  }
}

static SimFiber *choose(void)
{
  for (;;) {
    SimFiber *able[64];
    guint n = 0;

    expire();
    for (guint i = 0; i < sim.fibers->len && n < G_N_ELEMENTS(able); i++)
      if (can_run(sim.fibers->pdata[i]))
        able[n++] = sim.fibers->pdata[i];
    if (n)
      return able[n > 1 ? sim_random(n) : 0];
    SimFiber *next = earliest();
    if (!next) {
      list_waiters();
      sim_fail("deadlock: every fiber waits for another");
    }
    sim.now = MAX(sim.now, next->wake_at);
    sim.progress = sim.points;
  }
}

static void release_ended(void)
{
  SimFiber *f = sim.ended;

  if (!f)
    return;
  sim.ended = NULL;
  g_ptr_array_add(sim.stacks, f->stack);
  g_free(f);
}

void sim_fiber_local(void *area, gsize size)
{
  sim.local = area;
  sim.local_size = size;
}

static void load_local(void)
{
  if (sim.local)
    memcpy(sim.local, sim.current->local, sim.local_size);
}

static void switch_to(SimFiber *next)
{
  SimFiber *before = sim.current;

  if (next == before)
    return;
  before->errno_kept = errno;
  if (sim.local)
    memcpy(before->local, sim.local, sim.local_size);
  sim.current = next;
  sim_digest_add(next->id);
  load_local();
  swapcontext(&before->context, &next->context);
  release_ended();
  errno = sim.current->errno_kept;
}

static void fiber_main(void)
{
  SimFiber *self = sim.current;

  release_ended();
  self->func(self->data);
  if (self->process && --self->process->n_fibers == 0)
    sim_wake(self->process, TRUE);
  g_ptr_array_remove(sim.fibers, self);
  sim.ended = self;
  sim.current = choose();
  sim_digest_add(sim.current->id);
  load_local();
  setcontext(&sim.current->context);
}

static void *new_stack(void)
{
  void *stack;

  if (sim.stacks->len)
    return g_ptr_array_steal_index_fast(sim.stacks, sim.stacks->len - 1);
  stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED || mprotect(stack, GUARD, PROT_NONE) != 0)
    g_error("no memory for a fiber");
  return stack;
}

void sim_spawn(SimProcess *process, const char *name, SimFunc func, gpointer data)
{
  SimFiber *f = g_new0(SimFiber, 1);

  f->stack = new_stack();
  f->id = sim.next_id++;
  f->name = name;
  f->process = process;
  f->func = func;
  f->data = data;
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = STACK;
  makecontext(&f->context, fiber_main, 0);
  if (process)
    process->n_fibers++;
  g_ptr_array_add(sim.fibers, f);
}

void sim_reset(guint64 seed)
{
  if (!sim.fibers) {
    sim.fibers = g_ptr_array_new();
    sim.stacks = g_ptr_array_new();
    sim.current = g_new0(SimFiber, 1);
    sim.current->name = "simulation";
    g_ptr_array_add(sim.fibers, sim.current);
  }
  g_assert_cmpuint(sim.fibers->len, ==, 1);
  sim.next_id = 1;
  sim.now = 0;
  sim.points = sim.progress = 0;
  sim.digest = G_GUINT64_CONSTANT(0xcbf29ce484222325);
  sim.random = sim_stream(seed, 1, 0);
}

/* --- points, waiting, time --- */

SimProcess *sim_self(void)
{
  return sim.current ? sim.current->process : NULL;
}

gint64 sim_now(void)
{
  return sim.now;
}

void sim_point(const char *what, guint64 detail)
{
  guint32 throw;

  sim.points++;
  sim_digest_add(detail ^ (guint64)(guchar)what[0] << 56);
  if (sim.points - sim.progress > STUCK)
    sim_fail("nothing gets on: %u steps, and time stands still", STUCK);
  throw = sim_random(64);
  if (throw == 0)
    sim.now += 1 + sim_random(50);
  if (throw % 8 == 0 && !sim.alone)
    switch_to(choose());
}

void sim_alone(gboolean alone)
{
  sim.alone = alone;
}

gboolean sim_wait(gconstpointer object, gint64 deadline)
{
  SimFiber *self = sim.current;
  gboolean woken;

  self->waits_for = object;
  self->wake_at = deadline;
  self->timed_out = FALSE;
  sim.points++;
  switch_to(choose());
  woken = !self->timed_out;
  self->waits_for = NULL;
  self->wake_at = 0;
  return woken;
}

void sim_wake(gconstpointer object, gboolean all)
{
  guint n = sim.fibers->len, first = all || n == 0 ? 0 : sim_random(n);

  for (guint i = 0; i < n; i++) {
    SimFiber *f = sim.fibers->pdata[(first + i) % n];

    if (f->waits_for != object)
      continue;
    f->waits_for = NULL;
    f->wake_at = 0;
    if (!all)
      return;
  }
}

void sim_sleep(gint64 us)
{
  SimFiber *self = sim.current;

  if (sim_is_ghost())
    us = 0;
  self->wake_at = sim.now + us;
  sim.points++;
  switch_to(choose());
  self->wake_at = 0;
}

/* --- processes --- */

SimProcess *sim_process_new(const char *name)
{
  SimProcess *process = g_new0(SimProcess, 1);

  process->name = g_strdup(name);
  return process;
}

void sim_process_kill(SimProcess *process)
{
  process->dead = TRUE;
  for (guint i = 0; i < sim.fibers->len; i++) {
    SimFiber *f = sim.fibers->pdata[i];

    if (f->process == process && f->wake_at != G_MAXINT64)
      f->wake_at = 0;
  }
}

void sim_process_reap(SimProcess *process)
{
  while (process->n_fibers)
    sim_wait(process, G_MAXINT64);
  g_free(process->name);
  g_free(process);
}
