/* virt-thin - tests: commits that fail, that a power cut ends, and thousands of them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lvm-helper.h"
#include "progress.h"

#define N_PVS 2
#define SIZE (8 * MIB)

static char *folder;
static char *paths[N_PVS + 1];

static int setup(void **state)
{
  folder = lvm_test_folder();
  for (guint i = 0; i < N_PVS; i++) {
    g_autofree char *name = g_strdup_printf("pv%u.img", i);

    paths[i] = lvm_test_file(folder, name, SIZE);
  }
  return 0;
}

static int teardown(void **state)
{
  for (guint i = 0; i < N_PVS; i++)
    g_clear_pointer(&paths[i], g_free);
  lvm_test_clean(folder);
  return 0;
}

static LvmStore *create(void)
{
  LvmCreate params = {.extent_size = MIB / 4, .metadata_area = 64 * 1024};
  GError *error = NULL;
  LvmStore *store = lvm_store_create("tvg", (const char *const *)paths, &params, &error);
  LvmVg *vg;

  assert_ok(store, error);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_ok(lvm_vg_add_thin_pool(vg, "data", 16, 8, 65536, &error), error);
  assert_ok(lvm_store_commit(store, vg, NULL, "pool", &error), error);
  return store;
}

/* The VG with one more volume than it has seqnos, so that the number of volumes tells the text. */
static LvmVg *changed(LvmStore *store)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  LvmLv *pool = lvm_vg_find_lv(vg, "data");
  g_autofree char *name = g_strdup_printf("vm-%" G_GUINT64_FORMAT "-disk-0", lvm_vg_seqno(vg) + 1);
  GError *error = NULL;

  assert_ok(lvm_vg_add_thin(vg, pool, name, 4, lvm_pool_next_device(vg, pool), NULL, &error),
            error);
  lvm_pool_set_transaction_id(pool, lvm_pool_transaction_id(pool) + 1);
  return vg;
}

/* A VG that changed() made, and nobody else: returns its seqno. */
static guint64 check_whole(LvmStore *store)
{
  LvmVg *vg = lvm_store_vg(store);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  assert_int_equal(lvs->len, lvm_vg_seqno(vg) + 2); /* pool and its three parts at seqno 2 */
  assert_int_equal(lvm_pool_transaction_id(lvm_vg_find_lv(vg, "data")), lvm_vg_seqno(vg) - 2);
  assert_null(lvm_vg_unwritable(vg));
  return lvm_vg_seqno(vg);
}

/* --- I/O that fails --- */

/* Fails one operation, or all from one on. */
typedef struct {
  gint64 countdown; /* operations until then; negative: never */
  gboolean for_good;
  guint64 n;
  void (*instead)(void); /* happens there, and nothing fails */
} Fault;

static Fault fault;

typedef struct {
  VtIo io;
  VtIo *base;
} FaultIo;

static gboolean strike(VtIo *io, const char *what, GError **error)
{
  fault.n++;
  if (fault.countdown < 0 || fault.countdown-- > 0)
    return TRUE;
  if (fault.for_good)
    fault.countdown = 0;
  if (fault.instead) {
    fault.instead();
    return TRUE;
  }
  return vt_set_error(error, EIO, "%s: injected %s error", vt_io_name(io), what);
}

static gboolean fault_readv(VtIo *io, const struct iovec *iov, int n, guint64 offset,
                            GError **error)
{
  return strike(io, "read", error) && vt_io_readv(((FaultIo *)io)->base, iov, n, offset, error);
}

static gboolean fault_writev(VtIo *io, const struct iovec *iov, int n, guint64 offset,
                             GError **error)
{
  return strike(io, "write", error) && vt_io_writev(((FaultIo *)io)->base, iov, n, offset, error);
}

static gboolean fault_flush(VtIo *io, GError **error)
{
  return strike(io, "flush", error) && vt_io_flush(((FaultIo *)io)->base, error);
}

static gboolean fault_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                           GError **error)
{
  return strike(io, "zero", error) &&
         vt_io_zero(((FaultIo *)io)->base, offset, length, flags, error);
}

