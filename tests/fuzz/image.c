/* virt-thin - an image from elsewhere: damage with right checksums, then every command
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: image SEED FIRST COUNT [SECONDS]
 *
 * A volume group with a thin pool, volumes and snapshots is made in a file. Then, for each number
 * from FIRST on, a copy of it is damaged (image-mutate.h), and commands run on that as main() runs
 * them. None may crash, take longer than 20 seconds or more than 1 GiB; none that only reads may
 * change a byte; and where a volume group or pool is refused, no command may, either. What fails is
 * told with its seed and number, which do the same again.
 *
 * A command that is new needs a row in the table, nothing else. They run one after the other in one
 * process, which is replaced after some cases: starting one takes longer than a command does.
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <glib/gstdio.h>

/* The program, under another name. */
#define main virt_thin_main
int virt_thin_main(int argc, char **argv);
#include "commands/main.c"
#undef main

#include "image-file.h"

#define HANG_SECONDS 20
#define MEMORY_MAX_KIB (1024 * 1024)
#define FILE_MAX (64 * MIB) /* that a command may write besides */
#define WORKER_CASES 100
#define VOLUME "v/vm-1-disk-0"
#define SNAPSHOT "v/snap_vm-1-disk-0_s"

static const struct {
  gboolean writes;
  guint one_in; /* cases: what takes long, not in each */
  const char *words;
} rows[] = {
    {FALSE, 3, "list"},
    {FALSE, 5, "list --json v"},
    {FALSE, 3, "info v"},
    {FALSE, 3, "info v/data"},
    {FALSE, 5, "info --json " VOLUME},
    {FALSE, 1, "check v/data"},
    {FALSE, 5, "dump v/data"},
    {FALSE, 3, "dump --repair v/data"},
    {FALSE, 7, "dump --format human v/data"},
    {FALSE, 3, "delta " SNAPSHOT " " VOLUME},
    {FALSE, 5, "delta --same --json " SNAPSHOT " " VOLUME},
    {FALSE, 3, "usage v"},
    {FALSE, 5, "usage " VOLUME},
    {FALSE, 3, "rescue " VOLUME " -"},
    {FALSE, 3, "repair --dry-run v/data"},
    {FALSE, 13, "export " SNAPSHOT " out --format raw"},
    {FALSE, 101, "export " SNAPSHOT " out --format qcow2"},
    {TRUE, 11, "send " SNAPSHOT},
    {TRUE, 17, "archive v -"},
    {TRUE, 3, "create v/vm-2-disk-0 --size 1m"},
    {TRUE, 3, "snapshot " VOLUME " t"},
    {TRUE, 7, "clone " SNAPSHOT " vm-3-disk-0"},
    {TRUE, 5, "rollback " VOLUME " s"},
    {TRUE, 11, "rename " VOLUME " vm-4-disk-0"},
    {TRUE, 11, "resize " VOLUME " +1m"},
    {TRUE, 7, "resize " VOLUME " 64k --shrink"},
    {TRUE, 7, "resize v/data +1m"},
    {TRUE, 11, "resize --metadata v/data +1m"},
    {TRUE, 5, "remove --snapshots " VOLUME},
    {TRUE, 7, "remove v/base-9-disk-0"},
    {TRUE, 13, "import in v/vm-5-disk-0"},
    {TRUE, 7, "check --clear-needs-check v/data"},
    {TRUE, 3, "check --auto-repair v/data"},
    {TRUE, 3, "repair --yes v/data"},
    {TRUE, 101, "release v"},
};

static gboolean *unknown; /* of each row: it is a command or option of another version */
static guint32 seed, count;
static gint64 end; /* monotonic time */
static FILE *told; /* what this program says, where commands print to nowhere */
static char *image_path;

static gboolean is_over(void)
{
  return g_get_monotonic_time() >= end;
}

/* --- one command, as if the process were new --- */

/* What the parent knows of a worker that died. */
static struct {
  guint32 number, done, failed;
  guint row;
  guint64 n_commands, n_well; /* run; that ended with success */
} * shared;

static const CliCommand *command_of(guint row)
{
  g_auto(GStrv) words = g_strsplit(rows[row].words, " ", 2);

  return find_command(commands, G_N_ELEMENTS(commands), words[0]);
}

