/* virt-thin - storage.cfg: the parser
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Line by line as PVE::SectionConfig::parse_config does it. What surprises is kept: only an empty
 * line (or one that is exactly "0", which is false in Perl) ends a section; the next header does
 * not, nor does a line of blanks.
 */
#include <string.h>

#include "storagecfg/formats.h"
#include "storagecfg/storagecfg-private.h"

#define LOCAL_PATH "/var/lib/vz"

/* --- lines --- */

static void split_lines(StorageCfg *cfg)
{
  const char *p = cfg->text, *end = cfg->text + cfg->length;

  while (p < end) {
    const char *feed = memchr(p, '\n', end - p), *stop = feed ? feed : end;
    StorageCfgLine line = {p, stop - p};

    g_array_append_val(cfg->lines, line);
    p = stop + 1;
  }
}

gboolean storagecfg_is_comment(StorageCfgLine line)
{
  gsize i = 0;

  while (i < line.length && storagecfg_is_blank(line.start[i]))
    i++;
  return i < line.length && line.start[i] == '#';
}

static gboolean ends_section(StorageCfgLine line)
{
  return line.length == 0 || (line.length == 1 && line.start[0] == '0');
}

static gsize skip_blanks(StorageCfgLine line, gsize i)
{
  while (i < line.length && storagecfg_is_blank(line.start[i]))
    i++;
  return i;
}

static gsize skip_word(StorageCfgLine line, gsize i)
{
  while (i < line.length && !storagecfg_is_blank(line.start[i]))
    i++;
  return i;
}

static StorageCfgLine trim_end(StorageCfgLine line)
{
  while (line.length && storagecfg_is_blank(line.start[line.length - 1]))
    line.length--;
  return line;
}

/* /^(\S+):\s*(\S+)\s*$/, greedy: the last colon of the first word separates that leaves something
 * on both sides. */
gboolean storagecfg_split_header(StorageCfgLine line, char **type, char **id)
{
  StorageCfgLine trimmed = trim_end(line);
  gsize word = skip_word(trimmed, 0), rest = skip_blanks(trimmed, word), colon;

  if (!word || (rest < trimmed.length && skip_word(trimmed, rest) != trimmed.length))
    return FALSE;
  if (rest < trimmed.length) {
    colon = word - 1;
    if (colon == 0 || trimmed.start[colon] != ':')
      return FALSE;
  } else {
    for (colon = word - 1, rest = 0; colon > 0; colon--)
      if (trimmed.start[colon] == ':' && colon + 1 < word) {
        rest = colon + 1;
        break;
      }
    if (!rest)
      return FALSE;
  }
  *type = g_ascii_strdown(trimmed.start, (gssize)colon);
  *id = g_strndup(trimmed.start + rest, trimmed.length - rest);
  /* A NUL byte hides what comes behind it; neither a type nor an id has one. */
  if (memchr(trimmed.start, 0, trimmed.length)) {
    g_free(*id);
    *id = g_strdup("\\0");
  }
  return TRUE;
}

/* /^\s+(\S+)(\s+(.*\S))?\s*$/ */
gboolean storagecfg_split_property(StorageCfgLine line, StorageCfgLine *key, StorageCfgLine *value)
{
  StorageCfgLine trimmed = trim_end(line);
  gsize start = skip_blanks(trimmed, 0), end = skip_word(trimmed, start),
        rest = skip_blanks(trimmed, end);

  if (!start || start == end)
    return FALSE;
  *key = (StorageCfgLine){trimmed.start + start, end - start};
  *value =
      (StorageCfgLine){rest < trimmed.length ? trimmed.start + rest : NULL, trimmed.length - rest};
  return TRUE;
}

/* --- warnings --- */

