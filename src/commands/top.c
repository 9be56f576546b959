/* virt-thin - command top: what goes on in thin pools, again and again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/progress.h"
#include "commands/commands.h"
#include "metrics/collect.h"

#define CLEAR_SCREEN "\033[H\033[2J"
#define SECTOR 512
#define USUAL_ROWS 24
#define USUAL_COLUMNS 80
#define NAME_WIDTH 28

static double interval = 2;
static int count;
static volatile sig_atomic_t ended;

/* What was read and written of a volume since its device is there; G_MAXUINT64: not known. */
typedef struct {
  guint64 reads, read, writes, written; /* requests, and bytes */
} Io;

/* One look. */
typedef struct {
  Metrics *metrics;
  gint64 time;
  GHashTable *io; /* "VG/LV" -> Io, of volumes with a block device */
} Look;

static void look_clear(Look *look)
{
  g_clear_pointer(&look->metrics, metrics_free);
  g_clear_pointer(&look->io, g_hash_table_unref);
}

/* --- looking --- */

/* Of the kernel's count for @path, a block device; NULL: none. The caller's. */
static Io *read_io(const char *path)
{
  g_autofree char *file = NULL, *text = NULL;
  Io io;
  struct stat st;

  if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
    return NULL;
  file = g_strdup_printf("/sys/dev/block/%u:%u/stat", major(st.st_rdev), minor(st.st_rdev));
  if (!g_file_get_contents(file, &text, NULL, NULL) ||
      sscanf(text,
             "%" G_GUINT64_FORMAT " %*u %" G_GUINT64_FORMAT " %*u %" G_GUINT64_FORMAT
             " %*u %" G_GUINT64_FORMAT,
             &io.reads, &io.read, &io.writes, &io.written) != 4)
    return NULL;
  io.read *= SECTOR;
  io.written *= SECTOR;
  return g_memdup2(&io, sizeof io);
}

static char *key_of(const PoolVolumeInfo *v)
{
  return g_strdup_printf("%s/%s", v->vg, v->name);
}

static Look look_now(char **vgs)
{
  Look look = {metrics_collect((const char *const *)vgs, cli_where(POOL_READ_ONLY), FALSE, FALSE),
               g_get_monotonic_time(),
               g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};

  for (guint i = 0; i < look.metrics->vgs->len; i++) {
    const MetricsVg *vg = look.metrics->vgs->pdata[i];

    for (guint k = 0; vg->volumes && k < vg->volumes->len; k++) {
      const PoolVolumeInfo *v = vg->volumes->pdata[k];
      Io *io = v->path_is_block && v->path ? read_io(v->path) : NULL;

      if (io)
        g_hash_table_insert(look.io, key_of(v), io);
    }
  }
  return look;
}

static const MetricsVg *find_vg(const Look *look, const char *name)
{
  for (guint i = 0; i < look->metrics->vgs->len; i++)
    if (strcmp(((MetricsVg *)look->metrics->vgs->pdata[i])->name, name) == 0)
      return look->metrics->vgs->pdata[i];
  return NULL;
}

static const PoolVolumeInfo *find_volume(const Look *look, const PoolVolumeInfo *v)
{
  const MetricsVg *vg = find_vg(look, v->vg);

  for (guint i = 0; vg && vg->volumes && i < vg->volumes->len; i++)
    if (strcmp(((PoolVolumeInfo *)vg->volumes->pdata[i])->uuid, v->uuid) == 0)
      return vg->volumes->pdata[i];
  return NULL;
}

/* --- a screen of lines --- */

typedef struct {
  GPtrArray *lines; /* of char * */
  const Look *first, *before, *now;
  double seconds; /* between the last two */
} Screen;

