/* virt-thin - tests: failover: what hosts say, where disks go, whose replicas there are
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <string.h>
#include <unistd.h>

#include "apply/domain-xml.h"
#include "schedule/first-host.h"
#include "schedule/nvram.h"
#include "schedule/replicas.h"

static void test_what_the_first_host_says(void **state)
{
  static const struct {
    int status;
    const char *said;
    FirstHost is;
  } cases[] = {
      {0, "", FIRST_HOST_ANSWERS},
      {127, "sh: virsh: not found\n", FIRST_HOST_ANSWERS},
      {255, "ssh: connect to host a port 22: Connection timed out\r\n", FIRST_HOST_SILENT},
      {255, "a warning\nssh: connect to host a port 22: No route to host\n", FIRST_HOST_SILENT},
      {255, "channel 0: open failed: connect failed: No route to host\n", FIRST_HOST_SILENT},
      /* A program there that ends with 0, and prints that. */
      {0, "ssh: connect to host a port 22: No route to host\n", FIRST_HOST_ANSWERS},
      {255, "ssh: connect to host a port 22: Connection refused\n", FIRST_HOST_ANSWERS},
      {255, "ssh: connect to host a port 22: Network is unreachable\n", FIRST_HOST_ANSWERS},
      {255, "Connection timed out during banner exchange\n", FIRST_HOST_ANSWERS},
      {255, "Timeout, server a not responding.\n", FIRST_HOST_ANSWERS},
      {255, "root@a: Permission denied (publickey).\n", FIRST_HOST_ANSWERS},
      {255, "Host key verification failed.\n", FIRST_HOST_ANSWERS},
      {255, "", FIRST_HOST_ANSWERS},
      {-1, "ssh: connect to host a port 22: No route to host\n", FIRST_HOST_ANSWERS},
      {255, "ssh: Could not resolve hostname a: Name or service not known\n", FIRST_HOST_NO_NAME},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    if (first_host_judge(cases[i].status, cases[i].said) != cases[i].is)
      print_error("%d %s\n", cases[i].status, cases[i].said);
    assert_int_equal(first_host_judge(cases[i].status, cases[i].said), cases[i].is);
  }
}

#define DOMAIN                                                                                     \
  "<domain type='kvm'><name>a</name><devices>"                                                     \
  "<disk type='block' device='disk'><source dev='/dev/pve/a' index='1'>"                           \
  "<seclabel model='dac' relabel='no'/></source><target dev='vda'/></disk>"                        \
  "<disk type='volume' device='disk'><source pool='p' volume='b' mode='host'/>"                    \
  "<target dev='vdb'/></disk>"                                                                     \
  "<disk type='file' device='cdrom'><target dev='sda'/></disk>"                                    \
  "<disk type='file' device='disk'><source file='/c'/><target dev='vdc'/></disk>"                  \
  "<interface><target dev='vda'/></interface></devices></domain>"

static void test_disks_are_moved(void **state)
{
  ApplyDisk vda = {.target = (char *)"vda", .pool = (char *)"q", .volume = (char *)"a&b"};
  ApplyDisk vdb = {.target = (char *)"vdb", .path = (char *)"/dev/x/b", .is_block = TRUE};
  g_autoptr(GPtrArray) moved = g_ptr_array_new(), disks = NULL;
  g_autofree char *text = NULL;
  const ApplyDisk *disk;

  g_ptr_array_add(moved, &vda);
  g_ptr_array_add(moved, &vdb);
  text = apply_domain_move(DOMAIN, moved);
  assert_non_null(strstr(text, "<disk type=\"volume\" device=\"disk\"><source pool=\"q\" "
                               "volume=\"a&amp;b\"><seclabel model=\"dac\" relabel=\"no\"/>"));
  assert_non_null(strstr(text, "<disk type=\"block\" device=\"disk\"><source dev=\"/dev/x/b\"/>"));
  disks = apply_domain_disks(text);
  assert_int_equal(disks->len, 4);
  assert_true(apply_disk_is_same_place(disks->pdata[0], &vda));
  assert_true(apply_disk_is_same_place(disks->pdata[1], &vdb));
  disk = disks->pdata[2];
  assert_null(disk->path);
  disk = disks->pdata[3];
  assert_string_equal(disk->path, "/c");
  assert_false(disk->is_block);
}