static guint64 fault_size(VtIo *io)
{
  return vt_io_size(((FaultIo *)io)->base);
}

static void fault_free(VtIo *io)
{
  vt_io_unref(((FaultIo *)io)->base);
  g_free(io);
}

static const VtIoOps fault_ops = {.readv = fault_readv,
                                  .writev = fault_writev,
                                  .flush = fault_flush,
                                  .zero = fault_zero,
                                  .size = fault_size,
                                  .free = fault_free};

static VtIo *open_fault(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  VtIo *base = vt_io_open_file(path, read_only, error);
  FaultIo *io;

  if (!base)
    return NULL;
  io = g_new0(FaultIo, 1);
  vt_io_init(&io->io, &fault_ops, path, read_only);
  io->base = base;
  return &io->io;
}

/* Fail each I/O of a commit in turn. Afterwards the VG is the old one or the new one; and after one
 * failure that passes, always the old one. */
static void fail_each(gboolean for_good)
{
  guint64 seqno;
  gboolean done = FALSE;

  fault.countdown = -1;
  fault.for_good = for_good;
  lvm_store_close(create());
  for (gint64 n = 0; !done; n++) {
    GError *error = NULL;
    LvmStore *store =
        lvm_store_open((const char *const *)paths, NULL, FALSE, open_fault, NULL, &error);
    LvmVg *vg;

    assert_ok(store, error);
    seqno = check_whole(store);
    vg = changed(store);
    fault.countdown = n;
    done = lvm_store_commit(store, vg, NULL, "change", &error);
    assert_true(done || fault.countdown < 0 || for_good);
    fault.countdown = -1;
    if (!done) {
      assert_error(error, EIO, "injected");
      assert_int_equal(check_whole(store), seqno);
      if (!for_good) { /* and it can go on */
        assert_ok(lvm_store_commit(store, vg, NULL, "again", &error), error);
        assert_int_equal(check_whole(store), seqno + 1);
        seqno++;
      } else {
        gboolean again = lvm_store_commit(store, vg, NULL, "again", &error);

        if (again)
          seqno++;
        else
          lvm_vg_free(vg), g_clear_error(&error);
      }
    } else {
      seqno++;
      assert_true(n >=
                  2 + 2 + 2 + 4 + 2); /* headers read, texts, flushes, headers twice, flushes */
    }
    lvm_store_close(store);
    store = lvm_store_open((const char *const *)paths, NULL, FALSE, NULL, NULL, &error);
    assert_ok(store, error);
    if (for_good)
      assert_in_range(check_whole(store), seqno, seqno + 1);
    else
      assert_int_equal(check_whole(store), seqno);
    lvm_store_close(store);
  }
}

static void test_fail_once(void **state)
{
  fail_each(FALSE);
}

static void test_fail_for_good(void **state)
{
  fail_each(TRUE);
}

/* Opening read-only, each read fails in turn: an error, or a VG. */
static void test_fail_open(void **state)
{
  gboolean done = FALSE;

  fault = (Fault){.countdown = -1};
  lvm_store_close(create());
  for (gint64 n = 0; !done; n++) {
    GError *error = NULL;
    LvmStore *store;

    fault = (Fault){.countdown = n};
    store = lvm_store_open((const char *const *)paths, NULL, TRUE, open_fault, NULL, &error);
    done = fault.countdown >= 0;
    if (store) {
      assert_int_equal(check_whole(store), 2);
      assert_true(done || lvm_store_warnings(store)[0]);
    } else {
      assert_non_null(strstr(error->message, "injected read error"));
      g_clear_error(&error);
    }
    lvm_store_close(store);
  }
  fault.countdown = -1;
}

/* --- somebody else commits in the midst of a commit --- */

#define BEGINNING (2 * 64 * 1024u) /* label and metadata area */

static guint8 ours[N_PVS][BEGINNING], theirs[N_PVS][BEGINNING];

