/* virt-thin - where the fields of libvirt's private objects lie: discovered and proven in the
 * running daemon SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Discovery reads words of objects whose layout it does not know, and sets fields of which it only
 * suspects what they are. A wrong guess may crash, so it runs in a forked child, which tells what
 * it found through a pipe; the parent believes nothing that it has not seen for itself: it parses,
 * sets and formats with other sentinels, this time only at the offsets told, where a mistake would
 * have killed the child.
 *
 * Three precautions of the child: an object's words are read only as far as the allocator says it
 * reaches; a word is followed as a pointer only by the kernel (write(2) to a pipe, EFAULT when it
 * is none); and the numbers it sets are addresses of readable zeroes, so that a field which is a
 * pointer after all points to something harmless.
 *
 * The parent gives a child some seconds. libvirtd is multi-threaded: a lock that another thread
 * held at the fork stays locked in the child, which then hangs through no fault of the layout; so a
 * child that does not come back is killed and tried again.
 */
#include "libvirt/vtbackend-layout.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPTS 3
#define ATTEMPT_MS 2000
#define NO_OFFSET G_MAXUINT32

#define POOL_XML                                                                                   \
  "<pool type='logical'><name>%s-pool</name><uuid>8f3a2c1e-5b6d-4e7f-9a0b-1c2d3e4f5a6b</uuid>"     \
  "<source><name>%s/source</name></source><target/></pool>"
#define VOL_XML                                                                                    \
  "<volume type='%s'><name>%s-volume</name><key>%s-key</key><capacity "                            \
  "unit='bytes'>%" G_GUINT64_FORMAT "</capacity>"                                                  \
  "<allocation unit='bytes'>%" G_GUINT64_FORMAT                                                    \
  "</allocation><target><path>/dev/%s/path</path></target></volume>"

/* virStorageVolType (include/libvirt/libvirt-storage.h), in order from 0. */
static const char *const vol_types[] = {"file", "block", "dir", "network", "netdir"};

typedef struct {
  const VtLibvirt *libvirt;
  int probe[2];   /* pipe through which the kernel judges pointers */
  guint8 *zeroes; /* numbers to set are addresses in here */
  gsize zeroes_used;
} Search;

#define ZEROES 65536

/* What the child reports; a message of failure in place of a layout. */
typedef struct {
  gboolean found;
  VtLayout layout;
  char message[256];
} Report;

void vtbackend_layout_set_string(gpointer object, guint32 offset, const char *value)
{
  g_free(VT_FIELD(object, offset, char *));
  VT_FIELD(object, offset, char *) = g_strdup(value);
}

/* Does the word @pointer point to the string @text? */
static gboolean points_to(Search *search, guint64 pointer, const char *text)
{
  gsize length = strlen(text) + 1;
  char seen[256];
  g_assert(length <= sizeof seen);
  /* Not through write(3): this is the kernel's to judge, and no sanitizer's. */
  long written = syscall(SYS_write, search->probe[1], pointer, length);
  if (written <= 0)
    return FALSE;
  ssize_t got = read(search->probe[0], seen, written);
  return got == (ssize_t)length && memcmp(seen, text, length) == 0;
}

/* The one word of @object that points to @text. */
static guint32 find_string(Search *search, gpointer object, const char *text)
{
  guint32 found = NO_OFFSET;
  gsize size = malloc_usable_size(object);
  for (gsize offset = 0; offset + sizeof(gpointer) <= size; offset += sizeof(gpointer))
    if (points_to(search, (gsize)VT_FIELD(object, offset, gpointer), text)) {
      if (found != NO_OFFSET)
        return NO_OFFSET;
      found = offset;
    }
  return found;
}

/* The one word of @object that is @number. */
static guint32 find_number(gpointer object, guint64 number)
{
  guint32 found = NO_OFFSET;
  gsize size = malloc_usable_size(object);
  for (gsize offset = 0; offset + sizeof number <= size; offset += sizeof number)
    if (VT_FIELD(object, offset, guint64) == number) {
      if (found != NO_OFFSET)
        return NO_OFFSET;
      found = offset;
    }
  return found;
}

/* "<@element …>TEXT</" of @xml; NULL: not there. The caller's. */
static char *element_text(const char *xml, const char *element)
{
  g_autofree char *pattern = g_strdup_printf("<%s(?: [^>]*)?>([^<]*)</%s>", element, element);
  g_autoptr(GRegex) regex = g_regex_new(pattern, 0, 0, NULL);
  g_autoptr(GMatchInfo) match = NULL;
  return g_regex_match(regex, xml, 0, &match) ? g_match_info_fetch(match, 1) : NULL;
}

