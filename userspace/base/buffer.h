/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffer: bytes that grow. Zero-initialised it is empty. A failed allocation sticks: later
 * additions do nothing, and buffer_error() tells at the end, so that building a line needs no check
 * at each step.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct buffer {
	char *data; /* not NUL-terminated; owned */
	size_t len;
	size_t room;
	bool failed;
};

void buffer_done(struct buffer *b);
#define _cleanup_buffer_ _cleanup_(buffer_done)

/* Empties it and keeps the memory. Forgets a failure. */
void buffer_clear(struct buffer *b);

/* 0 or -ENOMEM. */
int buffer_error(const struct buffer *b);

void buffer_add(struct buffer *b, const void *data, size_t len);
void buffer_add_char(struct buffer *b, char c);
void buffer_add_text(struct buffer *b, const char *text);
void buffer_print(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
