/* virt-thin - the program: thin pools of a volume group from the command line
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One command per CliCommand; each command's file says what it does. Exit status: 0 done, 1 failed,
 * 2 wrong usage. Under the name pvesm it is `virt-thin storage`.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/refresh.h"
#include "commands/commands.h"
#include "pvesm/commands.h"
#include "service/process/service.h"
#include "settings/settings.h"

/* A group a paragraph: */
/* clang-format off */
static const CliCommand *const commands[] = {
    &cli_init, &cli_extend, &cli_serve, &cli_stop, &cli_release, &cli_activate, &cli_deactivate,
    NULL,
    &cli_list, &cli_tree, &cli_info, &cli_metrics, &cli_top, &cli_usage_command, &cli_delta,
    &cli_dump, &cli_check, &cli_repair, NULL,
    &cli_create, &cli_clone, &cli_template, &cli_snapshot, &cli_rollback, &cli_rename,
    &cli_resize, &cli_remove, NULL,
    &cli_import, &cli_export, &cli_rescue, &cli_mount, &cli_umount, &cli_nbd, NULL,
    &cli_backup, &cli_restore, &cli_send, &cli_receive, &cli_archive, &cli_unarchive,
    &cli_replicate, &cli_failover, &cli_schedule, NULL,
    &cli_storage, NULL,
    &cli_enable, &cli_disable,
};
/* clang-format on */

/* What other parts of virt-thin run. */
static const CliCommand *const internal_commands[] = {&cli_stream, &cli_refresh};

static char **devices;
static gboolean version, help, internal;
static char **arguments;

/* For this process and those that it starts. */
static gboolean choose_engine(const char *option, const char *word, gpointer unused, GError **error)
{
  PoolEngine engine;

  if (settings_parse_engine(word, &engine))
    return g_setenv("VIRT_THIN_ENGINE", word, TRUE);
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "%s is auto, kernel or bundled, not %s", option, word);
  return FALSE;
}