/* Options of an earlier run are no longer given. */
static void forget_options(const CliCommand *command)
{
  for (const GOptionEntry *o = command->options; o && o->long_name; o++)
    if (o->arg == G_OPTION_ARG_NONE)
      *(gboolean *)o->arg_data = FALSE;
    else if (o->arg == G_OPTION_ARG_STRING || o->arg == G_OPTION_ARG_FILENAME ||
             o->arg == G_OPTION_ARG_STRING_ARRAY || o->arg == G_OPTION_ARG_FILENAME_ARRAY)
      *(gpointer *)o->arg_data = NULL;
  arguments = devices = NULL;
}

static int run_row(guint row)
{
  g_autofree char *line = g_strdup_printf("virt-thin --device %s %s", image_path, rows[row].words);
  int status;

  if (!command_of(row))
    return CLI_WRONG_USAGE;
  g_assert_no_errno(ftruncate(STDERR_FILENO, 0));
  lseek(STDERR_FILENO, 0, SEEK_SET);
  alarm(HANG_SECONDS);
  status = main_strv(g_strsplit(line, " ", -1));
  fflush(NULL);
  alarm(0);
  forget_options(command_of(row));
  return status;
}

/* Does the volume group open for writing, and its thin pool? */
static gboolean opens(void)
{
  const char *paths[] = {image_path, NULL};
  const PoolWhere where = {.devices = paths};
  VolumeGroup *group = pool_open_bundled(NULL, &where, NULL);
  g_autoptr(PoolInfo) info = group ? pool_get_info(group, "data", NULL) : NULL;
  gboolean well = info && !info->read_only && info->active;

  return group && pool_close(group, NULL) && well;
}

/* --- the rules --- */

/* Was the file changed by who was refused? Opening itself may change it, and what is open may be
 * changed by a command that fails later. */
static gboolean refused_and_changed(void)
{
  if (!image_file_is_changed())
    return FALSE;
  image_file_put_back();
  return !opens();
}

static const char *fault_of(guint row, int status)
{
  struct rusage usage;

  getrusage(RUSAGE_SELF, &usage);
  if (usage.ru_maxrss > MEMORY_MAX_KIB)
    return "takes more than 1 GiB";
  if (!rows[row].writes)
    return image_file_is_changed() ? "reads, and changes the image" : NULL;
  return status && refused_and_changed() ? "changes an image that is refused" : NULL;
}

static void tell(guint32 number, guint row, const char *fault, const char *what)
{
  g_autofree char *said = NULL;

  g_file_get_contents("said", &said, NULL, NULL);
  fprintf(told, "# image %u %u 1: %s: %s: %s\n", seed, number, rows[row].words, fault, what);
  for (char *line = said ? said : (char *)"", *end; *line; line = end + (*end == '\n')) {
    end = strchrnul(line, '\n');
    fprintf(told, "#   %.*s\n", (int)MIN(end - line, 300), line);
  }
  fflush(told);
}

static void remove_leftovers(void)
{
  static const char *const folders[] = {".", "state", "state/archive"};

  for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
    g_autoptr(GDir) dir = g_dir_open(folders[i], 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
      g_autofree char *path = g_build_filename(folders[i], name, NULL);
      if (strcmp(name, "pv.img") != 0 && strcmp(name, "in") != 0 && strcmp(name, "said") != 0)
        unlink(path);
    }
  }
}

static void run_case(Image *image, guint32 number)
{
  g_autofree char *what = NULL;
  guint32 failed = 0;

  image_file_reset();
  what = image_mutate(image, seed, number);
  image_file_put_back();
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    if ((number + i) % rows[i].one_in != 0 || unknown[i])
      continue;
    shared->row = i;
    int status = run_row(i);
    const char *fault = fault_of(i, status);

    shared->n_commands++;
    shared->n_well += status == 0;
    if (fault)
      tell(number, i, fault, what);
    failed |= fault != NULL;
    if (image_file_is_changed())
      image_file_put_back();
  }
  remove_leftovers();
  shared->failed += failed;
}

/* Undamaged, every command must do its work: else this tests messages. */
static void check_commands(void)
{
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    shared->row = i;
    int status = run_row(i);
    gboolean worked = status == 0 && (rows[i].writes || !image_file_is_changed());

    unknown[i] = status == CLI_WRONG_USAGE;
    if (unknown[i])
      fprintf(told, "# not known: %s\n", rows[i].words);
    else if (!worked)
      tell(0, i, "does not do its work", "undamaged");
    shared->failed += !worked && !unknown[i];
    image_file_put_back();
    remove_leftovers();
  }
  fflush(told);
}

