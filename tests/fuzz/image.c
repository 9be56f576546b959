/* virt-thin - an image from elsewhere: damage with right checksums, then every command
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: image SEED FIRST COUNT [SECONDS]
 *
 * A volume group with a thin pool, volumes and snapshots is made in a file. Then, for each number
 * from FIRST on, a copy of it is damaged (image-mutate.h), and commands run on that as main() runs
 * them. None may crash, take longer than 20 seconds or more than 1 GiB; none that only reads may
 * change a byte; and where a volume group or pool is refused, no command may, either. What repair
 * says it has mended, the check has nothing to say of. What fails is told with its seed and number,
 * which do the same again.
 *
 * Beside the image, and made anew for each, are files metadata (the pool's, as damaged), other
 * (room for metadata) and xml (a dump, undamaged). A command that is new needs a row in the table,
 * nothing else. They run one after the other in one process, which is replaced after some cases:
 * starting one takes longer than a command does.
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
#define METADATA_SIZE (2 * MIB) /* as image_file_make() has it */
#define VOLUME "v/vm-1-disk-0"
#define SNAPSHOT "v/snap_vm-1-disk-0_s"

typedef enum {
  READS,  /* changes no byte */
  WRITES, /* changes no byte of what is refused */
  MENDS,  /* says well, and the check is silent; or changes no byte */
} Effect;

static const struct {
  Effect effect;
  guint one_in; /* cases: what takes long, not in each */
  const char *words;
} rows[] = {
    {READS, 3, "list"},
    {READS, 5, "list --json v"},
    {READS, 3, "info v"},
    {READS, 3, "info v/data"},
    {READS, 5, "info --json " VOLUME},
    {READS, 1, "check v/data"},
    {READS, 5, "dump v/data"},
    {READS, 3, "dump --repair v/data"},
    {READS, 7, "dump --format human v/data"},
    {READS, 3, "delta " SNAPSHOT " " VOLUME},
    {READS, 5, "delta --same --json " SNAPSHOT " " VOLUME},
    {READS, 5, "dump --dev-id 1 --skip-mappings v/data"},
    {READS, 5, "dump --repair --metadata metadata"},
    {READS, 3, "check --quick v/data"},
    {READS, 5, "check --json v/data"},
    {READS, 3, "usage v"},
    {READS, 5, "usage --json " VOLUME " " SNAPSHOT},
    {READS, 3, "rescue " VOLUME " -"},
    {READS, 5, "rescue " SNAPSHOT " out --map map"},
    {READS, 5, "rescue --list-texts v"},
    {READS, 5, "rescue --list-roots v/data"},
    {READS, 7, "rescue --root 1 " VOLUME " -"},
    {READS, 7, "rescue --dev-id 1 --size 1m v/data -"},
    {READS, 5, "rescue --metadata metadata " VOLUME " -"},
    {READS, 11, "rescue --dump xml " VOLUME " -"},
    {READS, 3, "repair --dry-run v/data"},
    {READS, 5, "repair --dry-run --json --adopt v/data"},
    {READS, 7, "repair --dry-run --remove-unknown --remove-missing v/data"},
    {READS, 5, "repair --yes --metadata metadata --output other"},
    {READS, 11, "restore --metadata other xml"},
    {READS, 11, "restore --force --metadata other xml"},
    {READS, 13, "export " SNAPSHOT " out --format raw"},
    {READS, 101, "export " SNAPSHOT " out --format qcow2"},
    {WRITES, 11, "send " SNAPSHOT},
    {WRITES, 17, "archive v -"},
    {WRITES, 3, "create v/vm-2-disk-0 --size 1m"},
    {WRITES, 3, "snapshot " VOLUME " t"},
    {WRITES, 7, "clone " SNAPSHOT " vm-3-disk-0"},
    {WRITES, 5, "rollback " VOLUME " s"},
    {WRITES, 11, "rename " VOLUME " vm-4-disk-0"},
    {WRITES, 11, "resize " VOLUME " +1m"},
    {WRITES, 7, "resize " VOLUME " 64k --shrink"},
    {WRITES, 7, "resize v/data +1m"},
    {WRITES, 11, "resize --metadata v/data +1m"},
    {WRITES, 5, "remove --snapshots " VOLUME},
    {WRITES, 7, "remove v/base-9-disk-0"},
    {WRITES, 13, "import in v/vm-5-disk-0"},
    {WRITES, 7, "check --clear-needs-check v/data"},
    {WRITES, 3, "check --auto-repair v/data"},
    {MENDS, 3, "repair --yes v/data"},
    {MENDS, 3, "repair --yes --adopt v/data"},
    {MENDS, 3, "repair --yes --adopt --remove-missing v/data"},
    {MENDS, 3, "repair --yes --remove-unknown --empty-missing v/data"},
    {MENDS, 5, "repair --yes --remove-unknown --remove-missing --keep kept v/data"},
    {WRITES, 101, "release v"},
};