/* One line of UTF-8; control characters but the tab as \xNN. */
static char *printable(const char *text, gsize length)
{
  GString *shown = g_string_sized_new(length);
  char *valid;

  for (gsize i = 0; i < length; i++)
    if (((guchar)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
      g_string_append_printf(shown, "\\x%02x", (guchar)text[i]);
    else
      g_string_append_c(shown, text[i]);
  valid = g_utf8_make_valid(shown->str, (gssize)shown->len);
  g_string_free(shown, TRUE);
  return valid;
}

static void warning_free(StorageCfgWarning *warning)
{
  g_free(warning->section);
  g_free(warning->message);
  g_free(warning);
}

static void G_GNUC_PRINTF(5, 6) warn(StorageCfg *cfg, guint line, const char *section,
                                     StorageCfgVerdict verdict, const char *format, ...)
{
  StorageCfgWarning *warning = g_new0(StorageCfgWarning, 1);
  g_autofree char *message = NULL;
  va_list args;

  va_start(args, format);
  message = g_strdup_vprintf(format, args);
  va_end(args);
  warning->line = line;
  warning->section = section ? printable(section, strlen(section)) : NULL;
  warning->verdict = verdict;
  warning->message = printable(message, strlen(message));
  g_ptr_array_add(cfg->warnings, warning);
}

static void warn_ignored(StorageCfg *cfg, guint line, const char *section)
{
  StorageCfgLine text = g_array_index(cfg->lines, StorageCfgLine, line - 1);
  g_autofree char *shown = printable(text.start, text.length);

  warn(cfg, line, section, STORAGECFG_IGNORED, "ignore config line: %s", shown);
}

const char *storagecfg_verdict_name(StorageCfgVerdict verdict)
{
  static const char *const names[] = {"fatal", "skipped", "dropped", "ignored"};

  return names[verdict];
}

char *storagecfg_warning_format(const StorageCfg *cfg, const StorageCfgWarning *warning)
{
  if (!warning->section)
    return g_strdup_printf("file %s line %u - %s", cfg->name, warning->line, warning->message);
  if (warning->verdict == STORAGECFG_FATAL || warning->verdict == STORAGECFG_SKIPPED)
    return g_strdup_printf("file %s line %u (skip section '%s'): %s", cfg->name, warning->line,
                           warning->section, warning->message);
  return g_strdup_printf("file %s line %u (section '%s') - %s", cfg->name, warning->line,
                         warning->section, warning->message);
}

/* --- storages --- */

static void storage_free(StorageCfgStorage *storage)
{
  g_free(storage->id);
  g_ptr_array_unref(storage->values);
  g_free(storage);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageCfgStorage, storage_free)

static void section_free(StorageCfgSection *section)
{
  if (section->storage)
    storage_free(section->storage);
  g_free(section);
}

static StorageCfgStorage *storage_new(const StorageCfgType *type, const char *id, guint line)
{
  StorageCfgStorage *storage = g_new0(StorageCfgStorage, 1);

  storage->type = type;
  storage->id = g_strdup(id);
  storage->line = line;
  storage->values = g_ptr_array_new_with_free_func((GDestroyNotify)storagecfg_value_free);
  return storage;
}

static StorageCfgValue *make_value(const StorageCfgStorage *storage, const char *key,
                                   StorageCfgLine text, GError **error)
{
  const StorageCfgProperty *property = storagecfg_property_of(storage->type, key);

  if (!property) {
    vt_set_error(error, EINVAL, "unknown property type");
    return NULL;
  }
  if (storagecfg_value(storage, key)) {
    vt_set_error(error, EINVAL, "duplicate attribute");
    return NULL;
  }
  /* The one key that may be there without being an option: it says what the header says. */
  if (strcmp(key, "type") == 0 && text.start && text.length == strlen(storage->type->name) &&
      strncmp(text.start, storage->type->name, text.length) == 0)
    return storagecfg_value_new(property, text.start, text.length, error);
  if (!storagecfg_type_option(storage->type, key)) {
    vt_set_error(error, EINVAL, "unexpected property '%s'", key);
    return NULL;
  }
  return storagecfg_value_new(property, text.start, text.length, error);
}

static void parse_property(StorageCfg *cfg, StorageCfgStorage *storage, guint line,
                           StorageCfgLine key, StorageCfgLine text)
{
  g_autofree char *name = printable(key.start, key.length);
  g_autoptr(GError) error = NULL;
  StorageCfgValue *value = make_value(storage, name, text, &error);

  if (value) {
    value->line = line;
    storagecfg_set_value(storage, value);
  } else {
    warn(cfg, line, storage->id, STORAGECFG_DROPPED, "unable to parse value of '%s': %s", name,
         error->message);
  }
}

/* --- a storage as a whole: PVE::SectionConfig::check_config, the plugins' check_config and
 * decode_value --- */

static gboolean is_plain_path(const char *path)
{
  for (const char *p = path + 1; *p; p++)
    if (!g_ascii_isalnum(*p) && !strchr("-/_.@", *p))
      return FALSE;
  return path[0] == '/' && path[1];
}

static gboolean take_out(GStrv list, const char *word)
{
  guint i = 0;

  while (list[i] && strcmp(list[i], word) != 0)
    i++;
  if (!list[i])
    return FALSE;
  g_free(list[i]);
  for (; list[i]; i++)
    list[i] = list[i + 1];
  return TRUE;
}

/* Take the words out that the type does not support, with a warning for each, in the file's
 * order. */
static void drop_words(StorageCfg *cfg, StorageCfgStorage *storage, StorageCfgValue *value)
{
  g_auto(GStrv) words = storagecfg_split_list(value->text, strlen(value->text));

  for (char **word = words; *word; word++) {
    g_autofree char *content = g_strndup(*word, strcspn(*word, "="));

    if (!storagecfg_has_word(storage->type->content, content) && take_out(value->list, *word))
      warn(cfg, value->line, storage->id, STORAGECFG_DROPPED,
           "storage does not support content type '%s'", content);
  }
}

static gboolean check_content(StorageCfg *cfg, StorageCfgStorage *storage, StorageCfgValue *content,
                              GError **error)
{
  drop_words(cfg, storage, content);
  if (storagecfg_has_content(storage, "none") && g_strv_length(content->list) > 1)
    return vt_set_error(error, EINVAL, "unable to combine 'none' with other content types");
  if (!content->list[0] && !storagecfg_has_word(storage->type->content, "none"))
    return vt_set_error(error, EINVAL, "storage does not support content type 'none'");
  return TRUE;
}

static gboolean check_values(StorageCfg *cfg, StorageCfgStorage *storage, GError **error)
{
  StorageCfgValue *content = (StorageCfgValue *)storagecfg_value(storage, "content"),
                  *dirs = (StorageCfgValue *)storagecfg_value(storage, "content-dirs");
  const StorageCfgValue *format = storagecfg_value(storage, "format");

  if (content && !check_content(cfg, storage, content, error))
    return FALSE;
  if (dirs)
    drop_words(cfg, storage, dirs);
  if (format && !storagecfg_has_word(storage->type->formats, format->text)) {
    warn(cfg, format->line, storage->id, STORAGECFG_DROPPED, "storage does not support format '%s'",
         format->text);
    storagecfg_unset_value(storage, "format");
  }
  return TRUE;
}

static gboolean check_required(const StorageCfgStorage *storage, GError **error)
{
  for (const StorageCfgOption *option = storage->type->options; option->name; option++)
    if (option->flags & STORAGECFG_REQUIRED && !storagecfg_value(storage, option->name))
      return vt_set_error(error, EINVAL, "missing value for required option '%s'", option->name);
  return TRUE;
}

static gboolean check_path(const StorageCfgStorage *storage, GError **error)
{
  const char *path = storagecfg_string(storage, "path");

  if ((strcmp(storage->type->name, "dir") != 0 && strcmp(storage->type->name, "btrfs") != 0) ||
      is_plain_path(path))
    return TRUE;
  return vt_set_error(error, EINVAL, "illegal path for directory storage: %s", path);
}

static void set_default(StorageCfgStorage *storage, const char *property, const char *text)
{
  if (!storagecfg_value(storage, property))
    storagecfg_set_value(storage, storagecfg_value_new_default(property, text));
}

/* @line: the last of the section, which is where Proxmox sees what is wrong with the whole. */
static void finish_storage(StorageCfg *cfg, StorageCfgStorage *storage, guint line)
{
  g_autofree char *path = g_strconcat("/mnt/pve/", storage->id, NULL);
  g_autoptr(GError) error = NULL;

  if (storage->type->has_default_path)
    set_default(storage, "path", path);
  storage->broken = !check_values(cfg, storage, &error) || !check_required(storage, &error) ||
                    !check_path(storage, &error);
  storagecfg_unset_value(storage, "type");
  if (storage->broken) {
    warn(cfg, line, storage->id, STORAGECFG_FATAL, "%s", error->message);
    return;
  }
  set_default(storage, "content", storage->type->default_content);
  if (storage->type->shared) {
    storagecfg_unset_value(storage, "shared");
    set_default(storage, "shared", "1");
  }
}

/* --- sections --- */

static gboolean begin_section(StorageCfg *cfg, guint line, const char *type_name, const char *id,
                              StorageCfgSection *section)
{
  g_autoptr(GError) error = NULL;
  const StorageCfgType *type = storagecfg_type_find(type_name);

  if (!format_storage_id(id, &error)) {
    warn(cfg, line, id, STORAGECFG_SKIPPED, "%s", error->message);
    return FALSE;
  }
  if (strcmp(type_name, "0") == 0) {
    warn(cfg, line, id, STORAGECFG_SKIPPED, "missing type - internal error");
    return FALSE;
  }
  if (!type || type->retired)
    warn(cfg, line, id, STORAGECFG_SKIPPED, "unsupported type '%s'", type_name);
  if (!type)
    return FALSE;
  section->storage = storage_new(type, id, line);
  return !type->retired;
}

static void parse_line(StorageCfg *cfg, StorageCfgStorage *storage, guint line)
{
  StorageCfgLine key, value;

  if (storagecfg_split_property(g_array_index(cfg->lines, StorageCfgLine, line - 1), &key, &value))
    parse_property(cfg, storage, line, key, value);
  else
    warn_ignored(cfg, line, storage->id);
}

/* Of a retired type Proxmox reads nothing and so complains of nothing more; we keep what is
 * good. */
static void finish_retired(StorageCfg *cfg, StorageCfgSection *section, guint n_warnings,
                           guint line)
{
  finish_storage(cfg, section->storage, line);
  g_ptr_array_set_size(cfg->warnings, (int)n_warnings);
  if (!section->storage->broken)
    g_ptr_array_add(cfg->retired, section->storage);
}

static void finish_section(StorageCfg *cfg, StorageCfgSection *section, guint line)
{
  StorageCfgStorage *storage = section->storage, *earlier;

  finish_storage(cfg, storage, line);
  earlier = g_hash_table_lookup(cfg->by_id, storage->id);
  if (earlier)
    cfg->storages->pdata[earlier->order - 1] = NULL;
  g_ptr_array_add(cfg->storages, storage);
  storage->order = cfg->storages->len;
  g_hash_table_replace(cfg->by_id, storage->id, storage);
}

/* From the header in line @line to the section's end; returns the number of the line behind. */
static guint parse_section(StorageCfg *cfg, guint line, const char *type, const char *id)
{
  StorageCfgSection *section = g_new0(StorageCfgSection, 1);
  guint last = line, n_warnings;

  section->first = line - 1;
  section->skipped = !begin_section(cfg, line, type, id, section);
  n_warnings = cfg->warnings->len;
  for (line++; line <= cfg->lines->len; line++) {
    StorageCfgLine text = g_array_index(cfg->lines, StorageCfgLine, line - 1);

    if (storagecfg_is_comment(text))
      continue;
    if (ends_section(text))
      break;
    last = line;
    if (section->storage)
      parse_line(cfg, section->storage, line);
  }
  section->end = last;
  g_ptr_array_add(cfg->sections, section);
  if (section->storage && section->skipped)
    finish_retired(cfg, section, n_warnings, last);
  else if (section->storage)
    finish_section(cfg, section, last);
  return line + 1;
}

static void parse_sections(StorageCfg *cfg)
{
  guint line = 1;

  while (line <= cfg->lines->len) {
    StorageCfgLine text = g_array_index(cfg->lines, StorageCfgLine, line - 1);
    g_autofree char *type = NULL, *id = NULL;

    if (storagecfg_is_comment(text) || ends_section(text)) {
      line++;
    } else if (storagecfg_split_header(text, &type, &id)) {
      line = parse_section(cfg, line, type, id);
    } else {
      warn_ignored(cfg, line, NULL);
      line++;
    }
  }
}

/* Storages that a later section of their id has taken the place of go; the order of the others
 * stays as counted. */
static void drop_replaced(StorageCfg *cfg)
{
  guint kept = 0;

  for (guint i = 0; i < cfg->storages->len; i++)
    if (cfg->storages->pdata[i])
      cfg->storages->pdata[kept++] = cfg->storages->pdata[i];
  g_ptr_array_set_size(cfg->storages, (int)kept);
}

/* PVE::Storage::Plugin::parse_config: "local" is the same on all nodes, whatever the file says. */
static void settle_local(StorageCfg *cfg)
{
  StorageCfgStorage *local = g_hash_table_lookup(cfg->by_id, "local");

  if (!local)
    return;
  if (local->broken || strcmp(local->type->name, "dir") != 0 ||
      strcmp(storagecfg_string(local, "path"), LOCAL_PATH) != 0) {
    local->type = storagecfg_type_find("dir");
    local->broken = FALSE;
    local->replaced = TRUE;
    g_ptr_array_set_size(local->values, 0);
    set_default(local, "path", LOCAL_PATH);
    set_default(local, "prune-backups", "keep-all=1");
    set_default(local, "content", "backup,images,iso,rootdir,snippets,vztmpl");
  }
  storagecfg_unset_value(local, "nodes");
}

/* --- files --- */

StorageCfg *storagecfg_parse(const char *name, const char *text, gsize length)
{
  StorageCfg *cfg = g_new0(StorageCfg, 1);

  cfg->name = g_strdup(name);
  cfg->text = g_malloc(length + 1);
  if (length)
    memcpy(cfg->text, text, length);
  cfg->text[length] = 0;
  cfg->length = length;
  cfg->digest = g_compute_checksum_for_data(G_CHECKSUM_SHA1, (const guchar *)cfg->text, length);
  cfg->lines = g_array_new(FALSE, FALSE, sizeof(StorageCfgLine));
  cfg->sections = g_ptr_array_new_with_free_func((GDestroyNotify)section_free);
  cfg->storages = g_ptr_array_new();
  cfg->retired = g_ptr_array_new();
  cfg->warnings = g_ptr_array_new_with_free_func((GDestroyNotify)warning_free);
  cfg->by_id = g_hash_table_new(g_str_hash, g_str_equal);
  split_lines(cfg);
  parse_sections(cfg);
  drop_replaced(cfg);
  settle_local(cfg);
  return cfg;
}

StorageCfg *storagecfg_load(const char *path, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *text = NULL;
  gsize length;

  if (!g_file_get_contents(path, &text, &length, &local)) {
    vt_set_errno(error,
                 g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)   ? ENOENT
                 : g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_ACCES) ? EACCES
                                                                            : EIO,
                 "cannot read %s", path);
    return NULL;
  }
  return storagecfg_parse(path, text, length);
}