static gboolean element_is_number(const char *xml, const char *element, guint64 number)
{
  g_autofree char *text = xml ? element_text(xml, element) : NULL;
  g_autofree char *want = g_strdup_printf("%" G_GUINT64_FORMAT, number);
  return g_strcmp0(text, want) == 0;
}

static gboolean element_is(const char *xml, const char *element, const char *want)
{
  g_autofree char *text = xml ? element_text(xml, element) : NULL;
  return g_strcmp0(text, want) == 0;
}

static VtPoolDef *sentinel_pool(const VtLibvirt *libvirt, const char *tag)
{
  g_autofree char *xml = g_strdup_printf(POOL_XML, tag, tag);
  return vtbackend_pool_def_parse(libvirt, xml);
}

static VtVolDef *sentinel_vol(const VtLibvirt *libvirt, VtPoolDef *pool, const char *type,
                              const char *tag, guint64 capacity, guint64 allocation)
{
  g_autofree char *xml = g_strdup_printf(VOL_XML, type, tag, tag, capacity, allocation, tag);
  return vtbackend_vol_def_parse(libvirt, pool, xml);
}

/* A number to set that is a readable address, too; never the same twice. */
static guint64 harmless_number(Search *search)
{
  search->zeroes_used += sizeof(guint64);
  return (gsize)(search->zeroes + search->zeroes_used);
}

/* The zero word of @pool before @end that is printed as @element. */
static guint32 find_pool_total(Search *search, VtPoolDef *pool, guint32 end, const char *element)
{
  for (guint32 offset = 0; offset < end; offset += sizeof(guint64)) {
    if (VT_FIELD(pool, offset, guint64) != 0)
      continue;
    guint64 number = VT_FIELD(pool, offset, guint64) = harmless_number(search);
    g_autofree char *xml = search->libvirt->pool_def_format(pool);
    VT_FIELD(pool, offset, guint64) = 0;
    if (element_is_number(xml, element, number))
      return offset;
  }
  return NO_OFFSET;
}

static gboolean discover_pool(Search *search, VtPoolDef *pool, VtLayout *layout, GError **error)
{
  layout->pool_source_name = find_string(search, pool, "vtsentinel/source");
  layout->pool_target_path = find_string(search, pool, "/dev/vtsentinel/source");
  if (layout->pool_source_name == NO_OFFSET || layout->pool_target_path == NO_OFFSET)
    return vt_set_error(error, EINVAL, "source name or target path of a pool not found");
  /* The totals come before the source: what lies between - the number of devices, say - must not be
   * touched. */
  layout->pool_capacity = find_pool_total(search, pool, layout->pool_source_name, "capacity");
  layout->pool_allocation = find_pool_total(search, pool, layout->pool_source_name, "allocation");
  layout->pool_available = find_pool_total(search, pool, layout->pool_source_name, "available");
  if (layout->pool_capacity == NO_OFFSET || layout->pool_allocation == NO_OFFSET ||
      layout->pool_available == NO_OFFSET)
    return vt_set_error(error, EINVAL, "capacity, allocation or available of a pool not found");
  return TRUE;
}

/* The int that is 0, 1, 2, … in volumes of the types in order. */
static guint32 find_vol_type(Search *search, VtPoolDef *pool)
{
  VtVolDef *vols[G_N_ELEMENTS(vol_types)] = {NULL};
  guint32 found = NO_OFFSET;
  gsize size = G_MAXSIZE;
  for (guint i = 0; i < G_N_ELEMENTS(vol_types); i++) {
    if (!(vols[i] = sentinel_vol(search->libvirt, pool, vol_types[i], "vtsentinel", 1, 1)))
      return NO_OFFSET;
    size = MIN(size, malloc_usable_size(vols[i]));
  }
  for (gsize offset = 0; offset + sizeof(int) <= size; offset += sizeof(int)) {
    gboolean same = TRUE;
    for (guint i = 0; same && i < G_N_ELEMENTS(vol_types); i++)
      same = VT_FIELD(vols[i], offset, int) == (int)i;
    if (same && found != NO_OFFSET)
      return NO_OFFSET;
    if (same)
      found = offset;
  }
  return found;
}

/* It is printed when it is set, but never parsed: the zero word nearest behind the allocation that
 * has this effect. */
static guint32 find_vol_physical(Search *search, VtPoolDef *pool, VtVolDef *vol, guint32 allocation)
{
  for (guint32 offset = allocation + sizeof(guint64); offset <= allocation + 2 * sizeof(guint64);
       offset += sizeof(guint64)) {
    if (VT_FIELD(vol, offset, guint64) != 0)
      continue;
    guint64 number = VT_FIELD(vol, offset, guint64) = harmless_number(search);
    g_autofree char *xml = search->libvirt->vol_def_format(pool, vol);
    VT_FIELD(vol, offset, guint64) = 0;
    if (element_is_number(xml, "physical", number))
      return offset;
  }
  return NO_OFFSET;
}

