/* virt-thin - tests of the journal that outlives an engine
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thin/journal.h"

#define KEY_A "o7J99k-6eVe-MxCY-z3Ae-wmcZ-HcTc-Q3elGi"
#define KEY_B "5RisVR-rS8e-oac8-whBz-H3De-PTIk-uN5Kv8"

static int setup(void **state)
{
  *state = mmap(NULL, THIN_JOURNAL_MIN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *state == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
  return munmap(*state, THIN_JOURNAL_MIN);
}

static void append(ThinJournal *journal, guint32 device, guint64 begin, guint64 chunk)
{
  thin_journal_append(
      journal, &(ThinJournalEntry){.device = device, .begin = begin, .n = 1, .chunk = chunk});
}

static void test_pending_over_close(void **state)
{
  guint8 old[4096] = "old", new[4096] = "new";
  const ThinJournalEntry *entries;
  ThinJournal *journal = thin_journal_open(*state, THIN_JOURNAL_MIN, KEY_A);
  assert_non_null(journal);
  thin_journal_reset(journal, old);
  append(journal, 1, 10, 100);
  append(journal, 2, 20, 200);
  thin_journal_close(journal);

  journal = thin_journal_open(*state, THIN_JOURNAL_MIN, KEY_A);
  assert_int_equal(thin_journal_pending(journal, old, &entries), 2);
  assert_int_equal(entries[1].device, 2);
  assert_int_equal(entries[1].chunk, 200);
  /* The commit had got through: nothing to apply. */
  assert_int_equal(thin_journal_pending(journal, new, &entries), 0);
  thin_journal_reset(journal, new);
  assert_int_equal(thin_journal_pending(journal, new, &entries), 0);
  thin_journal_close(journal);
}

static void test_areas_are_apart(void **state)
{
  guint8 superblock[4096] = "sb";
  const ThinJournalEntry *entries;
  ThinJournal *a = thin_journal_open(*state, THIN_JOURNAL_MIN, KEY_A),
              *b = thin_journal_open(*state, THIN_JOURNAL_MIN, KEY_B);
  thin_journal_reset(a, superblock);
  thin_journal_reset(b, superblock);
  append(a, 1, 1, 1);
  assert_int_equal(thin_journal_pending(a, superblock, &entries), 1);
  assert_int_equal(thin_journal_pending(b, superblock, &entries), 0);
  thin_journal_close(a);
  thin_journal_close(b);
  for (guint i = 2; i < THIN_JOURNAL_AREAS; i++) {
    g_autofree char *key = g_strdup_printf("key%u", i);
    ThinJournal *journal = thin_journal_open(*state, THIN_JOURNAL_MIN, key);
    assert_non_null(journal);
    thin_journal_close(journal);
  }
  assert_null(thin_journal_open(*state, THIN_JOURNAL_MIN, "one too many"));
}

static void test_room(void **state)
{
  guint8 superblock[4096] = "sb";
  const ThinJournalEntry *entries;
  ThinJournal *journal = thin_journal_open(*state, THIN_JOURNAL_MIN, KEY_A);
  thin_journal_reset(journal, superblock);
  guint n = 0;
  for (; thin_journal_has_room(journal, 1); n++)
    append(journal, 1, n, n);
  assert_true(n > 1000 && n * sizeof(ThinJournalEntry) < THIN_JOURNAL_MIN / THIN_JOURNAL_AREAS);
  assert_int_equal(thin_journal_pending(journal, superblock, &entries), n);
  thin_journal_close(journal);
}

/* Killed at any moment, an area holds whole entries, in order, and no fewer than were
 * acknowledged. */
static void test_killed_writer(void **state)
{
  guint8 superblock[4096] = "sb";
  volatile guint *acknowledged =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (guint round = 0; round < 50; round++) {
    *acknowledged = 0;
    ThinJournal *journal = thin_journal_open(*state, THIN_JOURNAL_MIN, KEY_A);
    thin_journal_reset(journal, superblock);
    pid_t pid = fork();
    if (pid == 0) {
      for (guint i = 0;; i++) {
        if (!thin_journal_has_room(journal, 1)) {
          *acknowledged = i = 0;
          thin_journal_reset(journal, superblock);
        }
        append(journal, 7, i, 1000 + i);
        *acknowledged = i + 1;
      }
    }
    while (*acknowledged < round * 10)
      ;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    const ThinJournalEntry *entries;
    guint n = thin_journal_pending(journal, superblock, &entries);
    assert_true(n >= *acknowledged);
    for (guint i = 0; i < n; i++)
      assert_true(entries[i].begin == i && entries[i].chunk == 1000 + i && entries[i].device == 7);
    thin_journal_close(journal);
  }
  munmap((void *)acknowledged, 4096);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_pending_over_close, setup, teardown),
      cmocka_unit_test_setup_teardown(test_areas_are_apart, setup, teardown),
      cmocka_unit_test_setup_teardown(test_room, setup, teardown),
      cmocka_unit_test_setup_teardown(test_killed_writer, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