static void take(guint8 (*beginnings)[BEGINNING])
{
  for (guint i = 0; i < N_PVS; i++) {
    int fd = open(paths[i], O_RDONLY);

    assert_int_equal(pread(fd, beginnings[i], BEGINNING, 0), BEGINNING);
    close(fd);
  }
}

static void put(guint8 (*beginnings)[BEGINNING])
{
  for (guint i = 0; i < N_PVS; i++) {
    int fd = open(paths[i], O_WRONLY);

    assert_int_equal(pwrite(fd, beginnings[i], BEGINNING, 0), BEGINNING);
    close(fd);
  }
}

static void put_theirs(void)
{
  put(theirs);
}

static LvmStore *open_through(LvmOpenFunc open)
{
  GError *error = NULL;
  LvmStore *store = lvm_store_open((const char *const *)paths, NULL, FALSE, open, NULL, &error);

  assert_ok(store, error);
  return store;
}

static void prepare_theirs(void)
{
  GError *error = NULL;
  LvmStore *store;
  LvmVg *vg;

  take(ours);
  store = open_through(NULL);
  vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_vg_set_tag(vg, "theirs", TRUE);
  assert_ok(lvm_store_commit(store, vg, NULL, "a stranger", &error), error);
  lvm_store_close(store);
  take(theirs);
}

/* At operation @n: ours is refused, and theirs stays. */
static void meet_stranger(guint n)
{
  GError *error = NULL;
  LvmStore *store;
  LvmVg *vg;

  put(ours);
  store = open_through(open_fault);
  vg = changed(store);
  fault = (Fault){.countdown = n, .instead = put_theirs};
  assert_false(lvm_store_commit(store, vg, NULL, "change", &error));
  assert_error(error, ESTALE, "changed by somebody else");
  fault = (Fault){.countdown = -1};
  lvm_vg_free(vg);
  lvm_store_close(store);
  store = open_through(NULL);
  assert_true(lvm_vg_has_tag(lvm_store_vg(store), "theirs"));
  lvm_store_close(store);
}

/* Headers read twice, texts, flushes, headers read. Between a look and the write after it nothing
 * can be done. */
static void test_stranger_amid(void **state)
{
  fault = (Fault){.countdown = -1};
  lvm_store_close(create());
  prepare_theirs();
  for (guint n = 0; n < 5 * N_PVS; n++)
    if (n < 2 * N_PVS || n >= 3 * N_PVS)
      meet_stranger(n);
}

/* --- making and adding, with I/O that fails --- */

static LvmStore *create_on_first(LvmOpenFunc open, gpointer user_data, GError **error)
{
  const char *first[] = {paths[0], NULL};
  LvmCreate params = {
      .extent_size = MIB / 4, .metadata_area = 64 * 1024, .open = open, .user_data = user_data};

  return lvm_store_create("tvg", first, &params, error);
}

static LvmStore *open_first(gboolean both, GError **error)
{
  const char *list[] = {paths[0], both ? paths[1] : NULL, NULL};

  return lvm_store_open(list, NULL, FALSE, NULL, NULL, error);
}

/* Either there is no volume group, and one can be made; or all of it is there. */
static void test_fail_create(void **state)
{
  for (gint64 n = 0;; n++) {
    GError *error = NULL;
    LvmStore *store;

    fault = (Fault){.countdown = n, .for_good = n % 2};
    store = create_on_first(open_fault, NULL, &error);
    fault.countdown = -1;
    if (store) {
      lvm_store_close(store);
      assert_true(n > 8);
      break;
    }
    assert_error(error, EIO, "injected");
    store = open_first(FALSE, &error);
    g_clear_error(&error);
    if (!store)
      store = create_on_first(NULL, NULL, &error);
    assert_ok(store, error);
    lvm_store_close(store);
    assert_int_equal(truncate(paths[0], 0), 0);
    assert_int_equal(truncate(paths[0], SIZE), 0);
  }
}

