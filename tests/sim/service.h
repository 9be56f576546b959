/* virt-thin - simulation: the service around an engine: its pool, its control calls, its restarts
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

typedef struct World World;

#define SERVICE_RUNTIME "/sim/run" /* its files, in memory */
void service_forget_files(void);

/* World.folder must be there; sets World.served, and World.control, which its clients use. */
void service_start(World *w);
void service_stop(World *w);
