/* virt-thin - where things are: virt-thin.conf, the environment, the folders
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Everything is read at the first question and kept: a service does not change its mind while it
 * runs. A value that makes no sense is reported once, with its place, and the default holds: a
 * typing error in [service] must not keep a machine's disks away.
 */
#include "settings/settings.h"

#include <glob.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/name.h"

#define LIBVIRT_GROUP "libvirt" /* as Debian's and Fedora's libvirtd has it for its own sockets */

typedef struct {
  char *state_dir, *runtime_dir;
  GStrv devices; /* as written, NULL: the state folder's images */
  PoolLimits limits;
  GHashTable *pool_limits; /* "vg/pool": PoolLimits */
  guint autoextend_threshold, autoextend_percent;
  char *block_nodes, *socket_group, *dev_dir, *program;
  guint socket_mode, threads, watchdog;
  GHashTable *engines; /* name of VG, or "": PoolEngine; NULL: the environment's for all */
  PoolEngine engine;   /* of the environment */
} Settings;

static Settings *the_settings;

static char *from_env_or(const char *variable, char *otherwise)
{
  const char *value = g_getenv(variable);

  if (!value || !*value)
    return otherwise;
  g_free(otherwise);
  return g_canonicalize_filename(value, NULL);
}

static char *system_or_user(const char *system_dir, const char *user_dir)
{
  return geteuid() == 0 ? g_strdup(system_dir) : g_build_filename(user_dir, "virt-thin", NULL);
}

char *settings_config_file(void)
{
  g_autofree char *folder =
      system_or_user(VIRT_THIN_SYSCONFDIR "/virt-thin", g_get_user_config_dir());

  return from_env_or("VIRT_THIN_CONFIG", g_build_filename(folder, "virt-thin.conf", NULL));
}

char *settings_unit_dir(void)
{
  return from_env_or("VIRT_THIN_UNIT_DIR",
                     geteuid() == 0
                         ? g_strdup("/etc/systemd/system")
                         : g_build_filename(g_get_user_config_dir(), "systemd", "user", NULL));
}

static GKeyFile *read_file(char **path)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize length;

  *path = settings_config_file();
  if (g_file_get_contents(*path, &text, &length, &error))
    g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, &error);
  else if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT) &&
           !g_getenv("VIRT_THIN_CONFIG"))
    g_clear_error(&error);
  if (error)
    g_warning("%s: %s; going on with the defaults", *path, error->message);
  return g_steal_pointer(&file);
}

/* The trimmed value, or NULL when the key is absent or empty. */
static char *get_value(GKeyFile *file, const char *group, const char *key)
{
  g_autofree char *value = g_key_file_get_string(file, group, key, NULL);

  return value && *g_strstrip(value) ? g_steal_pointer(&value) : NULL;
}

static void complain(const char *path, const char *group, const char *key, const char *value,
                     const char *wanted)
{
  g_warning("%s: [%s] %s=%s is not %s; going on with the default", path, group, key, value, wanted);
}

/* FALSE: it is not there, or makes no sense. */
static gboolean read_factor(GKeyFile *file, const char *path, const char *group, const char *key,
                            double *factor)
{
  g_autofree char *value = get_value(file, group, key);
  char *end;
  double number;

  if (!value)
    return FALSE;
  number = g_ascii_strtod(value, &end);
  if (*end || end == value || !(number >= 0 && number <= 1e9)) {
    complain(path, group, key, value, "a number from 0 (no limit) up");
    return FALSE;
  }
  *factor = number;
  return TRUE;
}

/* What @group does not say stays. */
static void read_limits(GKeyFile *file, const char *path, const char *group, PoolLimits *limits)
{
  g_autofree char *available = get_value(file, group, "available");

  read_factor(file, path, group, "overcommit", &limits->overcommit);
  if (read_factor(file, path, group, "largest-volume", &limits->largest_volume))
    limits->usual_volume = 0;
  if (available && strcmp(available, "space") != 0 && strcmp(available, "promises") != 0)
    complain(path, group, "available", available, "space or promises");
  else if (available)
    limits->promises = strcmp(available, "promises") == 0;
}

