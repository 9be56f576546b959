/* virt-thin - tests of sending and receiving: what is refused, and what is left behind
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer-helper.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transfer/identity.h"
#include "transfer/resume.h"

#define DISK "vm-1-disk-0"
#define SNAP(name) "snap_" DISK "_" name

static VolumeGroup *from, *to;

static void write_seed(VolumeGroup *group, guint64 offset, guint seed)
{
  helper_write(group, DISK, offset, MIB, seed);
}

/* A volume with two snapshots, the first of which is at the receiver, too. */
static int setup(void **state)
{
  if (helper_setup(state) < 0)
    return -1;
  from = transfer_test_make("a", 256 * MIB, 0);
  to = transfer_test_make("b", 128 * MIB, 0);
  assert_done(pool_create(from, "data", DISK, 32 * MIB, &error));
  write_seed(from, 0, 1);
  write_seed(from, 8 * MIB, 2);
  assert_done(pool_snapshot(from, DISK, "s1", &error));
  transfer_test_receive(to, transfer_test_send(from, DISK, TRUE, NULL));
  write_seed(from, 8 * MIB, 3);
  assert_done(pool_snapshot(from, DISK, "s2", &error));
  return 0;
}

static int teardown(void **state)
{
  helper_check_pool(to, "data");
  helper_close(from);
  helper_close(to);
  return helper_teardown(state);
}

/* What there is, in the receiver's own words. */
static char *tell(void)
{
  g_autofree char *names = helper_names(to);
  g_auto(GStrv) all = g_strsplit(names, " ", -1);
  GString *text = g_string_new(NULL);

  for (char **name = all; *name; name++) {
    g_autoptr(PoolVolumeInfo) info = helper_info(to, *name);
    g_autofree char *md5 = helper_md5(to, *name, 0), *tags = g_strjoinv(",", info->tags);

    g_string_append_printf(text, "%s %" G_GUINT64_FORMAT " %d %s %s %s\n", *name, info->size,
                           info->read_only, info->uuid, tags, md5);
  }
  g_string_append_printf(text, "%" G_GUINT64_FORMAT "\n", transfer_test_used(to));
  return g_string_free(text, FALSE);
}

/* And all is as it was. */
static void assert_refused(int fd, int code, const char *part)
{
  g_autofree char *before = tell(), *after = NULL;

  assert_fails(transfer_test_try_receive(to, fd, FALSE, &error), code, part);
  after = tell();
  assert_string_equal(after, before);
}

static void assert_send_refused(const char *volumes, const char *since, int code, const char *part)
{
  int fd = memfd_create("stream", MFD_CLOEXEC);

  assert_fails(transfer_test_try_send(from, volumes, FALSE, since, fd, &error), code, part);
  close(fd);
}

/* --- in good order --- */

static void test_increment(void **state)
{
  int fd = transfer_test_send(from, SNAP("s2"), FALSE, "s1");

  assert_true((guint64)lseek(fd, 0, SEEK_END) < MIB + 4 * KIB);
  transfer_test_receive(to, fd);
  transfer_test_compare(from, to);
}

/* A volume that was sent between two snapshots: nobody has written to it there. */
static void test_between(void **state)
{
  g_autofree char *names = NULL;
  VolumeGroup *third = transfer_test_make("c", 128 * MIB, 0);

  write_seed(from, 4 * MIB, 4);
  transfer_test_receive(third, transfer_test_send(from, NULL, FALSE, NULL));
  names = helper_names(third);
  assert_non_null(strstr(names, "vt-received-"));
  assert_done(pool_snapshot(from, DISK, "s3", &error));
  transfer_test_receive(third, transfer_test_send(from, NULL, FALSE, "s2"));
  transfer_test_compare(from, third);
  helper_close(third);
}

/* It was already: the volume there has nothing to move to. */
static void test_without_volume(void **state)
{
  const char *const names[] = {DISK, NULL};

  assert_done(pool_remove(to, names, FALSE, &error));
  transfer_test_receive(to, transfer_test_send(from, SNAP("s2"), FALSE, "s1"));
  assert_done(pool_remove(from, names, FALSE, &error));
  transfer_test_compare(from, to);
}

