/* virt-thin - libFuzzer target: hostile images, manifests and archives of backups
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The first byte of the input says what it is: 0 a manifest, 1 a tar archive, else records of
 * offset (3 bytes, little endian), length (1 byte), bytes, which are laid over a whole qcow2 image;
 * of odd ones the image ends behind the last. What is read of an image must be of its disk, in
 * order. A manifest that is taken is printed, and parsed to the same.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backup/image.h"
#include "backup/manifest.h"
#include "backup/tar.h"
#include "util/memory.h"

#define DISK (3 * G_GUINT64_CONSTANT(512) << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fd;
static guint8 *image, *whole; /* @image: @fd's, mapped */
static gsize image_size;
static const BackupRun runs[] = {
    {65536, 65536, FALSE}, {3 * 65536, 2 * 65536, TRUE}, {DISK - 2 * 65536, 65536 + 4096, FALSE}};

static void told(guint64 bytes, gpointer user_data)
{
}

/* One whose last run is no whole clusters, after a table that is not there. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  const BackupImage head = {FALSE, DISK - 65536 + 4096, "../20261130T153000Z/pve@vm-1.qcow2",
                            "qcow2"};
  g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(BackupRun));
  int disk = memfd_create("disk", MFD_CLOEXEC);
  g_autoptr(VtIo) io = NULL;
  g_autofree char *sum = NULL;
  BackupOut out;

  fd = memfd_create("image", MFD_CLOEXEC);
  g_array_append_vals(list, runs, G_N_ELEMENTS(runs));
  if (ftruncate(disk, DISK) < 0)
    g_error("no memory file");
  io = vt_io_new_file(disk, "disk", TRUE, NULL);
  image_size = backup_image_file_size(&head, list);
  backup_out_begin(&out, fd, "image", TRUE, FALSE);
  if (!backup_image_write(&out, &head, list, io, NULL, told, NULL, NULL) ||
      !backup_out_end(&out, &sum, NULL) || out.offset != image_size)
    g_error("no image");
  image = mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  whole = vt_memdup(image, image_size);
  return 0;
}

/* --- images --- */

typedef struct {
  guint64 next, size;
} Place;

static gboolean look(guint64 offset, const char *data, guint64 length, gpointer user_data,
                     GError **error)
{
  Place *place = user_data;

  if (offset < place->next || length == 0 || offset >= place->size || length > place->size - offset)
    g_error("data outside of the disk, or out of order");
  place->next = offset + length;
  return TRUE;
}

static void read_image(guint64 size)
{
  BackupImageHead head = {0};
  g_autofree char *sum = NULL;
  BackupIn in;

  backup_in_begin(&in, fd, "image", size, TRUE, FALSE);
  if (backup_image_read_head(&in, FALSE, &head, NULL)) {
    Place place = {0, head.size};

    if (backup_image_read(&in, FALSE, &head, look, &place, NULL) && in.offset != size)
      g_error("not all was read");
  }
  sum = backup_in_end(&in);
  backup_image_head_clear(&head);
}

static void test_image(const uint8_t *data, size_t size, gboolean cut)
{
  gsize end = 0;

  memcpy(image, whole, image_size);
  while (size >= 4) {
    gsize offset = data[0] | data[1] << 8 | data[2] << 16, length = MIN(data[3], size - 4);

    offset = MIN(offset, image_size);
    memcpy(image + offset, data + 4, MIN(length, image_size - offset));
    end = offset;
    data += 4 + length;
    size -= 4 + length;
  }
  read_image(cut ? end : image_size);
}

/* --- the others --- */

static void test_manifest(const uint8_t *data, size_t size)
{
  g_autoptr(BackupManifest) manifest =
      backup_manifest_parse((const char *)data, size, "fuzz", NULL);
  g_autoptr(BackupManifest) again = NULL;
  g_autofree char *text = NULL, *same = NULL;
  g_autoptr(GError) error = NULL;

  if (!manifest)
    return;
  text = backup_manifest_print(manifest);
  again = backup_manifest_parse(text, strlen(text), "again", &error);
  if (!again)
    g_error("what was printed cannot be parsed: %s:\n%s", error->message, text);
  same = backup_manifest_print(again);
  if (strcmp(text, same) != 0)
    g_error("printed otherwise than parsed:\n%s---\n%s", text, same);
  for (guint i = 0; i < manifest->volumes->len; i++)
    if (strchr(((BackupVolume *)manifest->volumes->pdata[i])->file, '/'))
      g_error("a file elsewhere");
}

static void test_archive(const uint8_t *data, size_t size)
{
  int archive = memfd_create("archive", MFD_CLOEXEC);

  if (write(archive, data, size) != (gssize)size || lseek(archive, 0, SEEK_SET) < 0)
    g_error("no memory file");
  for (;;) {
    g_autofree char *name = NULL;
    guint64 length;

    if (!backup_tar_read_header(archive, &name, &length, NULL) || !name)
      break;
    if (strchr(name, '/') && strcmp(name, "/") != 0)
      g_error("a name elsewhere: %s", name);
    if (lseek(archive, (off_t)MIN(length, size), SEEK_CUR) < 0 ||
        !backup_tar_skip_pad(archive, length, NULL))
      break;
  }
  close(archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  if (data[0] == 0)
    test_manifest(data + 1, size - 1);
  else if (data[0] == 1)
    test_archive(data + 1, size - 1);
  else
    test_image(data + 1, size - 1, data[0] & 1);
  return 0;
}