static void read_all_limits(Settings *s, GKeyFile *file, const char *path)
{
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);

  s->limits = (PoolLimits){.largest_volume = 250, .usual_volume = G_GUINT64_CONSTANT(10) << 40};
  s->pool_limits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  read_limits(file, path, "limits", &s->limits);
  for (char **group = groups; *group; group++)
    if (g_str_has_prefix(*group, "pool ")) {
      PoolLimits *limits = g_memdup2(&s->limits, sizeof s->limits);

      read_limits(file, path, *group, limits);
      g_hash_table_insert(s->pool_limits, g_strstrip(g_strdup(*group + 5)), limits);
    }
}

/* A number from @least to @most; absent or unusable: @otherwise. */
static guint read_number(GKeyFile *file, const char *path, const char *group, const char *key,
                         guint least, guint most, guint otherwise)
{
  g_autofree char *value = get_value(file, group, key),
                  *wanted = g_strdup_printf("a number from %u to %u", least, most);
  guint64 number;

  if (value && g_ascii_string_to_unsigned(value, 10, least, most, &number, NULL))
    return (guint)number;
  if (value)
    complain(path, group, key, value, wanted);
  return otherwise;
}

static gboolean group_exists(const char *name)
{
  struct group *entry, buffer;
  char text[16384];

  return getgrnam_r(name, &buffer, text, sizeof text, &entry) == 0 && entry;
}

/* Root's services are libvirt's to use, where there is that group; a user's own are nobody else's.
 * @mode: as told; NULL: not. */
static void read_sockets(Settings *s, GKeyFile *file, const char *path, const char *mode)
{
  guint64 number;

  s->socket_group = get_value(file, "service", "socket-group");
  if (!s->socket_group && geteuid() == 0 && group_exists(LIBVIRT_GROUP))
    s->socket_group = g_strdup(LIBVIRT_GROUP);
  s->socket_mode = s->socket_group ? 0660 : 0600;
  if (mode && g_ascii_string_to_unsigned(mode, 8, 0, 0777, &number, NULL))
    s->socket_mode = number;
  else if (mode)
    complain(path, "service", "socket-mode", mode, "an octal mode such as 0600");
}

static void read_service(Settings *s, GKeyFile *file, const char *path)
{
  g_autofree char *nodes = get_value(file, "service", "block-nodes");
  g_autofree char *mode = get_value(file, "service", "socket-mode");
  const char *const kinds[] = {"auto", "nbd", "loop", "none", NULL};

  if (nodes && g_strv_contains(kinds, nodes))
    s->block_nodes = g_steal_pointer(&nodes);
  else if (nodes)
    complain(path, "service", "block-nodes", nodes, "auto, nbd, loop or none");
  s->threads = read_number(file, path, "service", "threads", 1, 1024, 32);
  s->watchdog = read_number(file, path, "service", "watchdog", 0, 3600, 30);
  read_sockets(s, file, path, mode);
}

static const char *const engine_names[] = {[POOL_ENGINE_AUTO] = "auto",
                                           [POOL_ENGINE_KERNEL] = "kernel",
                                           [POOL_ENGINE_BUNDLED] = "bundled"};

const char *settings_engine_name(PoolEngine engine)
{
  return engine_names[engine];
}

gboolean settings_parse_engine(const char *word, PoolEngine *engine)
{
  for (guint i = 0; i < G_N_ELEMENTS(engine_names); i++)
    if (strcmp(word, engine_names[i]) == 0) {
      *engine = (PoolEngine)i;
      return TRUE;
    }
  return FALSE;
}

/* [vg] is about all volume groups, [vg NAME] about one. */
static void read_engines(Settings *s, GKeyFile *file, const char *path)
{
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  const char *variable = g_getenv("VIRT_THIN_ENGINE");

  if (variable && settings_parse_engine(variable, &s->engine))
    return;
  if (variable)
    g_warning("VIRT_THIN_ENGINE=%s is not auto, kernel or bundled; going by %s", variable, path);
  s->engines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (char **group = groups; *group; group++) {
    gboolean all = strcmp(*group, "vg") == 0;
    g_autofree char *value =
        all || g_str_has_prefix(*group, "vg ") ? get_value(file, *group, "engine") : NULL;
    PoolEngine engine;

    if (value && settings_parse_engine(value, &engine))
      g_hash_table_insert(s->engines, g_strstrip(g_strdup(all ? "" : *group + 3)),
                          GINT_TO_POINTER(engine));
    else if (value)
      complain(path, *group, "engine", value, "auto, kernel or bundled");
  }
}