/* What went there comes back, as what has changed there since. */
static void test_back(void **state)
{
  const char *const names[] = {SNAP("s2"), NULL};

  assert_done(pool_rollback(from, DISK, "s1", &error));
  assert_done(pool_remove(from, names, FALSE, &error));
  write_seed(to, 20 * MIB, 7);
  assert_done(pool_snapshot(to, DISK, "s3", &error));
  transfer_test_receive(from, transfer_test_send(to, SNAP("s3"), FALSE, "s1"));
  transfer_test_compare(from, to);
}

/* A name says nothing: the receiver's snapshot s1 is another one now. */
static void test_renamed_base(void **state)
{
  assert_done(pool_rename(to, DISK, "vm-2-disk-0", &error));
  transfer_test_receive(to, transfer_test_send(from, SNAP("s2"), FALSE, "s1"));
  helper_check(to, "vm-2-disk-0", 8 * MIB, MIB, 2);
  helper_check(to, SNAP("s2"), 8 * MIB, MIB, 3);
}

/* A snapshot travels with what it has of ten others once. */
static void test_sharing(void **state)
{
  VolumeGroup *third = transfer_test_make("c", 128 * MIB, 0);
  guint64 used = transfer_test_used(from);

  for (guint i = 10; i < 20; i++) {
    g_autofree char *name = g_strdup_printf("s%u", i);

    write_seed(from, 9 * MIB, i);
    assert_done(pool_snapshot(from, DISK, name, &error));
  }
  assert_done(pool_clone(from, SNAP("s12"), "vm-3-disk-0", 0, &error));
  used = transfer_test_used(from);
  transfer_test_receive(third, transfer_test_send(from, NULL, FALSE, NULL));
  transfer_test_compare(from, third);
  assert_int_equal(transfer_test_used(third), used);
  helper_close(third);
}

/* As lvm2 has it after a rollback: the volume's origin is its snapshot, by a tag. */
static void test_origins_in_a_circle(void **state)
{
  const PoolPublication all[] = {
      {.name = "t1",
       .new_name = "snap_vm-7-disk-0_a",
       .snapshot_of = "vm-7-disk-0",
       .sealed = TRUE},
      {.name = "t2", .new_name = "vm-7-disk-0", .origin = "snap_vm-7-disk-0_a"}};
  int fd;

  assert_done(pool_clone(from, DISK, "t1", 0, &error));
  assert_done(pool_clone(from, DISK, "t2", 0, &error));
  assert_done(pool_publish(from, all, G_N_ELEMENTS(all), &error));
  assert_done(pool_snapshot(from, "vm-7-disk-0", "b", &error));
  fd = transfer_test_send(from, "vm-7-disk-0", TRUE, NULL);
  assert_true((guint64)lseek(fd, 0, SEEK_END) < 2 * MIB + 8 * KIB);
  transfer_test_receive(to, fd);
  helper_check(to, "vm-7-disk-0", 8 * MIB, MIB, 3);
}

static void test_template(void **state)
{
  g_autoptr(PoolVolumeInfo) clone = NULL;

  assert_done(pool_template(from, DISK, "base-1-disk-0", &error));
  assert_done(pool_clone(from, "base-1-disk-0", "vm-5-disk-0", 64 * MIB, &error));
  helper_write(from, "vm-5-disk-0", 40 * MIB, MIB, 9);
  transfer_test_receive(to, transfer_test_send(from, "base-1-disk-0 vm-5-disk-0", FALSE, NULL));
  clone = helper_info(to, "vm-5-disk-0");
  assert_string_equal(clone->origin, "base-1-disk-0");
  assert_int_equal(clone->size, 64 * MIB);
  helper_check(to, "vm-5-disk-0", 40 * MIB, MIB, 9);
  helper_check(to, "base-1-disk-0", 8 * MIB, MIB, 3);
}

/* Something was everywhere where now is a hole. */
static void fill_holes(const char *path)
{
  g_autofree char *old = g_malloc(MIB);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  off_t size = lseek(fd, 0, SEEK_END), hole = lseek(fd, 0, SEEK_HOLE);

  memset(old, 'x', MIB);
  for (; hole < size; hole = lseek(fd, hole, SEEK_HOLE)) {
    off_t data = lseek(fd, hole, SEEK_DATA), end = data < 0 ? size : data;
    gsize step = (gsize)MIN(end - hole, (off_t)MIB);

    assert_int_equal(pwrite(fd, old, step, hole), step);
  }
  close(fd);
}