static void test_fail_add(void **state)
{
  GError *error = NULL;
  gboolean done = FALSE;

  for (gint64 n = 0; !done; n++) {
    LvmStore *store = create_on_first(open_fault, NULL, &error);

    assert_ok(store, error);
    fault = (Fault){.countdown = n, .for_good = n % 2};
    done = lvm_store_add_pv(store, paths[1], NULL, &error);
    fault.countdown = -1;
    lvm_store_close(store);
    if (!done)
      assert_error(error, EIO, "injected");
    store = open_first(TRUE, &error); /* the group as it was, or with the new PV */
    assert_ok(store, error);
    if (done)
      assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 2 * 28);
    else if (!lvm_store_paths(store)[1])
      assert_ok(lvm_store_add_pv(store, paths[1], NULL, &error), error);
    lvm_store_close(store);
    store = open_first(TRUE, &error);
    assert_ok(store, error);
    assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 2 * 28);
    lvm_store_close(store);
    for (guint i = 0; i < N_PVS; i++)
      assert_true(truncate(paths[i], 0) == 0 && truncate(paths[i], SIZE) == 0);
  }
}

/* --- power cuts --- */

static VtIo *open_recorded(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  VtIo *base = vt_io_open_file(path, read_only, error);
  VtIo *recorder = base ? vt_io_recorder_new(base, user_data) : NULL;

  vt_io_unref(base);
  return recorder;
}

/* Put the metadata of @from, which is all there is, into @to. */
static void copy_metadata(const char *from, const char *to)
{
  static char buf[MIB];
  int in = open(from, O_RDONLY), out = open(to, O_RDWR);

  assert_int_equal(pread(in, buf, sizeof buf, 0), sizeof buf);
  assert_int_equal(pwrite(out, buf, sizeof buf, 0), sizeof buf);
  close(in);
  close(out);
}

/* The state after @upto of @log's entries, opened: its seqno. */
static guint64 replay(VtIoLog *log, guint upto, GRand *rand, char **copies, char **before)
{
  GError *error = NULL;
  LvmStore *store;
  guint64 seqno;

  for (guint i = 0; i < N_PVS; i++) {
    int fd;

    copy_metadata(before[i], copies[i]);
    fd = open(copies[i], O_RDWR);
    assert_ok(vt_io_log_replay(log, i, upto, rand, fd, &error), error);
    close(fd);
  }
  store = lvm_store_open((const char *const *)copies, NULL, FALSE, NULL, NULL, &error);
  assert_ok(store, error);
  seqno = check_whole(store);
  if (upto % 7 == 0) { /* and it works on */
    assert_ok(lvm_store_commit(store, changed(store), NULL, "after the cut", &error), error);
    lvm_store_close(store);
    store = lvm_store_open((const char *const *)copies, NULL, FALSE, NULL, NULL, &error);
    assert_ok(store, error);
    assert_int_equal(check_whole(store), seqno + 1);
  }
  lvm_store_close(store);
  return seqno;
}

static void test_power_cuts(void **state)
{
  guint n_commits = g_getenv("VIRT_THIN_TEST_LONG") ? 300 : 50, n_points = 0;
  VtIoLog *log = vt_io_log_new();
  char *copies[N_PVS + 1] = {NULL}, *before[N_PVS];
  g_autoptr(GArray) done =
      g_array_new(FALSE, FALSE, sizeof(guint)); /* entries logged when commit n returned */
  g_autoptr(GRand) rand = g_rand_new_with_seed(20);
  GError *error = NULL;
  LvmStore *store = create();
  guint64 first = check_whole(store);

  lvm_store_close(store);
  for (guint i = 0; i < N_PVS; i++) {
    g_autofree char *a = g_strdup_printf("copy%u.img", i), *b = g_strdup_printf("before%u.img", i);

    copies[i] = lvm_test_file(folder, a, SIZE);
    before[i] = lvm_test_file(folder, b, SIZE);
    copy_metadata(paths[i], before[i]);
  }
  store = lvm_store_open((const char *const *)paths, NULL, FALSE, open_recorded, log, &error);
  assert_ok(store, error);
  for (guint i = 0; i < n_commits; i++) {
    guint length;

    assert_ok(lvm_store_commit(store, changed(store), NULL, "change", &error), error);
    length = vt_io_log_length(log);
    g_array_append_val(done, length);
  }
  lvm_store_close(store);
  for (guint upto = 0; upto <= vt_io_log_length(log); upto++) {
    guint promised = 0;

    progress("%u power cuts", n_points);
    while (promised < done->len && g_array_index(done, guint, promised) <= upto)
      promised++;
    for (guint round = 0; round < 3; round++, n_points++)
      assert_in_range(replay(log, upto, round ? rand : NULL, copies, before), first + promised,
                      first + promised + 1);
  }
  print_message("# %u power cuts in %u commits\n", n_points, n_commits);
  assert_true(n_points >= 1000);
  vt_io_log_free(log);
  for (guint i = 0; i < N_PVS; i++) {
    g_free(copies[i]);
    g_free(before[i]);
  }
}

