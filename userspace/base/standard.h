/* SPDX-License-Identifier: Apache-2.0 */
/* standard: descriptors 0, 1 and 2 are what the caller gave, or nothing. */
#pragma once

/*
 * To be called first. One that the caller closed would become the next file or socket that is
 * opened, and what is printed would be written into that: it is taken, so that reading from or
 * writing to it fails (EBADF). A program that is executed finds it closed. 0 or a negative errno.
 */
int standard_reserve(void);

/* What was printed is out: 0, or a negative errno. */
int standard_flush(void);