/* lvchange --zero n: a new chunk shows what it held. */
static VolumeGroup *stop_zeroing(VolumeGroup *group, const char *path)
{
  const char *paths[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;
  g_autofree char *text = NULL;
  g_autoptr(GString) edited = NULL;
  LvmVg *vg;
  VolumeGroup *again;

  helper_close(group);
  assert_done((store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error)) != NULL);
  text = lvm_vg_format(lvm_store_vg(store), NULL);
  edited = g_string_new(text);
  assert_int_equal(g_string_replace(edited, "zero_new_blocks = 1", "zero_new_blocks = 0", 0), 1);
  assert_done((vg = lvm_vg_parse(edited->str, edited->len, &error)) != NULL);
  assert_done(lvm_store_commit(store, vg, NULL, "edited by a test", &error));
  g_clear_pointer(&store, lvm_store_close);
  fill_holes(path);
  assert_done((again = pool_open_bundled(NULL, &(PoolWhere){.devices = paths}, &error)) != NULL);
  return again;
}

static void test_chunks_that_show_what_they_held(void **state)
{
  VolumeGroup *third = transfer_test_make("c", 128 * MIB, 512 * KIB);
  g_autofree char *md5 = NULL, *want = NULL;

  third = stop_zeroing(third, helper_path("c"));
  assert_done(pool_create(from, "data", "vm-9-disk-0", 32 * MIB, &error));
  for (guint64 offset = 64 * KIB; offset < 30 * MIB; offset += 832 * KIB)
    helper_write(from, "vm-9-disk-0", offset, 192 * KIB, 5);
  want = helper_md5(from, "vm-9-disk-0", 0);
  transfer_test_receive(third, transfer_test_send(from, "vm-9-disk-0", FALSE, NULL));
  md5 = helper_md5(third, "vm-9-disk-0", 0);
  assert_string_equal(md5, want);
  helper_close(third);
}

/* --- interrupted, and gone on with --- */

static off_t size_of(int fd)
{
  return lseek(fd, 0, SEEK_END);
}

/* Cut at @at per cent; what then is sent is the rest. */
static void resume_at(VolumeGroup *group, off_t at)
{
  const char *volumes = SNAP("s1") " " SNAP("s2"), *const all[] = {SNAP("s1"), SNAP("s2"), NULL};
  int fd = transfer_test_send(from, volumes, FALSE, NULL);
  off_t whole = size_of(fd);
  g_autofree char *token = NULL, *names = NULL;

  assert_int_equal(ftruncate(fd, whole * at / 100), 0);
  token = transfer_test_receive_part(group, fd);
  close(fd);
  if (!token) {
    names = helper_names(group);
    assert_string_equal(names, "");
    return;
  }
  transfer_clean_up(group);
  fd = transfer_test_resume(from, volumes, token);
  if (at > 75)
    assert_true(size_of(fd) < whole / 2);
  transfer_test_receive(group, fd);
  names = helper_names(group);
  assert_string_equal(names, volumes);
  helper_check(group, SNAP("s1"), 8 * MIB, MIB, 2);
  helper_check(group, SNAP("s2"), 8 * MIB, MIB, 3);
  helper_check(group, SNAP("s2"), 20 * MIB, MIB, 0);
  assert_done(pool_remove(group, all, FALSE, &error));
}

static void test_resume(void **state)
{
  VolumeGroup *third = transfer_test_make("c", 128 * MIB, 0);
  g_autoptr(GPtrArray) kept = NULL;

  for (off_t at = 1; at < 100; at += 7)
    resume_at(third, at);
  kept = transfer_list_kept("c", "data");
  assert_int_equal(kept->len, 0);
  helper_check_pool(third, "data");
  helper_close(third);
}