static gboolean discover_vol(Search *search, VtPoolDef *pool, VtLayout *layout, GError **error)
{
  const guint64 capacity = G_GUINT64_CONSTANT(0x1234567890a000),
                allocation = G_GUINT64_CONSTANT(0x0fedcba9876000);
  VtVolDef *vol = sentinel_vol(search->libvirt, pool, "block", "vtsentinel", capacity, allocation);
  if (!vol)
    return vt_set_error(error, EINVAL, "libvirt does not parse a volume");
  layout->vol_name = find_string(search, vol, "vtsentinel-volume");
  layout->vol_key = find_string(search, vol, "vtsentinel-key");
  layout->vol_path = find_string(search, vol, "/dev/vtsentinel/path");
  layout->vol_type = find_vol_type(search, pool);
  layout->vol_capacity = find_number(vol, capacity);
  layout->vol_allocation = find_number(vol, allocation);
  if (layout->vol_name == NO_OFFSET || layout->vol_key == NO_OFFSET ||
      layout->vol_path == NO_OFFSET || layout->vol_type == NO_OFFSET)
    return vt_set_error(error, EINVAL, "name, key, path or type of a volume not found");
  if (layout->vol_capacity == NO_OFFSET || layout->vol_allocation == NO_OFFSET)
    return vt_set_error(error, EINVAL, "capacity or allocation of a volume not found");
  layout->vol_physical = find_vol_physical(search, pool, vol, layout->vol_allocation);
  if (layout->vol_physical == NO_OFFSET)
    return vt_set_error(error, EINVAL, "physical size of a volume not found");
  return TRUE;
}

/* In the child. */
static gboolean discover(const VtLibvirt *libvirt, VtLayout *layout, GError **error)
{
  Search search = {.libvirt = libvirt, .zeroes = calloc(1, ZEROES)};
  if (!search.zeroes || pipe(search.probe) < 0)
    return vt_set_errno(error, errno, "preparing the search");
  VtPoolDef *pool = sentinel_pool(libvirt, "vtsentinel");
  if (!pool)
    return vt_set_error(error, EINVAL, "libvirt does not parse a pool");
  return discover_pool(&search, pool, layout, error) && discover_vol(&search, pool, layout, error);
}

static G_GNUC_NORETURN void child(const VtLibvirt *libvirt, int fd)
{
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  for (int sig = 1; sig < NSIG; sig++) /* the daemon's own handlers are not ours to run */
    signal(sig, SIG_DFL);
  Report report = {0};
  GError *error = NULL;
  report.found = discover(libvirt, &report.layout, &error);
  if (!report.found)
    g_strlcpy(report.message, error->message, sizeof report.message);
  ssize_t written = write(fd, &report, sizeof report);
  _exit(written == sizeof report ? 0 : 1);
}

