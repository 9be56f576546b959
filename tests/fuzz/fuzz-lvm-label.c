/* virt-thin - libFuzzer target: hostile labels, metadata headers and rings
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The input is laid over a whole physical volume of 64 KiB: from byte 0 on, records of offset (2
 * bytes, little endian), length (1 byte), bytes. The first input byte says which checksums are put
 * right afterwards: bit 0 the label's, bit 1 the header's, bit 2 the text's. Then the volume group
 * is opened read-only and read-write, read, and committed to.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lvm/store.h"
#include "util/crc.h"
#include "util/memory.h"

#define SIZE (128u << 10)
#define AREA 4096u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static guint8 *device; /* mapped */
static guint8 *whole;

static const char text[] =
    "vg {\nid = \"6Nfa6Q-bayC-pJfI-Ahv6-7fOJ-VKpV-nGtznS\"\nseqno = 3\nformat = \"lvm2\"\nstatus = "
    "[\"RESIZEABLE\", "
    "\"READ\", \"WRITE\"]\nflags = []\n"
    "extent_size = 16\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\nphysical_volumes {\n\npv0 "
    "{\nid = "
    "\"7B6vkB-y7B9-2kUe-E7Bg-idDg-Ljus-PB5LB5\"\n"
    "device = \"/dev/vda\"\n\nstatus = [\"ALLOCATABLE\"]\nflags = []\ndev_size = 256\npe_start = "
    "128\npe_count = "
    "8\n}\n}\n\nlogical_volumes {\n\n"
    "lin {\nid = \"ahL2iu-uUCL-YAyN-Rtrk-Wg09-PVsb-cmw1la\"\nstatus = [\"READ\", \"WRITE\", "
    "\"VISIBLE\"]\nflags = "
    "[]\nsegment_count = 2\n\nsegment1 {\n"
    "start_extent = 0\nextent_count = 2\n\ntype = \"striped\"\nstripe_count = 2\nstripe_size = "
    "8\n\nstripes = "
    "[\n\"pv0\", 1,\n\"pv0\", 5\n]\n}\nsegment2 {\n"
    "start_extent = 2\nextent_count = 1\n\ntype = \"striped\"\nstripe_count = 1\n\nstripes = "
    "[\n\"pv0\", "
    "3\n]\n}\n}\n}\n\n}\n"
    "# Generated\n\ncontents = \"Text Format Volume Group\"\nversion = 1\n\ndescription = \"\"\n\n";

static void put(gsize offset, guint64 value, gsize size)
{
  value = GUINT64_TO_LE(value);
  memcpy(device + offset, &value, size);
}

static guint64 get(gsize offset, gsize size)
{
  guint64 value = 0;

  memcpy(&value, device + offset, size);
  return GUINT64_FROM_LE(value);
}

/* --- the checksums --- */

static void seal_text(void)
{
  guint64 offset = get(AREA + 40, 8), size = get(AREA + 48, 8);

  if (offset < SIZE - AREA && size <= SIZE - AREA - offset)
    put(AREA + 56, vt_lvm_crc(LVM_CRC_INITIAL, device + AREA + offset, size), 4);
}

static void seal_header(void)
{
  put(AREA, vt_lvm_crc(LVM_CRC_INITIAL, device + AREA + 4, 508), 4);
}

static void seal_label(void)
{
  put(512 + 16, vt_lvm_crc(LVM_CRC_INITIAL, device + 512 + 20, 492), 4);
}

static void make_whole(void)
{
  static const guint8 magic[16] = {0x20, 0x4c, 0x56, 0x4d, 0x32, 0x20, 0x78, 0x5b,
                                   0x35, 0x41, 0x25, 0x72, 0x30, 0x4e, 0x2a, 0x3e};

  memcpy(device + 512, "LABELONE", 8);
  put(520, 1, 8);
  put(532, 32, 4);
  memcpy(device + 536, "LVM2 001", 8);
  memcpy(device + 544, "7B6vkBy7B92kUeE7BgidDgLjusPB5LB5", 32);
  put(576, SIZE, 8);
  put(584, 128 * 512, 8);
  put(616, AREA, 8);
  put(624, 15 * 4096, 8);
  put(648, 2, 4);
  put(652, 1, 4);
  memcpy(device + AREA + 4, magic, 16);
  put(AREA + 20, 1, 4);
  put(AREA + 24, AREA, 8);
  put(AREA + 32, 15 * 4096, 8);
  put(AREA + 40, 512, 8);
  put(AREA + 48, sizeof text, 8);
  memcpy(device + AREA + 512, text, sizeof text);
  seal_text();
  seal_header();
  seal_label();
  whole = vt_memdup(device, SIZE);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  int fd = memfd_create("fuzz", MFD_CLOEXEC);

  if (fd < 0 || ftruncate(fd, SIZE) < 0)
    g_error("no memory file");
  device = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  make_whole();
  return 0;
}

static void apply(const uint8_t *data, size_t size)
{
  while (size >= 3) {
    gsize offset = data[0] | data[1] << 8, length = MIN(data[2], size - 3);

    memcpy(device + offset, data + 3, MIN(length, SIZE - offset));
    data += 3 + length;
    size -= 3 + length;
  }
}

static void read_lvs(LvmStore *store, gboolean read_only)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(store));

  for (guint i = 0; i < lvs->len && i < 8; i++) {
    VtIo *io = lvm_store_open_lv(store, lvm_lv_name(lvs->pdata[i]), read_only, NULL);
    char buf[5000] = "";

    if (!io)
      continue;
    if (vt_io_size(io) >= sizeof buf) {
      vt_io_read(io, buf, sizeof buf, vt_io_size(io) - sizeof buf, NULL);
      if (!read_only)
        vt_io_zero(io, vt_io_size(io) / 2, sizeof buf / 2, 0, NULL);
    }
    vt_io_unref(io);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  const char *paths[] = {path, NULL};
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free), scans = NULL;
  g_autoptr(LvmProbe) probe = NULL;
  LvmStore *store;
  guint8 seal = size ? data[0] : 0;

  memcpy(device, whole, SIZE);
  if (size)
    apply(data + 1, size - 1);
  if (seal & 4)
    seal_text();
  if (seal & 2)
    seal_header();
  if (seal & 1)
    seal_label();
  probe = lvm_probe(paths, NULL, NULL, NULL);
  scans = lvm_probe_list(probe, problems);
  store = lvm_store_open(paths, NULL, TRUE, NULL, NULL, NULL);
  if (store)
    read_lvs(store, TRUE);
  lvm_store_close(store);
  store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, NULL);
  if (!store)
    return 0;
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  if (!lvm_store_commit(store, vg, NULL, "fuzz", NULL))
    lvm_vg_free(vg);
  read_lvs(store, FALSE);
  lvm_store_close(store);
  return 0;
}
