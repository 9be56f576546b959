/* virt-thin - simulation: what the linker calls in place of threads, clocks, chance and the host
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#include "disk.h"
#include "fiber.h"
#include "lvm/content.h"
#include "lvm/store-private.h"
#include "util/error.h"

#define EPOCH G_GINT64_CONSTANT(1700000000) /* where the simulation's real time begins, seconds */

/* --- threads --- */

typedef struct {
  void *(*func)(void *);
  void *data, *result;
  gboolean ended, joinable;
} Thread;

static void run(gpointer data)
{
  Thread *thread = data;

  thread->result = thread->func(thread->data);
  thread->ended = TRUE;
  sim_wake(thread, TRUE);
  if (!thread->joinable)
    g_free(thread);
}

static Thread *start(const char *name, void *(*func)(void *), void *data)
{
  Thread *thread = g_new0(Thread, 1);

  thread->func = func;
  thread->data = data;
  thread->joinable = TRUE;
  sim_spawn(sim_self(), name, run, thread);
  return thread;
}

static void forget(Thread *thread)
{
  thread->joinable = FALSE;
  if (thread->ended)
    g_free(thread);
}

static void *join(Thread *thread)
{
  void *result;

  while (!thread->ended)
    sim_wait(thread, G_MAXINT64);
  result = thread->result;
  g_free(thread);
  return result;
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *a, void *(*func)(void *), void *d);
int __wrap_pthread_join(pthread_t id, void **result);
int __wrap_pthread_detach(pthread_t id);
GThread *__wrap_g_thread_new(const char *name, GThreadFunc func, gpointer data);
gpointer __wrap_g_thread_join(GThread *thread);
void __wrap_g_thread_unref(GThread *thread);

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *a, void *(*func)(void *), void *d)
{
  Thread *thread = start("thread", func, d);
  int state = PTHREAD_CREATE_JOINABLE;

  *id = (pthread_t)thread;
  if (a)
    pthread_attr_getdetachstate(a, &state);
  if (state == PTHREAD_CREATE_DETACHED)
    thread->joinable = FALSE;
  return 0;
}

int __wrap_pthread_join(pthread_t id, void **result)
{
  void *found = join((Thread *)id);

  if (result)
    *result = found;
  return 0;
}

int __wrap_pthread_detach(pthread_t id)
{
  forget((Thread *)id);
  return 0;
}

GThread *__wrap_g_thread_new(const char *name, GThreadFunc func, gpointer data)
{
  return (GThread *)start("thread", func, data);
}

gpointer __wrap_g_thread_join(GThread *thread)
{
  return join((Thread *)thread);
}

void __wrap_g_thread_unref(GThread *thread)
{
  forget((Thread *)thread);
}

/* --- the clock --- */

gint64 __wrap_g_get_monotonic_time(void);
gint64 __wrap_g_get_real_time(void);
time_t __wrap_time(time_t *at);
int __wrap_clock_gettime(clockid_t clock, struct timespec *at);
void __wrap_g_usleep(gulong us);
GDateTime *__wrap_g_date_time_new_now_local(void);

gint64 __wrap_g_get_monotonic_time(void)
{
  return sim_now() + G_USEC_PER_SEC; /* 0 stands for "never" here and there */
}

gint64 __wrap_g_get_real_time(void)
{
  return EPOCH * G_USEC_PER_SEC + sim_now();
}

time_t __wrap_time(time_t *at)
{
  time_t now = EPOCH + sim_now() / G_USEC_PER_SEC;

  if (at)
    *at = now;
  return now;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *at)
{
  gint64 now = clock == CLOCK_REALTIME ? __wrap_g_get_real_time() : __wrap_g_get_monotonic_time();

  *at = (struct timespec){now / G_USEC_PER_SEC, now % G_USEC_PER_SEC * 1000};
  return 0;
}

void __wrap_g_usleep(gulong us)
{
  sim_sleep(us);
}

GDateTime *__wrap_g_date_time_new_now_local(void)
{
  return g_date_time_new_from_unix_utc(__wrap_time(NULL));
}

/* --- chance --- */

ssize_t __wrap_getrandom(void *buf, size_t size, unsigned int flags);
gint32 __wrap_g_random_int_range(gint32 begin, gint32 end);
guint32 __wrap_g_random_int(void);

ssize_t __wrap_getrandom(void *buf, size_t size, unsigned int flags)
{
  for (size_t i = 0; i < size; i++)
    ((guint8 *)buf)[i] = sim_random(256);
  return size;
}

gint32 __wrap_g_random_int_range(gint32 begin, gint32 end)
{
  return begin + (gint32)sim_random(end - begin);
}

guint32 __wrap_g_random_int(void)
{
  return sim_random(G_MAXUINT32);
}

/* --- the host: one that has no device-mapper, and is the same everywhere --- */

int __wrap_uname(struct utsname *host);
const char *__wrap_g_get_host_name(void);
gboolean __wrap_dmk_available(GError **error);
char *__wrap_dmk_find_active(const char *vg_uuid);
char *__wrap_lvm_content_belongs_to(const char *path, guint64 size, const LvmRange *extents);
gboolean __wrap_lvm_content_check_free(const char *path, GError **error);
gboolean __wrap_g_file_test(const char *path, GFileTest test);
gboolean __real_g_file_test(const char *path, GFileTest test);
gboolean __wrap_lvm_archive_save(LvmArchive **archive, const char *dir, LvmVg *vg,
                                 const char *description, GError **error);

int __wrap_uname(struct utsname *host)
{
  *host = (struct utsname){"Linux", "sim", "6.1.0", "#1", "x86_64", ""};
  return 0;
}

const char *__wrap_g_get_host_name(void)
{
  return "sim";
}

gboolean __wrap_dmk_available(GError **error)
{
  return vt_set_error(error, ENOENT, "there is no device-mapper");
}

char *__wrap_dmk_find_active(const char *vg_uuid)
{
  return NULL;
}

char *__wrap_lvm_content_belongs_to(const char *path, guint64 size, const LvmRange *extents)
{
  return NULL;
}

gboolean __wrap_lvm_content_check_free(const char *path, GError **error)
{
  return TRUE;
}

gboolean __wrap_g_file_test(const char *path, GFileTest test)
{
  if (sim_disk_find(path))
    return (test & (G_FILE_TEST_EXISTS | G_FILE_TEST_IS_REGULAR)) != 0;
  return __real_g_file_test(path, test);
}

/* The archive lies on the file system that may be full. */
gboolean __wrap_lvm_archive_save(LvmArchive **archive, const char *dir, LvmVg *vg,
                                 const char *description, GError **error)
{
  sim_point("archive", 0);
  return !sim_is_full() || vt_set_error(error, ENOSPC, "%s: no space left", dir);
}