/* The cut comes while a group is made or a PV is added. */
static void test_power_cuts_adding(void **state)
{
  VtIoLog *log = vt_io_log_new();
  GError *error = NULL;
  LvmStore *store = create_on_first(open_recorded, log, &error);
  g_autoptr(GRand) rand = g_rand_new_with_seed(21);
  guint created, added;

  assert_ok(store, error);
  created = vt_io_log_length(log);
  assert_ok(lvm_store_add_pv(store, paths[1], NULL, &error), error);
  added = vt_io_log_length(log);
  lvm_store_close(store);
  for (guint i = 0; i < 20 * (added + 1); i++) {
    guint upto = i / 20;

    for (guint j = 0; j < N_PVS; j++) {
      int fd = open(paths[j], O_RDWR | O_TRUNC);

      assert_int_equal(ftruncate(fd, SIZE), 0);
      assert_ok(vt_io_log_replay(log, j, upto, i % 20 ? rand : NULL, fd, &error), error);
      close(fd);
    }
    store = open_first(TRUE, &error);
    if (!store && upto < created) {
      g_clear_error(&error);
      store = create_on_first(NULL, NULL, &error);
    }
    assert_ok(store, error);
    if (!lvm_store_paths(store)[1]) {
      assert_true(upto < added);
      assert_ok(lvm_store_add_pv(store, paths[1], NULL, &error), error);
    }
    assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 2 * 28);
    lvm_store_close(store);
  }
  vt_io_log_free(log);
}

/* --- many commits --- */

/* A text of any size up to the most that fits, around the ring many times. */
static void test_ring(void **state)
{
  GError *error = NULL;
  LvmStore *store = create();
  g_autoptr(GRand) rand = g_rand_new_with_seed(4);
  guint64 used, available;
  guint n = g_getenv("VIRT_THIN_TEST_LONG") ? 20000 : 1500;

  for (guint i = 0; i < n; i++) {
    LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
    LvmLv *pool = lvm_vg_find_lv(vg, "data");
    guint target = g_rand_int_range(rand, 0, 1000);
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

    progress("%u of %u commits", i, n);
    for (guint k = 0; k < 100 && lvs->len + k < target; k++) {
      g_autofree char *name = g_strdup_printf("vm-%u-%u", i, k);

      assert_ok(lvm_vg_add_thin(vg, pool, name, 4, lvm_pool_next_device(vg, pool), NULL, &error),
                error);
    }
    for (guint k = 0; k < lvs->len && lvs->len - k > target; k++)
      if (lvm_lv_kind(lvs->pdata[k]) == LVM_LV_THIN)
        assert_ok(lvm_vg_remove_lv(vg, lvs->pdata[k], &error), error);
    assert_ok(lvm_store_commit(store, vg, NULL, "change", &error), error);
    if (i % 10)
      continue;
    lvm_store_metadata_space(store, &used, &available);
    g_autofree char *want = lvm_vg_format(lvm_store_vg(store), NULL);
    assert_int_equal(used, strlen(want) + 1);
    lvm_store_close(store);
    store = lvm_store_open((const char *const *)paths, NULL, FALSE, NULL, NULL, &error);
    assert_ok(store, error);
    g_autofree char *got = lvm_vg_format(lvm_store_vg(store), NULL);
    assert_string_equal(got, want);
  }
  lvm_store_close(store);
}