static const GOptionEntry global_options[] = {
    {"device", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &devices,
     "A physical volume, file or block device; may be repeated", "PATH"},
    {"engine", 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)choose_engine,
     "Whose the volume group is to be: auto, kernel or bundled", "ENGINE"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const GOptionEntry help_option[] = {
    {"help", 'h', 0, G_OPTION_ARG_NONE, &help, "Explain, and do nothing", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const GOptionEntry version_option[] = {
    {"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const GOptionEntry rest[] = {
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static GString *list_commands(const CliCommand *const *list, gsize n)
{
  GString *text = g_string_new("Commands:\n");
  int width = 0;

  for (gsize i = 0; i < n; i++)
    width = MAX(width, list[i] ? (int)strlen(list[i]->name) : 0);
  for (gsize i = 0; i < n; i++)
    if (list[i])
      g_string_append_printf(text, "  %-*s %s\n", width, list[i]->name, list[i]->summary);
    else
      g_string_append_c(text, '\n');
  return text;
}

static char *describe(void)
{
  GString *text = list_commands(commands, G_N_ELEMENTS(commands));

  g_string_append(text, "\n'virt-thin COMMAND --help' explains a command. Sizes are in LVM's "
                        "units: 512b, 64k, 100m, 8g, 1t; a "
                        "bare number is MiB.\n"
                        "Without --device the physical volumes are those of virt-thin.conf(5), "
                        "else /var/lib/virt-thin/*.img.\n"
                        "Exit status: 0 done, 1 failed, 2 wrong usage.");
  return g_string_free(text, FALSE);
}

/* GLib's own --help is for a terminal that shows its ellipsis, and ends the process. */
static int print_help(GOptionContext *context)
{
  g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
  g_auto(GStrv) parts = g_strsplit(text, "…", -1);
  g_autofree char *plain = g_strjoinv("...", parts);

  cli_print_help(plain);
  return fflush(stdout) != 0 || ferror(stdout) ? CLI_FAILED : CLI_OK;
}

static int usage_failed(const char *command, const char *message)
{
  fprintf(stderr, "virt-thin%s%s: %s\n", command ? " " : "", command ? command : "", message);
  fprintf(stderr, "Try 'virt-thin%s%s --help'.\n", command ? " " : "", command ? command : "");
  return CLI_WRONG_USAGE;
}

static const CliCommand *find_command(const CliCommand *const *list, gsize n, const char *name)
{
  for (gsize i = 0; i < n; i++)
    if (list[i] && strcmp(list[i]->name, name) == 0)
      return list[i];
  return NULL;
}

/* Take arguments like -1G out of @argv, where GOption would take them for options, and give them
 * back behind the others. */
static char *take_dash_size(char **argv)
{
  char *found = NULL;

  for (guint i = 1; argv[i] && strcmp(argv[i], "--") != 0; i++)
    if (!found && argv[i][0] == '-' && (g_ascii_isdigit(argv[i][1]) || argv[i][1] == '.')) {
      found = argv[i];
      for (guint j = i; argv[j]; j++)
        argv[j] = argv[j + 1];
      i--;
    }
  return found;
}

/* Take what comes after @option out of @argv: it is another program's. */
static GStrv take_words(char **argv, const char *option)
{
  for (guint i = 1; argv[i]; i++) {
    gboolean is_it = strcmp(argv[i], option) == 0;
    GStrv words = is_it ? g_strdupv(argv + i + 1) : NULL;

    for (guint j = i + 1; is_it && argv[j]; j++)
      g_clear_pointer(&argv[j], g_free);
    if (is_it || strcmp(argv[i], "--") == 0)
      return words;
  }
  return NULL;
}

static void append_argument(char *text)
{
  guint n = arguments ? g_strv_length(arguments) : 0;

  arguments = g_renew(char *, arguments, n + 2);
  arguments[n] = text;
  arguments[n + 1] = NULL;
}

/* How @command ended, with @error set or not. @name: "storage check". */
static int finish_command(const char *name, int status, const GError *error)
{
  if (error && error->domain == CLI_USAGE)
    return usage_failed(name, error->message);
  if (error) {
    cli_warn("%s", error->message);
    return CLI_FAILED;
  }
  /* A full disk or a closed pipe behind standard output is a failure, too. */
  if (fflush(stdout) != 0 || ferror(stdout)) {
    cli_warn("cannot write to standard output");
    return CLI_FAILED;
  }
  return status;
}

static gsize count_commands(const CliCommand *group)
{
  gsize n = 0;

  while (group->commands[n] != &cli_end)
    n++;
  return n;
}

/* For --help: what it does, and the commands that it has besides. */
static char *describe_command(const CliCommand *command)
{
  g_autofree char *list = NULL;

  if (!command->commands)
    return g_strdup(command->description);
  list = g_string_free(list_commands(command->commands, count_commands(command)), FALSE);
  return g_strdup_printf("%s\n\n%s\n'virt-thin %s COMMAND --help' explains a command.",
                         command->description, list, command->name);
}

static int run_command(const CliCommand *command, const char *name, char **argv)
{
  g_autofree char *title = g_strdup_printf("%s - %s", command->arguments, command->summary);
  g_autoptr(GOptionContext) context = g_option_context_new(title);
  g_autoptr(GError) error = NULL;
  g_autofree char *program = g_strconcat("virt-thin ", name, NULL);
  g_autofree char *description = describe_command(command);
  char *dash_size = command->dash_size ? take_dash_size(argv) : NULL;
  int n, status;

  if (command->words)
    *command->words = take_words(argv, command->words_option);
  g_set_prgname(program);
  if (description)
    g_option_context_set_description(context, description);
  if (command->options)
    g_option_context_add_main_entries(context, command->options, NULL);
  g_option_context_add_main_entries(context, global_options, NULL);
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, help_option, NULL);
  g_option_context_add_main_entries(context, rest, NULL);
  if (!g_option_context_parse_strv(context, &argv, &error)) {
    g_free(dash_size);
    g_strfreev(argv);
    return usage_failed(name, error->message);
  }
  g_strfreev(argv);
  if (help) {
    g_free(dash_size);
    return print_help(context);
  }
  g_set_prgname("virt-thin");
  if (dash_size)
    append_argument(dash_size);
  n = arguments ? (int)g_strv_length(arguments) : 0;
  if (n < command->min_args || (command->max_args >= 0 && n > command->max_args)) {
    g_autofree char *message = g_strdup_printf("%s arguments: %s is wanted",
                                               n < command->min_args ? "missing" : "too many",
                                               *command->arguments ? command->arguments : "none");

    return usage_failed(name, message);
  }
  cli_set_devices(devices);
  status = command->run(arguments, &error);
  return finish_command(name, status, error);
}

/* pvesm's "help scan lvm" is "scan lvm --help". */
static void turn_help_around(char **argv)
{
  guint n = g_strv_length(argv);

  g_free(argv[1]);
  for (guint i = 1; i < n - 1; i++)
    argv[i] = argv[i + 1];
  argv[n - 1] = g_strdup("--help");
}

/* A command of commands: `virt-thin storage check`. */
static int run_group(const CliCommand *group, char **argv)
{
  const CliCommand *command;
  g_autofree char *name = NULL;
  const char *word;
  gsize n = count_commands(group);

  if (argv[1] && strcmp(argv[1], "help") == 0)
    turn_help_around(argv);
  word = argv[1];
  if (word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
    g_autofree char *list = g_string_free(list_commands(group->commands, n), FALSE);
    g_autofree char *text =
        g_strdup_printf("Usage:\n  virt-thin %s COMMAND [ARGUMENT...] - %s\n\n%s\n%s\n",
                        group->name, group->summary, list, group->description);

    cli_print_help(text);
    g_strfreev(argv);
    return finish_command(group->name, CLI_OK, NULL);
  }
  command = word ? find_command(group->commands, n, word) : NULL;
  if (!command) {
    g_autofree char *message =
        word ? g_strdup_printf("there is no command \"%s\"", word) : g_strdup("which command?");

    g_strfreev(argv);
    return usage_failed(group->name, message);
  }
  name = g_strconcat(group->name, " ", command->name, NULL);
  g_free(argv[0]);
  memmove(argv, argv + 1, g_strv_length(argv + 1) * sizeof *argv + sizeof *argv);
  if (command->run_words) {
    g_auto(GStrv) words = argv;

    cli_set_devices(devices);
    return command->run_words(words + 1);
  }
  return run_command(command, name, argv);
}

/* Is it one of the commands that @command has? One that is run by itself, too, has volumes as
 * arguments, and these have a slash. */
static gboolean is_group(const CliCommand *command, const char *word)
{
  return command->commands &&
         (!command->run ||
          (word && (strcmp(word, "help") == 0 ||
                    find_command(command->commands, count_commands(command), word))));
}

static int main_strv(char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new("COMMAND [ARGUMENT...]");
  g_autoptr(GError) error = NULL;
  g_autofree char *description = describe();
  const CliCommand *command;
  char **rest_argv;
  int status;

  g_set_prgname("virt-thin");
  g_option_context_set_summary(context, "LVM thin pools, with the kernel's device-mapper or "
                                        "without it: create, clone, snapshot, serve.");
  g_option_context_set_description(context, description);
  g_option_context_set_strict_posix(context, TRUE);
  g_option_context_add_main_entries(context, global_options, NULL);
  g_option_context_add_main_entries(context, version_option, NULL);
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, help_option, NULL);
  if (!g_option_context_parse_strv(context, &argv, &error)) {
    g_strfreev(argv);
    return usage_failed(NULL, error->message);
  }
  if (help) {
    g_strfreev(argv);
    return print_help(context);
  }
  if (version) {
    g_strfreev(argv);
    return printf("virt-thin %s\n", PACKAGE_VERSION) < 0;
  }
  rest_argv = argv + (argv[1] && strcmp(argv[1], "--") == 0 ? 2 : 1);
  if (!*rest_argv) {
    g_strfreev(argv);
    return usage_failed(NULL, "which command?");
  }
  command = find_command(commands, G_N_ELEMENTS(commands), *rest_argv);
  internal = !command;
  if (internal)
    command = find_command(internal_commands, G_N_ELEMENTS(internal_commands), *rest_argv);
  if (!command) {
    g_autofree char *message = g_strdup_printf("there is no command \"%s\"", *rest_argv);

    g_strfreev(argv);
    return usage_failed(NULL, message);
  }
  rest_argv = g_strdupv(rest_argv);
  g_strfreev(argv);
  status = is_group(command, rest_argv[1]) ? run_group(command, rest_argv)
                                           : run_command(command, command->name, rest_argv);
  g_strfreev(arguments);
  g_strfreev(devices);
  return status;
}

/* Warnings as everything else the program says; what is said for debugging when G_MESSAGES_DEBUG
 * asks for it. */
static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                  gpointer user_data)
{
  const char *kind = level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL) ? "error: "
                     : level & G_LOG_LEVEL_WARNING                      ? "warning: "
                                                                        : "";

  if (level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO) && !g_getenv("G_MESSAGES_DEBUG"))
    return G_LOG_WRITER_HANDLED;
  if (g_log_writer_is_journald(fileno(stderr)))
    return g_log_writer_journald(level, fields, n_fields, user_data);
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp(fields[i].key, "MESSAGE") == 0)
      fprintf(stderr, "virt-thin: %s%s\n", kind, (const char *)fields[i].value);
  return G_LOG_WRITER_HANDLED;
}

static gboolean is_pvesm(const char *path)
{
  g_autofree char *name = g_path_get_basename(path);

  return strcmp(name, "pvesm") == 0;
}

int main(int argc, char **argv)
{
  int status;

  g_log_set_writer_func(write_log, NULL, NULL);
  signal(SIGXFSZ,
         SIG_IGN); /* RLIMIT_FSIZE is an error, not the death of a service; children inherit that */
  if (service_child_main(argc, argv, &status))
    return status;
  signal(SIGPIPE, SIG_IGN);
  if (argc > 0 && is_pvesm(argv[0])) {
    char **words = g_strdupv(argv);

    g_free(words[0]);
    words[0] = g_strdup(cli_storage.name);
    status = run_group(&cli_storage, words);
  } else {
    status = main_strv(g_strdupv(argv));
  }
  if (status == CLI_OK && !internal)
    cli_refresh_now();
  return status;
}