/* --- workers --- */

static void become_worker(void)
{
  const struct rlimit no_core = {0, 0}, no_large_file = {FILE_MAX, FILE_MAX};
  int null = open("/dev/null", O_RDWR),
      said = open("said", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);

  told = fdopen(dup(STDOUT_FILENO), "w");
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(said, STDERR_FILENO);
  setrlimit(RLIMIT_CORE, &no_core);
  setrlimit(RLIMIT_FSIZE, &no_large_file);
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

/* Run @function(@image) in a process, for a while. FALSE: it died; *@why is how. */
static gboolean in_worker(void (*function)(Image *), Image *image, const char **why)
{
  int status;
  pid_t pid;

  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    become_worker();
    function(image);
    fflush(NULL);
    _exit(0);
  }
  g_assert_no_errno(waitpid(pid, &status, 0));
  *why = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "hangs" : "crashes";
  return status == 0;
}

static void run_some(Image *image)
{
  for (guint i = 0; i < WORKER_CASES && shared->done < count && !is_over(); i++) {
    run_case(image, shared->number);
    shared->number++;
    shared->done++;
  }
}

static void make_folder(void)
{
  char *folder;
  const char *shm = g_access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();

  folder = g_getenv("IMAGE_FOLDER") ? g_strdup(g_getenv("IMAGE_FOLDER"))
                                    : g_build_filename(shm, "virt-thin-image-XXXXXX", NULL);
  if (!g_getenv("IMAGE_FOLDER"))
    g_assert_nonnull(g_mkdtemp(folder));
  g_assert_no_errno(chdir(folder));
  image_path = g_build_filename(folder, "pv.img", NULL);
  g_assert_true(g_file_set_contents(image_path, "", 0, NULL));
  g_mkdir("state", 0700);
  g_setenv("VIRT_THIN_STATE_DIR", "state", TRUE);
  g_setenv("VIRT_THIN_RUNTIME_DIR", "run", TRUE);
  g_setenv("VIRT_THIN_CONFIG", "/dev/null", TRUE);
  g_setenv("VIRT_THIN_ENGINE", "bundled", TRUE);
  g_setenv("G_DEBUG", "fatal-criticals", TRUE);
  settings_make_environment_absolute();
  g_assert_true(g_file_set_contents("in", "an image to import", -1, NULL));
}

static void make_image(Image *unused)
{
  image_file_make(image_path);
}

static void try_commands(Image *unused)
{
  check_commands();
}

static void tell_count(void)
{
  printf("# %u damaged images, %" G_GUINT64_FORMAT " commands, of which %" G_GUINT64_FORMAT
         " did their work; %u failed\n",
         shared->done, shared->n_commands, shared->n_well, shared->failed);
}

static void run_all(Image *image)
{
  const char *why;

  while (shared->done < count && !is_over()) {
    if (!in_worker(run_some, image, &why)) {
      tell(shared->number, shared->row, why, "see there");
      shared->failed++;
      shared->number++;
      shared->done++;
    }
    tell_count();
  }
}

static guint32 number_argument(int argc, char **argv, int i, guint32 otherwise)
{
  return argc > i ? (guint32)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
  guint32 seconds = number_argument(argc, argv, 4, 1000000);
  const char *why;
  Image image;

  told = stdout;
  seed = number_argument(argc, argv, 1, g_random_int());
  count = number_argument(argc, argv, 3, 1000);
  end = g_get_monotonic_time() + seconds * G_TIME_SPAN_SECOND;
  make_folder();
  shared = mmap(NULL, sizeof *shared + sizeof *unknown * G_N_ELEMENTS(rows), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  unknown = (gboolean *)(shared + 1);
  if (!in_worker(make_image, NULL, &why))
    g_error("the image could not be made");
  if (!image_file_open(image_path, &image))
    g_error("the image is not as it should be");
  printf("# seed %u; %u metadata blocks are in use\n", seed, image.blocks->len);
  shared->number = number_argument(argc, argv, 2, 0);
  if (!in_worker(try_commands, NULL, &why))
    tell(0, shared->row, why, "undamaged"), shared->failed++;
  run_all(&image);
  return shared->failed != 0;
}