/* The sender's snapshot has another tag now. */
static void test_resume_refused(void **state)
{
  const char *const tag[] = {"new", NULL};
  VolumeGroup *third = transfer_test_make("c", 128 * MIB, 0);
  int fd = transfer_test_send(from, SNAP("s1") " " SNAP("s2"), FALSE, NULL);
  g_autofree char *token = NULL;
  g_autoptr(TransferToken) parsed = NULL;
  const SendWhat what = {.group = from, .pool = "data"};
  g_autoptr(SendPlan) plan = NULL;

  assert_int_equal(ftruncate(fd, size_of(fd) - 10), 0);
  token = transfer_test_receive_part(third, fd);
  close(fd);
  assert_non_null(token);
  assert_done((parsed = transfer_token_parse(token, &error)) != NULL);
  assert_true(parsed->volumes >= 1);
  assert_done(pool_set_tags(from, SNAP("s1"), tag, NULL, &error));
  assert_done((plan = send_plan_new(&what, &error)) != NULL);
  assert_fails(send_plan_resume(plan, parsed, &error), ESTALE, "not what would be sent now");
  assert_fails(transfer_token_parse("x", &error), EINVAL, "no token");
  helper_close(third);
}

/* --- refused --- */

static void test_exists(void **state)
{
  assert_refused(transfer_test_send(from, DISK, TRUE, NULL), EEXIST, "was received before");
  assert_refused(transfer_test_send(from, DISK, FALSE, NULL), EEXIST, "already");
  assert_refused(transfer_test_send(from, SNAP("s2"), FALSE, NULL), EEXIST, "would be no snapshot");
}

static void test_replayed(void **state)
{
  int fd = transfer_test_send(from, SNAP("s2"), FALSE, "s1");

  assert_done(transfer_test_try_receive(to, fd, FALSE, &error));
  assert_refused(fd, EEXIST, "was received before");
}

static void test_no_base(void **state)
{
  const char *const names[] = {SNAP("s1"), NULL};

  assert_done(pool_remove(to, names, FALSE, &error));
  assert_done(pool_snapshot(to, DISK, "s1", &error)); /* of the same name and content */
  assert_refused(transfer_test_send(from, SNAP("s2"), FALSE, "s1"), ENOENT, "does not have");
}

static void test_written_to(void **state)
{
  int fd = transfer_test_send(from, SNAP("s2"), FALSE, "s1");

  write_seed(to, 0, 99);
  assert_refused(fd, ESTALE, "was written to");
  assert_done(transfer_test_try_receive(to, fd, TRUE, &error));
  transfer_test_compare(from, to);
}

/* What was written is in a snapshot: nothing is lost. */
static void test_written_and_kept(void **state)
{
  write_seed(to, 0, 99);
  assert_done(pool_snapshot(to, DISK, "mine", &error));
  transfer_test_receive(to, transfer_test_send(from, SNAP("s2"), FALSE, "s1"));
  helper_check(to, DISK, 8 * MIB, MIB, 3);
  helper_check(to, SNAP("mine"), 0, MIB, 99);
}

static void test_open(void **state)
{
  int fd = transfer_test_send(from, SNAP("s2"), FALSE, "s1");
  VtIo *io;

  assert_done((io = pool_volume_open(to, DISK, TRUE, "somebody", &error)) != NULL);
  assert_refused(fd, EBUSY, "somebody");
  vt_io_unref(io);
  transfer_test_receive(to, fd);
}

static void test_full(void **state)
{
  assert_done(pool_create(from, "data", "vm-9-disk-0", 200 * MIB, &error));
  helper_write(from, "vm-9-disk-0", 0, 160 * MIB, 5);
  assert_refused(transfer_test_send(from, "vm-9-disk-0", FALSE, NULL), ENOSPC,
                 "it is up to 160.00 MiB of data");
}

/* The receiver's chunks are so large that it fills in the middle. */
static void test_fills(void **state)
{
  VolumeGroup *third = transfer_test_make("c", 128 * MIB, 4 * MIB);
  g_autofree char *names = NULL;
  int fd;

  assert_done(pool_create(from, "data", "vm-9-disk-0", 200 * MIB, &error));
  for (guint64 offset = 0; offset < 200 * MIB; offset += 2 * MIB)
    helper_write(from, "vm-9-disk-0", offset, 64 * KIB, 5);
  fd = transfer_test_send(from, "vm-9-disk-0", FALSE, NULL);
  assert_fails(transfer_test_try_receive(third, fd, FALSE, &error), ENOSPC, NULL);
  names = helper_names(third);
  assert_string_equal(names, "");
  assert_int_equal(transfer_test_used(third), 0);
  close(fd);
  helper_check_pool(third, "data");
  helper_close(third);
}

