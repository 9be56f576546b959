/* virt-thin - what the commands of the virt-thin program share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A command parses nothing but its arguments: main.c has read its options (GOption) into static
 * variables of the command's file. Errors: VT_ERROR makes exit status 1, CLI_USAGE 2.
 * Thread-safety: main thread only, except where noted.
 */
#pragma once

#include "pool/open.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_WRONG_USAGE = 2 };

#define CLI_USAGE (cli_usage_quark())
GQuark cli_usage_quark(void);
/* Set a usage error. Always FALSE. */
gboolean cli_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

typedef struct CliCommand CliCommand;
struct CliCommand {
  const char *name;
  const char *arguments;       /* "VG/LV NAME" */
  const char *summary;         /* one line for the list of commands */
  const char *description;     /* for --help; NULL: the summary says it all */
  const GOptionEntry *options; /* NULL: none */
  int min_args, max_args;      /* max -1: any number */
  gboolean dash_size;          /* an argument like -1G is a size, no option */
  /* Not NULL: what follows this option ("--exec", which is one of @options, too; or "--") is no
   * word of ours, but put into *@words. The GStrv is the command's. */
  const char *words_option;
  char ***words;
  /* Returns the exit status; with @error set main.c prints it and that decides. */
  int (*run)(char **args, GError **error);
  /* Or: it reads all its words itself, which are not GOption's kind, and tells its errors. */
  int (*run_words)(char **words);
  /* Or, or besides run: a group of commands, `virt-thin NAME COMMAND`; NULL is an empty line in the
   * list, &cli_end its end. */
  const CliCommand *const *commands;
};

extern const CliCommand cli_end;

/* The exit status for a boolean outcome. */
int cli_status(gboolean ok);

/* --- names and sizes --- */

/* "VG/LV" (also "/dev/VG/LV") in two. What follows the first slash is the name, even if it holds
 * another: the pool says what is wrong with it. */
gboolean cli_split_name(const char *argument, char **vg, char **lv, GError **error);
/* "VG" or "VG/LV"; *lv NULL. */
gboolean cli_split_optional(const char *argument, char **vg, char **lv, GError **error);
/* A size in LVM's units. NULL gives 0. @option: for the message. */
gboolean cli_parse_size(const char *option, const char *text, guint64 *size, GError **error);

/* --- opening --- */

/* --device, made absolute; NULL: not given. */
void cli_set_devices(char **paths);
const char *const *cli_devices(void);
/* Where to look for volume groups, and with what engine to open them: for who opens several, or
 * asks before (PoolWhere.look). The second is for calls that may take long: a service that answers
 * gets all the time it needs. */
PoolWhere cli_where(PoolOpenFlags flags);
PoolWhere cli_where_patient(PoolOpenFlags flags);
/* Open @vg there. What is changed in it is told to libvirt (refresh.h). */
VolumeGroup *cli_open_at(const PoolWhere *where, const char *vg, GError **error);
VolumeGroup *cli_open(const char *vg, PoolOpenFlags flags, GError **error);
VolumeGroup *cli_open_patient(const char *vg, PoolOpenFlags flags, GError **error);
/* Close, reporting the last commit's failure. */
gboolean cli_close(VolumeGroup *group, GError **error);
/* pool_list_vgs(), its problems told on standard error. */
GPtrArray *cli_list_vgs(const PoolWhere *where, gboolean *all);
/* Tell there, too, of another volume group of the name @vg, which is not the one that is shown. */
void cli_tell_namesakes(const PoolWhere *where, const char *vg);

/* --- telling --- */

/* Print help, wrapped at 80 columns; @text is ASCII. */
void cli_print_help(const char *text);
void cli_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Whether a terminal shows lines, not only ASCII. */
gboolean cli_locale_is_utf8(void);
/* "8.00 GiB", "-" for G_MAXUINT64. The caller's. */
char *cli_size(guint64 bytes);
/* "26 %"; "-" where it is not known. The caller's. */
char *cli_percent(guint64 part, guint64 whole);
/* What of @text, which is UTF-8, fits into @width columns: both its ends. The caller's. */
char *cli_cut(const char *text, guint width);

/* "by 20 % at 80 %", or that a thin pool does not grow by itself, and why; NULL: that is not
 * told. */
char *cli_growth(const PoolInfo *info);
