/* virt-thin - simulation: control calls without a socket
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* A new world: nobody listens. */
void bus_begin(void);