static void test_what_is_no_domain(void **state)
{
  static const char *const texts[] = {"", "<", "<pool/>", "<domain/>",
                                      "<domain><devices/></domain>"};
  g_autoptr(GPtrArray) moved = g_ptr_array_new();

  for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autoptr(GPtrArray) disks = apply_domain_disks(texts[i]);
    g_autofree char *text = apply_domain_move(texts[i], moved);

    assert_int_equal(disks->len, 0);
    assert_int_equal(text != NULL, g_str_has_prefix(texts[i], "<domain"));
  }
}

static void assert_nvram(const char *os, const char *expected)
{
  g_autofree char *text = g_strdup_printf("<domain><os>%s</os></domain>", os),
                  *path = apply_domain_nvram(text);

  if (g_strcmp0(path, expected) != 0)
    fail_msg("%s: %s", os, path);
}

static void test_where_variables_are(void **state)
{
  assert_nvram("<nvram>/a/b.fd</nvram>", "/a/b.fd");
  assert_nvram("<nvram template='/t.fd'> /a/b.fd\n</nvram>", "/a/b.fd");
  assert_nvram("<nvram type='file'><source file='/a/c.fd'/></nvram>", "/a/c.fd");
  assert_nvram("<nvram type='block'><source dev='/dev/x'/></nvram>", NULL);
  assert_nvram("<nvram type='network'><source protocol='nbd' name='x'/></nvram>", NULL);
  assert_nvram("<nvram template='/t.fd'/>", NULL);
  assert_nvram("<nvram>a.fd</nvram>", NULL);
  assert_nvram("", NULL);
  assert_null(apply_domain_nvram("<"));
  assert_null(apply_domain_nvram("<pool><os><nvram>/a</nvram></os></pool>"));
}

static void put(const char *document, const char *packed, gboolean dry_run, NvramPut expected)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;
  NvramPut done;

  nvram_put(document, packed, dry_run, &done, &path, &error);
  g_assert_no_error(error);
  assert_int_equal(done, expected);
}

static void test_variables_travel(void **state)
{
  static const char *const damaged[] = {
      "x", ":", "3", "3:", "99999999999:eJw=", "-1:eJw=", "4:eJwDAAAAAAE="};
  g_autofree char *folder = g_dir_make_tmp(NULL, NULL),
                  *file = g_build_filename(folder, "vars.fd", NULL),
                  *document = g_strdup_printf("<domain><os><nvram>%s</nvram></os></domain>", file),
                  *packed = NULL, *data = g_malloc(540672), *again = NULL;
  g_autoptr(GError) error = NULL;
  gsize length;

  memset(data, 0xff, 540672);
  strcpy(data + 1000, "boot order");
  assert_null(nvram_pack(document, &error));
  g_assert_error(error, VT_ERROR, ENOENT);
  assert_true(g_file_set_contents(file, data, 540672, NULL));
  assert_non_null(packed = nvram_pack(document, NULL));
  assert_true(strlen(packed) < 2000);
  put(document, packed, FALSE, NVRAM_SAME);
  assert_int_equal(unlink(file), 0);
  put(document, packed, TRUE, NVRAM_WRITTEN);
  assert_false(g_file_test(file, G_FILE_TEST_EXISTS));
  put(document, packed, FALSE, NVRAM_WRITTEN);
  assert_true(g_file_get_contents(file, &again, &length, NULL));
  assert_int_equal(length, 540672);
  assert_memory_equal(again, data, length);
  assert_true(g_file_set_contents(file, "mine", 4, NULL));
  put(document, packed, FALSE, NVRAM_OTHER);
  put(document, "", FALSE, NVRAM_NONE);
  put("<domain/>", packed, FALSE, NVRAM_NONE);
  for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++) {
    g_autoptr(GError) local = NULL;
    g_autofree char *path = NULL;
    NvramPut done;

    assert_false(nvram_put(document, damaged[i], FALSE, &done, &path, &local));
    g_assert_error(local, VT_ERROR, EBADMSG);
  }
  assert_int_equal(truncate(file, NVRAM_MAX_SIZE + 1), 0);
  g_clear_error(&error);
  assert_null(nvram_pack(document, &error));
  g_assert_error(error, VT_ERROR, EFBIG);
  unlink(file);
  rmdir(folder);
}

#define HEAD(time)                                                                                 \
  "[replicas]\nversion=1\nschedule=far\nhost=alpha\nvg=pve2\npool=data\ntime=" time "\n"
