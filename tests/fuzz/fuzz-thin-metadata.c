/* virt-thin - libFuzzer target: damaged thin metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It is opened, listed, looked up, checked, searched for roots, written anew, and written to.
 *
 * The input is a list of changes to one of a few pools that our own writer makes at the start:
 *   byte 0: which pool (bits 0-1); bit 7: also open it to write, change it, and commit
 *   then, repeated: block (1 byte, of those in use), offset (2 bytes), length - 1 (low 3 bits of
 *   1 byte), the bytes
 *
 * Built with FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION, checksums are not looked at, so that every
 * change counts.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "thin/format/usage.h"
#include "thin/metadata/metadata.h"
#include "thin/rebuild/rebuild.h"
#include "thin/rebuild/roots.h"

#define N_BLOCKS 160u
#define N_POOLS 4
#define N_CHUNKS 5000u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- a device in memory ------------------------------------------------------------- */

typedef struct {
  VtIo io;
  guint8 data[N_BLOCKS * THIN_METADATA_BLOCK];
} Memory;

static gboolean in_memory(guint64 offset, gsize length, GError **error)
{
  return (offset <= N_BLOCKS * THIN_METADATA_BLOCK &&
          length <= N_BLOCKS * THIN_METADATA_BLOCK - offset) ||
         vt_set_error(error, EINVAL, "past the end");
}

static gboolean memory_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  for (int i = 0; i < n_iov; offset += iov[i++].iov_len) {
    if (!in_memory(offset, iov[i].iov_len, error))
      return FALSE;
    memcpy(iov[i].iov_base, ((Memory *)io)->data + offset, iov[i].iov_len);
  }
  return TRUE;
}

static gboolean memory_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  for (int i = 0; i < n_iov; offset += iov[i++].iov_len) {
    if (!in_memory(offset, iov[i].iov_len, error))
      return FALSE;
    memcpy(((Memory *)io)->data + offset, iov[i].iov_base, iov[i].iov_len);
  }
  return TRUE;
}

static gboolean memory_flush(VtIo *io, GError **error)
{
  return TRUE;
}

static guint64 memory_size(VtIo *io)
{
  return N_BLOCKS * THIN_METADATA_BLOCK;
}

static void memory_free(VtIo *io)
{
  g_free(io->name);
  g_free(io);
}

static const VtIoOps memory_ops = {.readv = memory_readv,
                                   .writev = memory_writev,
                                   .flush = memory_flush,
                                   .size = memory_size,
                                   .free = memory_free};

static Memory *memory_new(void)
{
  Memory *memory = g_new0(Memory, 1);
  vt_io_init(&memory->io, &memory_ops, "memory", FALSE);
  return memory;
}

/* --- the pools ---------------------------------------------------------------------- */

static Memory *pools[N_POOLS];
static guint8 used[N_POOLS][N_BLOCKS]; /* blocks in use */
static guint n_used[N_POOLS];

static void map(ThinMetadata *md, guint32 device, guint64 begin, guint64 n)
{
  guint64 chunk, got;
  while (n > 0 && thin_metadata_alloc(md, n, &chunk, &got, NULL)) {
    if (!thin_metadata_insert(md, device, begin, chunk, got, NULL))
      return;
    begin += got;
    n -= got;
  }
}

static void make_pool(guint which)
{
  Memory *memory = pools[which] = memory_new();
  GError *error = NULL;
  if (!thin_metadata_format(&memory->io, THIN_CHUNK_MIN, N_CHUNKS, &error))
    g_error("%s", error->message);
  ThinMetadata *md = thin_metadata_open(&memory->io, FALSE, 1, NULL);
  for (guint32 i = 0; i < (which == 3 ? 150u : 2u); i++) /* pool 3: two levels of device details */
    thin_metadata_create(md, i, NULL);
  map(md, 0, 5, which == 1 ? 1200 : 40);
  map(md, 1, 100, 300);
  if (which >= 2) /* counts of three and more */
    for (guint32 i = 0; i < 4; i++)
      if (thin_metadata_snapshot(md, 1000 + i, 0, NULL))
        map(md, 1000 + i, 10, 2);
  thin_metadata_commit(md, NULL, NULL, NULL);
  if (which == 2 && thin_metadata_reserve_snapshot(md, NULL)) {
    thin_metadata_commit(md, NULL, NULL, NULL);
    map(md, 0, 20, 10);
    thin_metadata_commit(md, NULL, NULL, NULL);
  }
  thin_metadata_close(md);
  for (guint i = 0; i < N_BLOCKS; i++)
    if (memory->data[i * THIN_METADATA_BLOCK] || memory->data[i * THIN_METADATA_BLOCK + 8])
      used[which][n_used[which]++] = (guint8)i;
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet,
                    NULL); /* abort() says that it cannot */
  for (guint i = 0; i < N_POOLS; i++)
    make_pool(i);
  return 0;
}

/* --- one input ---------------------------------------------------------------------- */

static void damage(Memory *memory, guint which, const uint8_t *data, size_t size)
{
  while (size >= 5) {
    guint block = used[which][data[0] % n_used[which]],
          offset = (guint)(data[1] | data[2] << 8) % THIN_METADATA_BLOCK;
    guint n = (data[3] & 7) + 1u;
    data += 4;
    size -= 4;
    n = MIN(MIN(n, (guint)size), THIN_METADATA_BLOCK - offset);
    memcpy(memory->data + block * THIN_METADATA_BLOCK + offset, data, n);
    data += n;
    size -= n;
  }
}

