/* virt-thin - simulation: a client of the NBD server
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "fiber.h"
#include "service/nbd/nbd-server.h"

/* Export @name of @size bytes by the protocol, as a VtIo. After ECANCELED it has hung up, in the
 * midst of a request whose outcome nobody will tell it. */
VtIo *client_open(NbdServer *server, const char *name, guint64 size, SimRandom random,
                  gboolean may_hang_up, GError **error);
gboolean client_has_hung_up(VtIo *io);
