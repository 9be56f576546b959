/* virt-thin - simulation: how an engine shows its volumes, and who works on them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

typedef struct World World;

/* Before anybody looks: what an engine that died has left unanswered. */
void finish_requests(World *w);
/* Until all workers have ended. */
void serve_and_work(World *w);