static void test_full(void **state)
{
  GError *error = NULL;
  LvmStore *store = create();
  LvmVg *vg;
  guint64 used, available;
  g_autofree char *want = NULL;

  for (;;) {
    vg = lvm_vg_copy(lvm_store_vg(store));
    for (guint i = 0; i < 100; i++) {
      LvmLv *pool = lvm_vg_find_lv(vg, "data");
      guint32 device = lvm_pool_next_device(vg, pool);
      g_autofree char *name = g_strdup_printf("vm-%u-disk-0", device);

      assert_ok(lvm_vg_add_thin(vg, pool, name, 4, device, NULL, &error), error);
    }
    if (!lvm_store_commit(store, vg, NULL, "create many", &error))
      break;
  }
  lvm_store_metadata_space(store, &used, &available);
  assert_int_equal(available, (MIB - 4096 - 512) / 2 - 512);
  want = g_strdup_printf("%" G_GUINT64_FORMAT " are available; remove volumes", available);
  assert_non_null(strstr(error->message, "is full: the volume group's text needs"));
  assert_error(error, ENOSPC, want);
  assert_true(used <= available && used > available - 100 * 400);
  lvm_vg_free(vg);
  vg = lvm_vg_copy(lvm_store_vg(store)); /* and there is a way back */
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "vm-1-disk-0"), &error), error);
  assert_ok(lvm_store_commit(store, vg, NULL, "remove one", &error), error);
  lvm_store_close(store);
  store = lvm_store_open((const char *const *)paths, NULL, FALSE, NULL, NULL, &error);
  assert_ok(store, error);
  lvm_store_close(store);
}

/* --- a reader beside a writer --- */

static gint writing; /* atomic */

static gpointer write_on(gpointer data)
{
  LvmStore *store = data;
  g_autoptr(GRand) rand = g_rand_new_with_seed(8);

  for (guint i = 0; i < 1000; i++) {
    LvmVg *vg = changed(store);

    for (guint k = g_rand_int_range(rand, 0, 30); k > 0; k--) {
      g_autofree char *tag = g_strdup_printf("tag-%u-%u", i, k);

      lvm_vg_set_tag(vg, tag, TRUE);
    }
    if (i % 50 == 0) { /* or the text would only grow */
      g_auto(GStrv) tags = lvm_vg_tags(vg);

      for (char **tag = tags; *tag; tag++)
        lvm_vg_set_tag(vg, *tag, FALSE);
    }
    if (!lvm_store_commit(store, vg, NULL, "change", NULL))
      break;
  }
  g_atomic_int_set(&writing, FALSE);
  return NULL;
}

/* Readers take no lock, and always find a whole VG, and never an older one than before. */
static void test_reader(void **state)
{
  LvmStore *store = create();
  GThread *thread;
  guint64 seqno = 2;
  guint n = 0;

  g_atomic_int_set(&writing, TRUE);
  thread = g_thread_new("writer", write_on, store);
  while (g_atomic_int_get(&writing)) {
    GError *error = NULL;
    LvmStore *reader = lvm_store_open((const char *const *)paths, NULL, TRUE, NULL, NULL, &error);

    assert_ok(reader, error);
    assert_null(lvm_store_warnings(reader)[0]);
    assert_true(check_whole(reader) >= seqno);
    seqno = lvm_vg_seqno(lvm_store_vg(reader));
    lvm_store_close(reader);
    n++;
  }
  g_thread_join(thread);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 1002);
  print_message("# %u times read during 1000 commits, up to seqno %" G_GUINT64_FORMAT "\n", n,
                seqno);
  lvm_store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_fail_once),   TEST(test_fail_for_good), TEST(test_fail_open),
      TEST(test_fail_create), TEST(test_fail_add),      TEST(test_power_cuts_adding),
      TEST(test_power_cuts),  TEST(test_ring),          TEST(test_full),
      TEST(test_reader),      TEST(test_stranger_amid),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
