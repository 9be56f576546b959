/* virt-thin - storage: the words of pvesm's commands, and how they end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * As PVE::JSONSchema::get_options takes them: options begin with -- or -, before or behind the
 * arguments; a flag may be followed by 1, 0, yes, no, on, off, true or false; a list may be given
 * several times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pvesm/pvesm.h"

/* Those of all commands. */
static const PvesmOption common[] = {
    {"config", PVESM_TEXT, "FILE  The storage.cfg"},
    {"device", PVESM_LIST, "PATH  A physical volume, file or block device; may be repeated"},
    {"help", PVESM_FLAG, "  Explain, and do nothing"},
    {NULL, 0, NULL},
};

static char *command_name(const PvesmUsage *usage)
{
  return g_strconcat("virt-thin storage ", usage->name, NULL);
}

static void print_usage(const PvesmUsage *usage, FILE *to)
{
  g_autofree char *name = command_name(usage);

  fprintf(to, "%s", name);
  for (const char *const *argument = usage->arguments; *argument; argument++)
    fprintf(to, " <%s>", *argument);
  fprintf(to, " [OPTIONS]\n");
}

static void print_options(const PvesmOption *options, FILE *to)
{
  for (; options && options->name; options++) {
    g_auto(GStrv) parts = g_strsplit(options->help, "  ", 2);
    g_autofree char *left = g_strconcat("--", options->name, *parts[0] ? " " : "", parts[0], NULL);

    fprintf(to, "  %-26s  %s\n", left, parts[1]);
  }
}

static void print_help(const PvesmUsage *usage)
{
  char *text = NULL;
  size_t length;
  FILE *to = open_memstream(&text, &length);

  fprintf(to, "Usage:\n  ");
  print_usage(usage, to);
  fprintf(to, "\n%s.%s%s\n\nOptions:\n", usage->summary, usage->description ? " " : "",
          usage->description ? usage->description : "");
  print_options(usage->options, to);
  print_options(common, to);
  if (usage->properties)
    fprintf(to, "  %-26s  %s\n", "--PROPERTY VALUE",
            "A property of the storage: see virt-thin-storage.cfg(5)");
  fclose(to);
  cli_print_help(text);
  free(text);
}

/* --- options --- */

static gboolean find_option(const PvesmUsage *usage, const char *name, PvesmOption *found)
{
  const StorageCfgProperty *property;

  for (const PvesmOption *option = common; option->name; option++)
    if (strcmp(option->name, name) == 0)
      return *found = *option, TRUE;
  for (const PvesmOption *option = usage->options; option && option->name; option++)
    if (strcmp(option->name, name) == 0)
      return *found = *option, TRUE;
  property = usage->properties ? storagecfg_property_find(name) : NULL;
  if (!property)
    return FALSE;
  found->name = storagecfg_property_name(property);
  found->kind = storagecfg_property_kind(property) == STORAGECFG_BOOLEAN ? PVESM_FLAG
                : storagecfg_property_kind(property) == STORAGECFG_LIST  ? PVESM_LIST
                                                                         : PVESM_TEXT;
  return TRUE;
}

