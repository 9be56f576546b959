/* virt-thin - libFuzzer target: any XML of a thin pool's metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is taken makes metadata without a fault, of which a dump says the same again when it is
 * restored, and which comes back the same when it is written anew. What is not taken leaves the
 * device as it was.
 *
 * Built with FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION, a pool may have few blocks, so that absurd
 * numbers end soon.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thin/format/dump.h"
#include "thin/rebuild/rebuild.h"
#include "thin/rebuild/xml.h"
#include "thin/thin.h"

#define SIZE (1u << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static VtIo *devices[2];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  for (guint i = 0; i < 2; i++) {
    int fd = memfd_create("metadata", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, SIZE) < 0 ||
        !(devices[i] = vt_io_new_file(fd, "metadata", FALSE, NULL)))
      g_error("no memory file");
  }
  return 0;
}

static void check(VtIo *metadata)
{
  ThinReport *report = thin_check(metadata, 0, NULL);
  guint n = report->errors->len - report->needs_check + report->leaks->len;

  if (n > 0)
    g_error("what was written has faults: %s",
            (char *)(report->errors->len ? report->errors : report->leaks)->pdata[0]);
  thin_report_free(report);
}

static char *dump(VtIo *metadata)
{
  ThinDumpOptions options = {.device = -1};
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  GError *error = NULL;

  if (!thin_dump(metadata, &options, out, &error))
    g_error("what was written cannot be dumped: %s", error->message);
  fclose(out);
  return text;
}

static void clear(VtIo *metadata)
{
  guint8 zero[THIN_METADATA_BLOCK] = {0};

  vt_io_write(metadata, zero, sizeof zero, 0, NULL);
}

static void write_anew(const char *text)
{
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  g_autofree char *again = NULL;
  GError *error = NULL;

  if (!thin_rebuild(devices[0], NULL, devices[1], lost, NULL, &error))
    g_error("it cannot be written anew: %s", error->message);
  check(devices[1]);
  again = dump(devices[1]);
  if (lost->len > 0 || (!strstr(text, " flags=\"1\"") && strcmp(text, again) != 0))
    g_error("written anew it differs:\n%s\n---\n%s", text, again);
}

static void restore_again(char *text)
{
  FILE *in = fmemopen(text, strlen(text), "r");
  g_autofree char *again = NULL;
  GError *error = NULL;

  if (!thin_restore(in, "dump", devices[1], NULL, &error))
    g_error("a dump is not taken: %s", error->message);
  fclose(in);
  again = dump(devices[1]);
  if (strcmp(text, again) != 0)
    g_error("restored again it differs:\n%s\n---\n%s", text, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  FILE *in = size ? fmemopen((void *)data, size, "r") : NULL;
  g_autofree char *text = NULL;
  guint8 head[THIN_METADATA_BLOCK];

  if (!in)
    return 0;
  clear(devices[0]);
  if (thin_restore(in, "input", devices[0], NULL, NULL)) {
    check(devices[0]);
    text = dump(devices[0]);
    restore_again(text);
    write_anew(text);
  } else if (thin_superblock_read(devices[0], 0, head, NULL)) {
    g_error("what is refused was written");
  }
  fclose(in);
  return 0;
}