static void add_line(Screen *screen, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_line(Screen *screen, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  g_ptr_array_add(screen->lines, g_strdup_vprintf(format, args));
  va_end(args);
}

/* "12.50 MiB"; "-" where it is not known or nothing. The caller's. */
static char *rate(double bytes)
{
  g_autofree char *size = NULL;

  if (isnan(bytes) || fabs(bytes) < 1)
    return g_strdup("-");
  size = cli_size((guint64)fabs(bytes));
  return g_strconcat(bytes < 0 ? "-" : "", size, NULL);
}

/* "3 d 4 h". The caller's. */
static char *duration(double seconds)
{
  guint64 minutes = (guint64)(seconds / 60), hours = minutes / 60;

  if (hours >= 48)
    return g_strdup_printf("%" G_GUINT64_FORMAT " d %" G_GUINT64_FORMAT " h", hours / 24,
                           hours % 24);
  if (hours)
    return g_strdup_printf("%" G_GUINT64_FORMAT " h %" G_GUINT64_FORMAT " min", hours,
                           minutes % 60);
  return g_strdup_printf("%" G_GUINT64_FORMAT " min", minutes);
}

/* As samples of a day say, or, without these, what was seen here since the first look. */
static PoolGrowth growth_of(const Screen *screen, const char *vg_name, const MetricsPool *pool)
{
  PoolGrowth growth = pool->data;
  double hours = (double)(screen->now->time - screen->first->time) / G_USEC_PER_SEC / 3600;
  const MetricsVg *vg = find_vg(screen->first, vg_name);

  for (guint i = 0; isnan(growth.full_in) && hours > 0 && vg && i < vg->pools->len; i++) {
    const PoolInfo *then = ((MetricsPool *)vg->pools->pdata[i])->info, *info = pool->info;

    if (strcmp(then->uuid, info->uuid) != 0 || then->used == G_MAXUINT64 ||
        info->used == G_MAXUINT64)
      continue;
    growth.hour = ((double)info->used - (double)then->used) / hours;
    growth.full_in =
        growth.hour > 0
            ? ((double)MAX(info->size, info->max_size) - (double)info->used) / growth.hour * 3600
            : (double)INFINITY;
  }
  return growth;
}

static void add_pool(Screen *screen, const char *vg, const MetricsPool *pool)
{
  const PoolInfo *info = pool->info;
  PoolGrowth growth = growth_of(screen, vg, pool);
  double faster = fmax(growth.hour, growth.day);
  g_autofree char *bar = cli_bar(info->used, info->size), *grows = rate(faster),
                  *data = cli_percent(info->used, info->size),
                  *metadata = cli_percent(info->metadata_used, info->metadata_size), *full = NULL;

  full = isnan(growth.full_in) || isinf(growth.full_in) ? g_strdup("-") : duration(growth.full_in);
  add_line(screen, "%s/%s  [%s] %s, metadata %s", vg, info->name, bar, data, metadata);
  add_line(screen, "  grows per hour: %s, full in: %s%s%s", grows, full, info->health ? "; " : "",
           info->health ? info->health : "");
}

/* --- requests of services --- */

typedef struct {
  guint64 n, time, bytes;
} Requests;

static Requests count_requests(GVariant *property, const char *kind)
{
  Requests requests = {0};
  g_autoptr(GVariant) rows = property ? g_variant_get_child_value(property, 1) : NULL;

  for (gsize i = 0; rows && i < g_variant_n_children(rows); i++) {
    g_autoptr(GVariant) row = g_variant_get_child_value(rows, i), counts = NULL;
    const char *way, *its_kind;
    const guint64 *numbers;
    guint64 time, bytes;
    gsize n;

    g_variant_get(row, "(&s&s@attt)", &way, &its_kind, &counts, &time, &bytes);
    if (strcmp(its_kind, kind) != 0)
      continue;
    numbers = g_variant_get_fixed_array(counts, &n, sizeof *numbers);
    for (gsize k = 0; k < n; k++)
      requests.n += numbers[k];
    requests.time += time;
    requests.bytes += bytes;
  }
  return requests;
}

static void add_requests(Screen *screen, const MetricsVg *vg)
{
  const MetricsVg *before = find_vg(screen->before, vg->name);

  if (!vg->requests || !before || !before->requests)
    return;
  add_line(screen, "  %-*s %11s %11s %9s", NAME_WIDTH, "REQUESTS", "BYTES/S", "PER S", "TAKES MS");
  for (const char *const *kind = (const char *const[]){"read", "write", "flush", "discard", NULL};
       *kind; kind++) {
    Requests now = count_requests(vg->requests, *kind),
             then = count_requests(before->requests, *kind);
    double n = now.n >= then.n ? (double)(now.n - then.n) : NAN; /* an engine began anew */
    g_autofree char *bytes = rate((double)(now.bytes - then.bytes) / screen->seconds),
                    *takes =
                        n > 0 ? g_strdup_printf("%.2f", (double)(now.time - then.time) / n / 1000)
                              : g_strdup("-");

    if (!isnan(n))
      add_line(screen, "  %-*s %11s %11.0f %9s", NAME_WIDTH, *kind, bytes, n / screen->seconds,
               takes);
  }
}

/* --- volumes --- */

typedef struct {
  const PoolVolumeInfo *volume;
  double read, written, requests, growth; /* a second; NAN: not known */
} Row;

static Row row_of(const Screen *screen, const PoolVolumeInfo *v)
{
  Row row = {v, NAN, NAN, NAN, NAN};
  g_autofree char *key = key_of(v);
  const PoolVolumeInfo *then = find_volume(screen->before, v);
  const Io *io = g_hash_table_lookup(screen->now->io, key),
           *io_then = g_hash_table_lookup(screen->before->io, key);

  if (then && then->mapped != G_MAXUINT64 && v->mapped != G_MAXUINT64)
    row.growth = ((double)v->mapped - (double)then->mapped) / screen->seconds;
  if (io && io_then && io->read >= io_then->read && io->written >= io_then->written) {
    row.read = (double)(io->read - io_then->read) / screen->seconds;
    row.written = (double)(io->written - io_then->written) / screen->seconds;
    row.requests =
        (double)(io->reads - io_then->reads + io->writes - io_then->writes) / screen->seconds;
  }
  return row;
}

static double weight(const Row *row)
{
  double io = isnan(row->read) ? 0 : row->read + row->written;

  return MAX(io, isnan(row->growth) ? 0 : fabs(row->growth));
}

static int compare_rows(gconstpointer a, gconstpointer b)
{
  double left = weight(a), right = weight(b);

  return left < right ? 1 : left > right ? -1 : 0;
}

static void add_volumes(Screen *screen, const MetricsVg *vg)
{
  g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));

  for (guint i = 0; vg->volumes && i < vg->volumes->len; i++) {
    Row row = row_of(screen, vg->volumes->pdata[i]);

    g_array_append_val(rows, row);
  }
  g_array_sort(rows, compare_rows);
  if (rows->len)
    add_line(screen, "  %-*s %11s %11s %9s %11s", NAME_WIDTH, "VOLUME", "READS/S", "WRITES/S",
             "PER S", "GROWS/S");
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = &g_array_index(rows, Row, i);
    g_autofree char *read = rate(row->read), *written = rate(row->written),
                    *growth = rate(row->growth), *name = cli_cut(row->volume->name, NAME_WIDTH),
                    *n = isnan(row->requests) ? g_strdup("-")
                                              : g_strdup_printf("%.0f", row->requests);

    add_line(screen, "  %s%*s %11s %11s %9s %11s", name, NAME_WIDTH - (int)g_utf8_strlen(name, -1),
             "", read, written, n, growth);
  }
}

