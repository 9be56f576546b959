/* virt-thin - what the users of libdevmapper here share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* The library is one thread's at a time, from here to dmk_end(); its errors are kept meanwhile, not printed. */
void dmk_begin(void);
void dmk_end(void);