static Settings *load(void)
{
  Settings *s = g_new0(Settings, 1);
  g_autofree char *path = NULL;
  g_autoptr(GKeyFile) file = read_file(&path);
  char *dev_dir;

  s->state_dir =
      from_env_or("VIRT_THIN_STATE_DIR",
                  system_or_user(VIRT_THIN_LOCALSTATEDIR "/lib/virt-thin", g_get_user_data_dir()));
  s->runtime_dir =
      from_env_or("VIRT_THIN_RUNTIME_DIR",
                  system_or_user(VIRT_THIN_RUNSTATEDIR "/virt-thin", g_get_user_runtime_dir()));
  s->devices = g_key_file_get_string_list(file, "devices", "paths", NULL, NULL);
  s->autoextend_threshold = read_number(file, path, "autoextend", "threshold", 50, 100, 80);
  s->autoextend_percent = read_number(file, path, "autoextend", "percent", 1, 1000, 20);
  read_all_limits(s, file, path);
  read_service(s, file, path);
  read_engines(s, file, path);
  if (!s->block_nodes)
    s->block_nodes = g_strdup("auto");
  dev_dir = get_value(file, "service", "dev-dir");
  s->dev_dir = from_env_or("VIRT_THIN_DEV_DIR", dev_dir ? dev_dir : g_strdup("/dev"));
  s->program = from_env_or("VIRT_THIN_PROGRAM", g_strdup(VIRT_THIN_BINDIR "/virt-thin"));
  return s;
}

static Settings *settings(void)
{
  if (g_once_init_enter(&the_settings))
    g_once_init_leave(&the_settings, load());
  return the_settings;
}

void settings_make_environment_absolute(void)
{
  static const char *const variables[] = {"VIRT_THIN_STATE_DIR", "VIRT_THIN_RUNTIME_DIR",
                                          "VIRT_THIN_CONFIG",    "VIRT_THIN_DEV_DIR",
                                          "VIRT_THIN_PROGRAM",   "VIRT_THIN_UNIT_DIR"};

  for (guint i = 0; i < G_N_ELEMENTS(variables); i++) {
    g_autofree char *path = from_env_or(variables[i], NULL);
    if (path)
      g_setenv(variables[i], path, TRUE);
  }
}

const char *settings_state_dir(void)
{
  return settings()->state_dir;
}

const char *settings_runtime_dir(void)
{
  return settings()->runtime_dir;
}

/* A name from outside stays one component: '/' and a leading '.' cannot lead elsewhere. No VG has
 * such a name, so nothing is found there. */
static char *as_component(const char *name)
{
  g_autofree char *escaped = g_uri_escape_string(name, "+", TRUE);

  return *escaped == '.' || !*escaped ? g_strconcat("%", escaped, NULL) : g_steal_pointer(&escaped);
}

char *settings_vg_dir(const char *vg)
{
  g_autofree char *component = as_component(vg);

  return g_build_filename(settings_runtime_dir(), component, NULL);
}

char *settings_vg_file(const char *vg, const char *name)
{
  g_autofree char *folder = settings_vg_dir(vg);

  return g_build_filename(folder, name, NULL);
}

char *settings_archive_dir(void)
{
  return g_build_filename(settings_state_dir(), "archive", NULL);
}

/* A path without wildcards is taken as it is, there or not: whoever opens it has the better
 * message. */