static void test_cut_anywhere(void **state)
{
  g_autofree char *before = tell(), *after = NULL;
  int fd = transfer_test_send(from, SNAP("s2"), FALSE, "s1");
  off_t size = lseek(fd, 0, SEEK_END);

  for (off_t at = size - 1; at >= 0; at -= 1 + at / 3) {
    assert_int_equal(ftruncate(fd, at), 0);
    assert_fails(transfer_test_try_receive(to, fd, FALSE, &error), EBADMSG, NULL);
  }
  close(fd);
  after = tell();
  assert_string_equal(after, before);
}

/* --- what a stream may say --- */

static int write_volume(StreamVolume *v)
{
  int fd = memfd_create("stream", MFD_CLOEXEC);
  StreamHeader header = {.id = "sixteen bytes of"};
  g_autoptr(StreamWriter) w = stream_writer_new(fd, "the stream", &header, FALSE, NULL);

  assert_done(stream_write_begin(w, v, NULL, &error));
  assert_done(stream_write_end_volume(w, &error));
  assert_done(stream_write_end(w, &error));
  return fd;
}

static void test_claims(void **state)
{
  char *own[] = {"virt-thin.max_size=1", NULL}, *none[] = {NULL};
  StreamVolume v = {.name = "v", .size = 4 * MIB, .tags = own};

  assert_refused(write_volume(&v), EBADMSG, "virt-thin's own");
  v.tags = none;
  v.kind = STREAM_LINEAR;
  assert_refused(write_volume(&v), EOPNOTSUPP, "no thin pool");
  v.kind = STREAM_VOLUME;
  v.name = "snap_v_x";
  assert_refused(write_volume(&v), EINVAL, "a name for a snapshot");
  v.name = "data";
  assert_refused(write_volume(&v), EEXIST, "already");
  v.name = "v";
  v.size = G_GUINT64_CONSTANT(1) << 61;
  assert_refused(write_volume(&v), EINVAL, "LVM addresses at most");
}

/* --- the sender --- */

static void test_send_refused(void **state)
{
  assert_send_refused("nothing", NULL, ENOENT, "no volume nothing");
  assert_send_refused(DISK, "s7", ENOENT, "no snapshot s7");
  assert_send_refused(SNAP("s1"), "s1", EINVAL, "the receiver is to have it");
}

static void test_snapshots_go(void **state)
{
  g_autofree char *before = helper_names(from), *after = NULL;

  close(transfer_test_send(from, NULL, FALSE, NULL));
  assert_fails(transfer_test_try_send(from, NULL, FALSE, NULL, -1, &error), EBADF, NULL);
  after = helper_names(from);
  assert_string_equal(after, before);
}

/* --- what others have left --- */

static void test_clean_up(void **state)
{
  g_autofree char *id = transfer_new_id(), *other = transfer_new_id(),
                  *dead = transfer_receive_name(id, 3), *alive = transfer_receive_name(other, 0),
                  *before = helper_names(to), *after = NULL;
  g_autoptr(TransferLock) lock = transfer_lock("b", other, NULL);

  assert_done(pool_create(to, "data", dead, 4 * MIB, &error));
  assert_done(pool_create(to, "data", alive, 4 * MIB, &error));
  transfer_clean_up(to);
  after = helper_names(to);
  assert_non_null(strstr(after, alive));
  assert_null(strstr(after, dead));
  g_clear_pointer(&lock, transfer_unlock);
  transfer_clean_up(to);
  g_free(after);
  after = helper_names(to);
  assert_string_equal(after, before);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_between),
      TEST(test_chunks_that_show_what_they_held),
      TEST(test_origins_in_a_circle),
      TEST(test_resume),
      TEST(test_resume_refused),
      TEST(test_increment),
      TEST(test_without_volume),
      TEST(test_back),
      TEST(test_renamed_base),
      TEST(test_sharing),
      TEST(test_template),
      TEST(test_exists),
      TEST(test_replayed),
      TEST(test_no_base),
      TEST(test_written_to),
      TEST(test_written_and_kept),
      TEST(test_open),
      TEST(test_full),
      TEST(test_fills),
      TEST(test_cut_anywhere),
      TEST(test_claims),
      TEST(test_send_refused),
      TEST(test_snapshots_go),
      TEST(test_clean_up),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
