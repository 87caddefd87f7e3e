/* SPDX-License-Identifier: Apache-2.0 */
/* why: the sentence that goes with an error to the person who can mend it. */
#pragma once

#include <stddef.h>

/* Fills @why, returns @err. */
int why_say(char *why, size_t size, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Fills @why with the words and the text of errno; returns -errno. */
int why_errno(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * From why_listen() to why_heard() what libbpf says goes nowhere but here. why_heard() fills @why
 * with @err's text and the first complaint, with the verifier's last word when there is one;
 * returns @err.
 */
void why_listen(void);
int why_heard(char *why, size_t size, int err, const char *what);