#define GUEST "[guest 3]\nname=../1/%01\nvolumes=pve/a;pve/b;\nsnapshots=snap_a_x;snap_b_x;\n"
#define ITS_DOMAIN                                                                                 \
  "asked=true\ndomains=7;\n[domain 7]\nname=one\nuuid=0c9ca34a-5d10-4f6e-8a8b-91a1a4b0c107\n"      \
  "xml=<domain/>\\n\ndisks=vda;pve/a;\n"

static void keep(const char *text)
{
  g_autoptr(GError) error = NULL;

  if (!replicas_keep(text, "10.0.0.1", &error))
    fail_msg("%s", error->message);
}

static void test_what_is_told_is_kept(void **state)
{
  g_autoptr(GPtrArray) replicas = NULL;
  const ReplicaDomain *domain;
  const Replica *r;

  keep(HEAD("100") GUEST ITS_DOMAIN);
  keep(HEAD("200") GUEST "asked=false\n");
  replicas = replicas_list();
  assert_int_equal(replicas->len, 2);
  r = replicas->pdata[0];
  assert_int_equal(r->time, 200);
  assert_string_equal(r->guest, "../1/%01");
  assert_string_equal(r->host, "alpha");
  assert_string_equal(r->address, "10.0.0.1");
  assert_string_equal(r->volumes[1], "pve/b");
  assert_string_equal(r->snapshots[1], "snap_b_x");
  /* libvirt was not asked: the one from before. */
  assert_int_equal(r->domains->len, 1);
  domain = r->domains->pdata[0];
  assert_string_equal(domain->name, "one");
  assert_string_equal(domain->document, "<domain/>\n");
  assert_string_equal(domain->disks[1], "pve/a");
  g_clear_pointer(&replicas, g_ptr_array_unref);
  keep(HEAD("300") GUEST "asked=true\n");
  replicas = replicas_list();
  assert_int_equal(((const Replica *)replicas->pdata[0])->domains->len, 0);
}

static void test_what_is_no_longer_there_is_forgotten(void **state)
{
  ScheduleSnapshot a = {.lv = (char *)"snap_a_x", .pool = (char *)"data", .time = 200}, b = a;
  g_autoptr(GPtrArray) there = g_ptr_array_new(), replicas = NULL;
  g_autoptr(Replica) head = replicas_head(HEAD("300"), NULL);

  keep(HEAD("100") GUEST);
  keep(HEAD("200") GUEST);
  b.lv = (char *)"snap_b_x";
  g_ptr_array_add(there, &a);
  g_ptr_array_add(there, &b);
  replicas_prune(head, there);
  replicas = replicas_list();
  assert_int_equal(replicas->len, 1);
  assert_int_equal(((const Replica *)replicas->pdata[0])->time, 200);
}

static void test_what_is_no_record(void **state)
{
  static const char *const texts[] = {
      "hello",
      HEAD("0") GUEST,
      HEAD("1") "[guest 0]\nname=a\n",
      HEAD("1") "[guest 0]\nname=a\nvolumes=pve/a;\nsnapshots=a;b;\n",
      HEAD("1") "[guest 0]\nname=a\nvolumes=pve/../a;\nsnapshots=a;\n",
      HEAD("1") "[guest 0]\nname=a\nvolumes=pve/a;\nsnapshots=-a;\n",
      HEAD("1") GUEST "domains=0;\n",
      "[replicas]\nversion=2\n",
      "[replicas]\nversion=1\nschedule=../x\nhost=a\nvg=v\npool=p\ntime=1\n" GUEST,
      "[replicas]\nversion=1\nschedule=x\nhost=..\nvg=v\npool=p\ntime=1\n" GUEST,
      "[replicas]\nversion=1\nschedule=x\nhost=a/b\nvg=v\npool=p\ntime=1\n" GUEST,
  };

  for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) replicas = NULL;

    if (replicas_keep(texts[i], NULL, &error))
      fail_msg("kept: %s", texts[i]);
    assert_true(g_error_matches(error, VT_ERROR, EINVAL));
    replicas = replicas_list();
    assert_int_equal(replicas->len, 0);
  }
}

int main(void)
{
  /* One folder for all: that which is to find nothing comes first. */
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_the_first_host_says),
      cmocka_unit_test(test_disks_are_moved),
      cmocka_unit_test(test_what_is_no_domain),
      cmocka_unit_test(test_where_variables_are),
      cmocka_unit_test(test_variables_travel),
      cmocka_unit_test_setup_teardown(test_what_is_no_record, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_what_is_told_is_kept, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_what_is_no_longer_there_is_forgotten, helper_setup,
                                      helper_teardown),
  };

  return cmocka_run_group_tests_name("failover", tests, NULL, NULL);
}
