/* virt-thin - how a D-Bus peer introduces itself, seen from the serving side
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "control/control-handshake.h"

#define LINE_MAX_BYTES 256
#define LINES_MAX 16

struct ControlHandshake {
  int fd;
  uid_t uid;
  const char *guid;
  char line[LINE_MAX_BYTES + 1]; /* as far as it is there */
  gsize length;
  guint n_lines;
  gboolean greeted, asked, known; /* the NUL came; its identity is asked for; it is who it says */
};

ControlHandshake *control_handshake_new(int fd, uid_t uid, const char *guid)
{
  ControlHandshake *handshake = g_new0(ControlHandshake, 1);

  handshake->fd = fd;
  handshake->uid = uid;
  handshake->guid = guid;
  return handshake;
}

void control_handshake_free(ControlHandshake *handshake)
{
  g_free(handshake);
}

static gboolean answer(ControlHandshake *handshake, const char *word, const char *more)
{
  g_autofree char *line = g_strconcat(word, *more ? " " : "", more, "\r\n", NULL);
  gssize length = (gssize)strlen(line);

  return send(handshake->fd, line, (gsize)length, MSG_DONTWAIT | MSG_NOSIGNAL) == length;
}

/* Is @hex, its number in hexadecimal digits of ASCII ones, what the kernel says? */
static gboolean is_peer(const ControlHandshake *handshake, const char *hex)
{
  g_autofree char *number = g_strdup_printf("%u", (guint)handshake->uid);
  g_autoptr(GString) expected = g_string_new(NULL);

  for (const char *p = number; *p; p++)
    g_string_append_printf(expected, "%02x", *p);
  return !*hex || strcmp(hex, expected->str) == 0;
}

static gboolean identify(ControlHandshake *handshake, const char *hex)
{
  handshake->asked = FALSE;
  handshake->known = is_peer(handshake, hex);
  return handshake->known ? answer(handshake, "OK", handshake->guid)
                          : answer(handshake, "REJECTED", "EXTERNAL");
}

static gboolean begin_auth(ControlHandshake *handshake, const char *mechanism)
{
  if (g_str_has_prefix(mechanism, "EXTERNAL "))
    return identify(handshake, mechanism + strlen("EXTERNAL "));
  handshake->known = FALSE;
  handshake->asked = strcmp(mechanism, "EXTERNAL") == 0;
  return handshake->asked ? answer(handshake, "DATA", "")
                          : answer(handshake, "REJECTED", "EXTERNAL");
}

static ControlHandshakeState take_line(ControlHandshake *handshake)
{
  const char *line = handshake->line;
  gboolean ok;

  if (++handshake->n_lines > LINES_MAX)
    return CONTROL_HANDSHAKE_FAILED;
  if (strcmp(line, "BEGIN") == 0)
    return handshake->known ? CONTROL_HANDSHAKE_DONE : CONTROL_HANDSHAKE_FAILED;
  if (strcmp(line, "AUTH") == 0 || strcmp(line, "CANCEL") == 0)
    ok = begin_auth(handshake, "");
  else if (g_str_has_prefix(line, "AUTH "))
    ok = begin_auth(handshake, line + strlen("AUTH "));
  else if (handshake->asked && g_str_has_prefix(line, "DATA"))
    ok = identify(handshake, line + (line[4] ? 5 : 4));
  else
    ok = answer(handshake, "ERROR", "");
  return ok ? CONTROL_HANDSHAKE_GOES_ON : CONTROL_HANDSHAKE_FAILED;
}

/* Take what is there into the line, up to its end: what follows may be another's to read. -1: no
 * more for now; 0: the peer is gone, or its line is too long. */
static int read_some(ControlHandshake *handshake)
{
  gsize room = LINE_MAX_BYTES - handshake->length;
  char *at = handshake->line + handshake->length, *end;
  gssize n = recv(handshake->fd, at, room, MSG_PEEK | MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return -1;
  if (n <= 0)
    return 0;
  end = memchr(at, handshake->greeted ? '\n' : '\0', (gsize)n);
  if (!handshake->greeted && end != at)
    return 0;
  n = recv(handshake->fd, at, end ? (gsize)(end + 1 - at) : (gsize)n, MSG_DONTWAIT);
  handshake->length += n > 0 ? (gsize)n : 0;
  return n > 0;
}

ControlHandshakeState control_handshake_read(ControlHandshake *handshake)
{
  ControlHandshakeState state = CONTROL_HANDSHAKE_GOES_ON;
  int some;

  while (state == CONTROL_HANDSHAKE_GOES_ON && (some = read_some(handshake)) > 0) {
    char *line = handshake->line;
    gsize length = handshake->length;

    if (!handshake->greeted) {
      handshake->greeted = TRUE;
    } else if (line[length - 1] != '\n') {
      continue;
    } else if (length < 2 || line[length - 2] != '\r') {
      return CONTROL_HANDSHAKE_FAILED;
    } else {
      line[length - 2] = '\0';
      state = take_line(handshake);
    }
    handshake->length = 0;
  }
  return state == CONTROL_HANDSHAKE_GOES_ON && some == 0 ? CONTROL_HANDSHAKE_FAILED : state;
}