/* --- the command --- */

/* Of a terminal as many lines and columns as it has. */
static void show(const Screen *screen, gboolean terminal)
{
  struct winsize size = {0};

  if (terminal && (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col))
    size = (struct winsize){USUAL_ROWS, USUAL_COLUMNS, 0, 0};
  if (terminal)
    fputs(CLEAR_SCREEN, stdout);
  for (guint i = 0; i < screen->lines->len && (!terminal || i + 1 < size.ws_row); i++) {
    g_autofree char *valid = g_utf8_make_valid(screen->lines->pdata[i], -1),
                    *line = terminal ? cli_cut(valid, size.ws_col) : g_strdup(valid);

    puts(line);
  }
  fflush(stdout);
}

static void show_all(const Look *first, const Look *before, const Look *now, gboolean terminal)
{
  Screen screen = {g_ptr_array_new_with_free_func(g_free), first, before, now,
                   (double)(now->time - before->time) / G_USEC_PER_SEC};

  for (guint i = 0; i < now->metrics->vgs->len; i++) {
    const MetricsVg *vg = now->metrics->vgs->pdata[i];

    for (guint k = 0; k < vg->pools->len; k++)
      add_pool(&screen, vg->name, vg->pools->pdata[k]);
    add_requests(&screen, vg);
    add_volumes(&screen, vg);
  }
  for (guint i = 0; i < now->metrics->problems->len; i++)
    add_line(&screen, "%s", (char *)now->metrics->problems->pdata[i]);
  show(&screen, terminal);
  g_ptr_array_unref(screen.lines);
}

static void on_signal(int number)
{
  ended = TRUE;
}

/* Interrupted by a signal. */
static void wait_a_while(void)
{
  struct timespec time = {(time_t)interval, (long)((interval - floor(interval)) * 1e9)};

  nanosleep(&time, NULL);
}

static int run_top(char **args, GError **error)
{
  gboolean terminal = isatty(STDOUT_FILENO);
  const struct sigaction action = {.sa_handler = on_signal};
  Look first, before, now;
  gboolean ok = TRUE;

  for (char **arg = args; arg && *arg; arg++)
    if (strchr(*arg, '/'))
      return cli_usage(error, "\"%s\" is not a volume group", *arg), CLI_WRONG_USAGE;
  if (!(interval >= 0.1 && interval <= 86400) || count < 0)
    return cli_usage(error, "--interval is 0.1 to 86400 seconds, and --count no less than 0"),
           CLI_WRONG_USAGE;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  first = look_now(args);
  before = (Look){NULL, 0, NULL};
  for (int i = 0; !ended && (count == 0 || i < count); i++) {
    wait_a_while();
    if (ended)
      break;
    now = look_now(args);
    show_all(&first, before.metrics ? &before : &first, &now, terminal);
    ok = now.metrics->problems->len == 0;
    look_clear(&before);
    before = now;
  }
  look_clear(&before);
  look_clear(&first);
  return cli_status(ok);
}

static const GOptionEntry top_options[] = {
    {"interval", 0, 0, G_OPTION_ARG_DOUBLE, &interval, "Look again after that time (2)", "SECONDS"},
    {"count", 0, 0, G_OPTION_ARG_INT, &count, "End after that many times; 0: go on (0)", "N"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_top = {
    .name = "top",
    .arguments = "[VG...]",
    .summary = "Show what goes on in thin pools",
    .description =
        "Again and again: how full pools are, how fast they grow and when they will be full, what "
        "their service is asked and how long it takes, and of each volume, the busiest first, what "
        "is read and written, where it has a block device, and how it grows. Control-C ends it. "
        "Changes nothing.",
    .options = top_options,
    .min_args = 0,
    .max_args = -1,
    .run = run_top,
};