void storagecfg_free(StorageCfg *cfg)
{
  if (!cfg)
    return;
  g_hash_table_unref(cfg->by_id);
  g_ptr_array_unref(cfg->warnings);
  g_ptr_array_unref(cfg->retired);
  g_ptr_array_unref(cfg->storages);
  g_ptr_array_unref(cfg->sections);
  g_array_unref(cfg->lines);
  g_free(cfg->digest);
  g_free(cfg->text);
  g_free(cfg->name);
  g_free(cfg);
}

const char *storagecfg_name(const StorageCfg *cfg)
{
  return cfg->name;
}

const char *storagecfg_text(const StorageCfg *cfg, gsize *length)
{
  *length = cfg->length;
  return cfg->text;
}

const char *storagecfg_digest(const StorageCfg *cfg)
{
  return cfg->digest;
}

const GPtrArray *storagecfg_storages(const StorageCfg *cfg)
{
  return cfg->storages;
}

const GPtrArray *storagecfg_retired(const StorageCfg *cfg)
{
  return cfg->retired;
}

const StorageCfgStorage *storagecfg_find(const StorageCfg *cfg, const char *id)
{
  return g_hash_table_lookup(cfg->by_id, id);
}

const GPtrArray *storagecfg_warnings(const StorageCfg *cfg)
{
  return cfg->warnings;
}
