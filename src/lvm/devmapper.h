/* virt-thin - libdevmapper, which is one thread's at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* The library is the caller's from here to dmk_end(); its errors are kept meanwhile, not
 * printed. */
void dmk_begin(void);
void dmk_end(void);
/* Of the errors since dmk_begin(), the first; NULL: none. Until dmk_end(). */
const char *dmk_last_words(void);