static gboolean wrong(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean wrong(GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_strdup_vprintf(format, args);
  va_end(args);
  return cli_usage(error, "%s", text);
}

static gboolean take_flag(PvesmWords *parsed, const char *name, const char *value, char ***next,
                          GError **error)
{
  gboolean flag = TRUE;

  if (value && !storagecfg_parse_boolean(value, &flag))
    return wrong(error, "unable to parse boolean option --%s", name);
  if (!value && **next && storagecfg_parse_boolean(**next, &flag))
    (*next)++;
  else if (!value)
    flag = TRUE;
  g_hash_table_replace(parsed->options, g_strdup(name), g_strdup(flag ? "1" : "0"));
  return TRUE;
}

static void add_to_list(PvesmWords *parsed, const char *name, const char *value)
{
  const char *old = g_hash_table_lookup(parsed->options, name);

  g_hash_table_replace(parsed->options, g_strdup(name),
                       old ? g_strconcat(old, ",", value, NULL) : g_strdup(value));
}

/* @word: without its dashes. *next: what comes behind it. */
static gboolean take_option(PvesmWords *parsed, const char *word, char ***next, GPtrArray *devices,
                            GError **error)
{
  const char *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
  g_autofree char *name = equals ? g_strndup(word, equals - word) : g_strdup(word);
  PvesmOption option;

  if (strcmp(name, "h") == 0 || strcmp(name, "v") == 0) {
    g_free(name);
    name = g_strdup(*word == 'h' ? "help" : "verbose");
  }
  if (!find_option(parsed->usage, name, &option))
    return wrong(error, "unknown option: %s", name);
  if (option.kind == PVESM_FLAG)
    return take_flag(parsed, option.name, value, next, error);
  if (!value && !**next)
    return wrong(error, "option %s requires an argument", name);
  if (!value)
    value = *(*next)++;
  if (strcmp(option.name, "device") == 0)
    g_ptr_array_add(devices, (gpointer)value);
  else if (option.kind == PVESM_LIST)
    add_to_list(parsed, option.name, value);
  else
    g_hash_table_replace(parsed->options, g_strdup(option.name), g_strdup(value));
  return TRUE;
}

static gboolean take_words(PvesmWords *parsed, char **words, GPtrArray *devices, GError **error)
{
  gboolean options = TRUE;

  while (*words) {
    const char *word = *words++;

    if (options && strcmp(word, "--") == 0)
      options = FALSE;
    else if (options && word[0] == '-' && word[1]) {
      if (!take_option(parsed, word + (word[1] == '-' ? 2 : 1), &words, devices, error))
        return FALSE;
    } else {
      g_ptr_array_add(parsed->arguments, g_strdup(word));
    }
  }
  return TRUE;
}

/* --- endings --- */

gboolean pvesm_bad_parameter(GError **error, const char *name, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_strdup_vprintf(format, args);
  va_end(args);
  return cli_usage(error, "Parameter verification failed.\n%s: %s", name, text);
}

/* Tell how a command ended. */
static int finish(const PvesmUsage *usage, gboolean ok, const GError *error)
{
  if (error && error->domain == CLI_USAGE) {
    fflush(stdout);
    fprintf(stderr, "400 %s\n", error->message);
    print_usage(usage, stderr);
    return PVESM_WRONG_USAGE;
  }
  if (error) {
    fflush(stdout);
    fprintf(stderr, "%s\n", error->message);
    return CLI_FAILED;
  }
  if (fflush(stdout) != 0 || ferror(stdout)) {
    cli_warn("cannot write to standard output");
    return CLI_FAILED;
  }
  return cli_status(ok);
}

/* --- a command --- */

static void clear(PvesmWords *words)
{
  g_clear_pointer(&words->arguments, g_ptr_array_unref);
  g_clear_pointer(&words->options, g_hash_table_unref);
}

/* FALSE: *status is the exit status, and all is said. */
static gboolean parse(const PvesmUsage *usage, char **words, PvesmWords *parsed, int *status)
{
  g_autoptr(GPtrArray) devices = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  guint wanted = g_strv_length((GStrv)usage->arguments);

  parsed->usage = usage;
  parsed->arguments = g_ptr_array_new_with_free_func(g_free);
  parsed->options = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  *status = CLI_OK;
  if (take_words(parsed, words, devices, &error)) {
    if (pvesm_flag(parsed, "help")) {
      print_help(usage);
      *status = finish(usage, TRUE, NULL);
    } else if (parsed->arguments->len != wanted) {
      wrong(&error,
            parsed->arguments->len < wanted ? "not enough arguments" : "too many arguments");
    } else {
      g_ptr_array_add(devices, NULL);
      if (devices->len > 1)
        cli_set_devices((char **)devices->pdata);
      return TRUE;
    }
  }
  if (error)
    *status = finish(usage, FALSE, error);
  clear(parsed);
  return FALSE;
}

const char *pvesm_word(const PvesmWords *words, guint i)
{
  return words->arguments->pdata[i];
}

const char *pvesm_option(const PvesmWords *words, const char *name)
{
  return g_hash_table_lookup(words->options, name);
}

gboolean pvesm_flag(const PvesmWords *words, const char *name)
{
  return g_strcmp0(pvesm_option(words, name), "1") == 0;
}

int pvesm_run(const PvesmUsage *usage, gboolean (*command)(const PvesmWords *, GError **),
              char **words)
{
  g_autoptr(GError) error = NULL;
  PvesmWords parsed;
  gboolean ok;
  int status;

  if (!parse(usage, words, &parsed, &status))
    return status;
  ok = command(&parsed, &error);
  clear(&parsed);
  return finish(usage, ok, error);
}