static void read_device(ThinMetadata *md, guint32 id)
{
  guint64 at = 0, exclusive, shared;
  for (guint i = 0; i < 300 && at < G_MAXINT64; i++) {
    ThinRun run;
    if (!thin_metadata_lookup(md, id, at, G_MAXINT64, &run, NULL) && run.end <= at)
      g_error("a lookup did not say how much is lost");
    if (run.end <= at || run.begin != at)
      g_error("a lookup went nowhere");
    at = run.end;
  }
  thin_metadata_count_device(md, id, &exclusive, &shared, NULL);
}

static void read_all(Memory *memory)
{
  ThinMetadata *md = thin_metadata_open(&memory->io, TRUE, 1, NULL);
  ThinStatus status;
  if (!md)
    return;
  thin_metadata_status(md, &status);
  GArray *devices = thin_metadata_list_devices(md, NULL);
  for (guint i = 0; devices && i < MIN(devices->len, 8); i++)
    read_device(md, g_array_index(devices, ThinDevice, i).id);
  g_clear_pointer(&devices, g_array_unref);
  thin_metadata_close(md);
}

/* Every device of a pair leads somewhere, and its losses lie within it. */
static void find_roots(Memory *memory)
{
  GPtrArray *pairs = thin_roots_find(&memory->io, NULL, 3, NULL);
  for (guint i = 0; pairs && i < pairs->len; i++) {
    const ThinRootPair *pair = pairs->pdata[i];
    for (guint j = 0; j < pair->devices->len; j++) {
      const ThinRootDevice *device = &g_array_index(pair->devices, ThinRootDevice, j);
      if (thin_root_pair_device(pair, device->details.id) != device)
        g_error("devices of a pair are out of order");
      if (device->whole && (device->map == 0 || device->map >= N_BLOCKS))
        g_error("a whole map is nowhere");
    }
    for (guint j = 0; j < pair->losses->len; j++) {
      const ThinRootLoss *loss = &g_array_index(pair->losses, ThinRootLoss, j);
      if (loss->first > loss->last || loss->begin >= loss->end)
        g_error("nothing is lost");
    }
  }
  g_clear_pointer(&pairs, g_ptr_array_unref);
}

static void write_some(Memory *memory)
{
  ThinMetadata *md = thin_metadata_open(&memory->io, FALSE, 1, NULL);
  if (!md)
    return;
  thin_metadata_snapshot(md, 77, 0, NULL);
  map(md, 0, 0, 100);
  map(md, 1, 3, 1000);
  thin_metadata_remove(md, 0, 30, 60, NULL);
  thin_metadata_delete(md, 1, NULL);
  if (!thin_metadata_commit(md, NULL, NULL, NULL)) {
    thin_metadata_abort(md, TRUE);
    read_device(md, 0);
  } else {
    thin_metadata_freed_done(md);
    thin_metadata_delete(md, 0, NULL);
    if (!thin_metadata_release_snapshot(md, NULL) || !thin_metadata_commit(md, NULL, NULL, NULL))
      thin_metadata_abort(md, TRUE);
  }
  thin_metadata_close(md);
}

static void count_usage(Memory *memory)
{
  g_auto(ThinUsage) usage = {0};

  thin_usage(&memory->io, &usage, NULL);
}

/* What was mended has no fault left. */
static void mend(Memory *memory)
{
  g_autoptr(ThinReport) found = NULL, after = NULL;

  if (!thin_mend_leaks(&memory->io, 0, &found, NULL))
    return;
  after = thin_check(&memory->io, 0, NULL);
  if (!after || after->errors->len || after->leaks->len)
    g_error("what was mended has faults: %s", !after ? "it cannot be read"
                                              : after->errors->len
                                                  ? (char *)after->errors->pdata[0]
                                                  : (char *)after->leaks->pdata[0]);
}

/* What comes of it has no fault, whatever was lost. */
static void write_anew(Memory *memory)
{
  static Memory *anew;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  ThinReport *report;
  if (!anew)
    anew = memory_new();
  if (!thin_rebuild(&memory->io, NULL, &anew->io, lost, NULL, NULL))
    return;
  report = thin_check(&anew->io, 0, NULL);
  if (report->errors->len || report->leaks->len)
    g_error("written anew it has faults: %s",
            (char *)(report->errors->len ? report->errors : report->leaks)->pdata[0]);
  thin_report_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static Memory *memory;
  if (!memory)
    memory = memory_new();
  if (size < 1)
    return 0;
  guint which = data[0] % N_POOLS;
  memcpy(memory->data, pools[which]->data, sizeof memory->data);
  damage(memory, which, data + 1, size - 1);

  ThinReport *report = thin_check(&memory->io, 0, NULL);
  if (report) {
    if (size < 6 && (report->errors->len || report->leaks->len))
      g_error("an undamaged pool has faults");
    thin_report_free(report);
  }
  read_all(memory);
  find_roots(memory);
  count_usage(memory);
  write_anew(memory);
  if (data[0] & 0x40)
    mend(memory);
  if (data[0] & 0x80)
    write_some(memory);
  return 0;
}