static const char xml[] =
    "<superblock uuid=\"\" time=\"1\" transaction=\"4\" data_block_size=\"128\" "
    "nr_data_blocks=\"384\">\n"
    "<device dev_id=\"1\" mapped_blocks=\"3\" transaction=\"0\" creation_time=\"0\" "
    "snap_time=\"1\">\n"
    "<single_mapping origin_block=\"0\" data_block=\"0\" time=\"0\"/>\n"
    "<range_mapping origin_begin=\"2\" data_begin=\"7\" length=\"2\" time=\"1\"/>\n"
    "</device>\n</superblock>\n";
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

static const CliCommand *command_of(const char *line)
{
  g_auto(GStrv) words = g_strsplit(line, " ", 2);

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
    else if (o->arg == G_OPTION_ARG_INT64)
      *(gint64 *)o->arg_data = -1;
  arguments = devices = NULL;
}

static int run_words(const char *words)
{
  g_autofree char *line = g_strdup_printf("virt-thin --device %s %s", image_path, words);
  const CliCommand *command = command_of(words);
  int status;

  if (!command)
    return CLI_WRONG_USAGE;
  g_assert_no_errno(ftruncate(STDERR_FILENO, 0));
  lseek(STDERR_FILENO, 0, SEEK_SET);
  alarm(HANG_SECONDS);
  status = main_strv(g_strsplit(line, " ", -1));
  fflush(NULL);
  alarm(0);
  forget_options(command);
  return status;
}

/* Does the volume group open for writing, and its thin pool? A text may have become one without a
 * pool. */
static gboolean opens(void)
{
  const char *paths[] = {image_path, NULL};
  const PoolWhere where = {.devices = paths};
  VolumeGroup *group = pool_open_bundled(NULL, &where, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(PoolInfo) info = group ? pool_get_info(group, "data", &error) : NULL;
  gboolean well =
      info ? !info->read_only && info->active : g_error_matches(error, VT_ERROR, ENOENT);

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

static const char *fault_of_repair(int status)
{
  if (status)
    return image_file_is_changed() ? "refuses, and changes the image" : NULL;
  return run_words("check v/data") == 0 ? NULL : "has mended it, and the check fails";
}

static const char *fault_of(guint row, int status)
{
  struct rusage usage;

  getrusage(RUSAGE_SELF, &usage);
  if (usage.ru_maxrss > MEMORY_MAX_KIB)
    return "takes more than 1 GiB";
  if (status == CLI_WRONG_USAGE)
    return "is no command";
  if (rows[row].effect == MENDS)
    return fault_of_repair(status);
  if (rows[row].effect == READS)
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

static gboolean is_ours(const char *name)
{
  static const char *const names[] = {"pv.img", "in", "said", "xml", "metadata", "other", NULL};

  return g_strv_contains(names, name);
}

static void remove_leftovers(void)
{
  static const char *const folders[] = {".", "state", "state/archive"};

  for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
    g_autoptr(GDir) dir = g_dir_open(folders[i], 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
      g_autofree char *path = g_build_filename(folders[i], name, NULL);
      if (!is_ours(name))
        unlink(path);
    }
  }
}

/* The metadata as it is in @image, and room for some. */
static void make_metadata(const Image *image)
{
  const char *data = (const char *)image->data + g_array_index(image->blocks, ImageBlock, 0).at;

  unlink("metadata");
  unlink("other");
  g_assert_true(g_file_set_contents_full("metadata", data, METADATA_SIZE, G_FILE_SET_CONTENTS_NONE,
                                         0600, NULL));
  g_assert_true(g_file_set_contents("other", "", 0, NULL));
  g_assert_no_errno(truncate("other", METADATA_SIZE));
}

static void run_case(Image *image, guint32 number)
{
  g_autofree char *what = NULL;
  guint32 failed = 0;

  image_file_reset();
  what = image_mutate(image, seed, number);
  image_file_put_back();
  make_metadata(image);
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    if ((number + i) % rows[i].one_in != 0)
      continue;
    shared->row = i;
    int status = run_words(rows[i].words);
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
static void try_commands(Image *image)
{
  make_metadata(image);
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    shared->row = i;
    int status = run_words(rows[i].words);
    const char *fault = status ? "does not do its work" : fault_of(i, status);

    if (fault)
      tell(0, i, fault, "undamaged");
    shared->failed += fault != NULL;
    image_file_put_back();
    remove_leftovers();
  }
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
  g_assert_true(g_file_set_contents("xml", xml, -1, NULL));
}

static void make_image(Image *unused)
{
  image_file_make(image_path);
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
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!in_worker(make_image, NULL, &why))
    g_error("the image could not be made");
  if (!image_file_open(image_path, &image))
    g_error("the image is not as it should be");
  printf("# seed %u; %u metadata blocks are in use\n", seed, image.blocks->len);
  shared->number = number_argument(argc, argv, 2, 0);
  if (!in_worker(try_commands, &image, &why))
    tell(0, shared->row, why, "undamaged"), shared->failed++;
  run_all(&image);
  return shared->failed != 0;
}