/* One child's report. ETIMEDOUT: worth another try. */
static gboolean ask_child(const VtLibvirt *libvirt, Report *report, GError **error)
{
  int fds[2], status = 0;
  if (pipe(fds) < 0)
    return vt_set_errno(error, errno, "making a pipe");
  pid_t pid = fork();
  if (pid < 0) {
    close(fds[0]);
    close(fds[1]);
    return vt_set_errno(error, errno, "forking");
  }
  if (pid == 0)
    child(libvirt, fds[1]);
  close(fds[1]);
  struct pollfd poll_fd = {.fd = fds[0], .events = POLLIN};
  int ready;
  while ((ready = poll(&poll_fd, 1, ATTEMPT_MS)) < 0 && errno == EINTR)
    ;
  ssize_t got = ready > 0 ? read(fds[0], report, sizeof *report) : 0;
  close(fds[0]);
  kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (ready <= 0)
    return vt_set_error(error, ETIMEDOUT, "a rehearsal of libvirt's parser did not come back");
  if (got != sizeof *report)
    return vt_set_error(error, EINVAL, "a rehearsal of libvirt's parser ended with signal %d",
                        WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  report->message[sizeof report->message - 1] = '\0';
  return report->found || vt_set_error(error, EINVAL, "%s", report->message);
}

/* --- the parent's own proof -------------------------------------------------------------- */

static gboolean fits(gpointer object, guint32 offset, gsize size)
{
  return offset % size == 0 && offset + size <= malloc_usable_size(object);
}

static gboolean prove_pool(const VtLibvirt *libvirt, const VtLayout *layout, VtPoolDef *pool)
{
  const guint32 strings[] = {layout->pool_source_name, layout->pool_target_path};
  const guint32 numbers[] = {layout->pool_capacity, layout->pool_allocation,
                             layout->pool_available};
  for (guint i = 0; i < G_N_ELEMENTS(strings); i++)
    if (!fits(pool, strings[i], sizeof(char *)))
      return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
    if (!fits(pool, numbers[i], sizeof(guint64)) || VT_FIELD(pool, numbers[i], guint64) != 0)
      return FALSE;
  if (g_strcmp0(VT_FIELD(pool, layout->pool_source_name, char *), "vtproof/source") != 0 ||
      g_strcmp0(VT_FIELD(pool, layout->pool_target_path, char *), "/dev/vtproof/source") != 0)
    return FALSE;
  vtbackend_layout_set_string(pool, layout->pool_target_path, "/dev/vtproof");
  VT_FIELD(pool, layout->pool_capacity, guint64) = 70000003;
  VT_FIELD(pool, layout->pool_allocation, guint64) = 30000001;
  VT_FIELD(pool, layout->pool_available, guint64) = 40000002;
  g_autofree char *xml = libvirt->pool_def_format(pool);
  return element_is_number(xml, "capacity", 70000003) &&
         element_is_number(xml, "allocation", 30000001) &&
         element_is_number(xml, "available", 40000002) && element_is(xml, "path", "/dev/vtproof");
}

static gboolean prove_vol(const VtLibvirt *libvirt, const VtLayout *layout, VtPoolDef *pool,
                          VtVolDef *vol)
{
  const guint32 strings[] = {layout->vol_name, layout->vol_key, layout->vol_path};
  const guint32 numbers[] = {layout->vol_capacity, layout->vol_allocation, layout->vol_physical};
  const char *const values[] = {"vtproof-volume", "vtproof-key", "/dev/vtproof/path"};
  const guint64 sizes[] = {987654321, 123456789, 0};
  for (guint i = 0; i < G_N_ELEMENTS(strings); i++)
    if (!fits(vol, strings[i], sizeof(char *)) ||
        g_strcmp0(VT_FIELD(vol, strings[i], char *), values[i]) != 0)
      return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
    if (!fits(vol, numbers[i], sizeof(guint64)) || VT_FIELD(vol, numbers[i], guint64) != sizes[i])
      return FALSE;
  if (!fits(vol, layout->vol_type, sizeof(int)) || VT_FIELD(vol, layout->vol_type, int) != 0)
    return FALSE;
  vtbackend_layout_set_string(vol, layout->vol_key, "vtproof-second-key");
  vtbackend_layout_set_string(vol, layout->vol_path, "/dev/vtproof/second-path");
  VT_FIELD(vol, layout->vol_type, int) = 1;
  VT_FIELD(vol, layout->vol_capacity, guint64) = 7000000000001;
  VT_FIELD(vol, layout->vol_allocation, guint64) = 7000000000002;
  VT_FIELD(vol, layout->vol_physical, guint64) = 7000000000003;
  g_autofree char *xml = libvirt->vol_def_format(pool, vol);
  return xml && strstr(xml, "<volume type='block'>") && element_is(xml, "name", "vtproof-volume") &&
         element_is(xml, "key", "vtproof-second-key") &&
         element_is(xml, "path", "/dev/vtproof/second-path") &&
         element_is_number(xml, "capacity", 7000000000001) &&
         element_is_number(xml, "allocation", 7000000000002) &&
         element_is_number(xml, "physical", 7000000000003);
}

static gboolean prove(const VtLibvirt *libvirt, const VtLayout *layout, GError **error)
{
  gboolean pool_proven = FALSE, vol_proven = FALSE;
  VtPoolDef *pool = sentinel_pool(libvirt, "vtproof");
  VtVolDef *vol =
      pool ? sentinel_vol(libvirt, pool, "file", "vtproof", 987654321, 123456789) : NULL;
  if (pool && vol) {
    vol_proven = prove_vol(libvirt, layout, pool, vol);
    pool_proven = prove_pool(libvirt, layout, pool);
  }
  if (vol)
    libvirt->vol_def_free(vol);
  if (pool)
    libvirt->pool_def_free(pool);
  if (!pool_proven || !vol_proven)
    return vt_set_error(error, EINVAL, "a %s does not show what was set in it",
                        pool_proven ? "volume" : "pool");
  return TRUE;
}

gboolean vtbackend_layout_discover(const VtLibvirt *libvirt, VtLayout *layout, GError **error)
{
  Report report = {0};
  for (guint attempt = 1;; attempt++) {
    g_autoptr(GError) local = NULL;
    if (ask_child(libvirt, &report, &local))
      break;
    if (!g_error_matches(local, VT_ERROR, ETIMEDOUT) || attempt == ATTEMPTS) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
  }
  if (!prove(libvirt, &report.layout, error))
    return FALSE;
  *layout = report.layout;
  return TRUE;
}