static void add_matches(GPtrArray *paths, const char *pattern)
{
  glob_t found = {0};

  if (!strpbrk(pattern, "*?[")) {
    g_ptr_array_add(paths, g_canonicalize_filename(pattern, NULL));
    return;
  }
  if (glob(pattern, 0, NULL, &found) == 0)
    for (gsize i = 0; i < found.gl_pathc; i++)
      g_ptr_array_add(paths, g_canonicalize_filename(found.gl_pathv[i], NULL));
  globfree(&found);
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Not by glob(): the folder's own name may hold wildcards. */
static void add_images(GPtrArray *paths, const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    if (g_str_has_suffix(name, ".img") && *name != '.')
      g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
  g_ptr_array_sort(paths, compare_paths);
}

GStrv settings_devices(void)
{
  g_autoptr(GPtrArray) paths = g_ptr_array_new();

  for (char **device = settings()->devices; device && *device; device++) {
    g_autofree char *pattern = g_strstrip(g_strdup(*device));

    add_matches(paths, pattern);
  }
  if (!settings()->devices)
    add_images(paths, settings_state_dir());
  g_ptr_array_add(paths, NULL);
  return (GStrv)g_ptr_array_free(g_steal_pointer(&paths), FALSE);
}

guint settings_autoextend_threshold(void)
{
  return settings()->autoextend_threshold;
}

guint settings_autoextend_percent(void)
{
  return settings()->autoextend_percent;
}

PoolLimits settings_limits(const char *vg, const char *pool)
{
  g_autofree char *name = g_strconcat(vg, "/", pool, NULL);
  const PoolLimits *limits = g_hash_table_lookup(settings()->pool_limits, name);

  return limits ? *limits : settings()->limits;
}

PoolEngine settings_engine(const char *vg, PoolEngine told)
{
  gpointer engine = NULL;

  if (!settings()->engines)
    return settings()->engine;
  if (told != POOL_ENGINE_AUTO)
    return told;
  if (!g_hash_table_lookup_extended(settings()->engines, vg, NULL, &engine))
    g_hash_table_lookup_extended(settings()->engines, "", NULL, &engine);
  return (PoolEngine)GPOINTER_TO_INT(engine);
}

const char *settings_block_nodes(void)
{
  return settings()->block_nodes;
}

guint settings_socket_mode(void)
{
  return settings()->socket_mode;
}

const char *settings_socket_group(void)
{
  return settings()->socket_group;
}

/* FALSE: errno says why. */
static gboolean make_folder(const char *path)
{
  g_autofree char *above = g_path_get_dirname(path);

  if (mkdir(path, 0755) == 0)
    return chmod(path, 0755) == 0;
  if (errno == ENOENT && strcmp(above, path) != 0)
    return make_folder(above) && make_folder(path);
  return errno == EEXIST && g_file_test(path, G_FILE_TEST_IS_DIR);
}

gboolean settings_make_folder(const char *path, GError **error)
{
  return make_folder(path) || vt_set_errno(error, errno, "cannot make folder %s", path);
}

guint settings_threads(void)
{
  return settings()->threads;
}

guint settings_watchdog(void)
{
  return settings()->watchdog;
}

const char *settings_dev_dir(void)
{
  return settings()->dev_dir;
}

/* Links of volumes, dead ones among them, and nothing else. */
static gboolean has_only_links(const char *folder)
{
  GDir *dir = g_dir_open(folder, 0, NULL);
  gboolean ok = dir != NULL;
  const char *name;
  struct stat st;

  while (ok && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL);

    ok = vt_lv_name_check(name, NULL) && lstat(path, &st) == 0 && S_ISLNK(st.st_mode) &&
         (stat(path, &st) < 0 || S_ISBLK(st.st_mode));
  }
  if (dir)
    g_dir_close(dir);
  return ok;
}

gboolean settings_check_links(const char *vg, GError **error)
{
  g_autofree char *path = g_build_filename(settings_dev_dir(), vg, NULL);
  struct stat st, above;

  if (lstat(path, &st) < 0)
    return TRUE;
  if (S_ISDIR(st.st_mode) && stat(settings_dev_dir(), &above) == 0 && st.st_dev == above.st_dev &&
      has_only_links(path))
    return TRUE;
  return vt_set_error(error, EEXIST,
                      "%s is there already, and no volume group's: no links are made in it, the "
                      "volume group needs another name",
                      path);
}

const char *settings_program(void)
{
  return settings()->program;
}
