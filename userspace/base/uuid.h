/* SPDX-License-Identifier: Apache-2.0 */
/* uuid: UUID version 7 (RFC 9562, section 5.7). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UUID_SIZE 16
#define UUID_TEXT_SIZE 37

struct uuid {
	uint8_t bytes[UUID_SIZE];
};

/* A fresh one: @wall_ns is UTC since the epoch; 0 or the -errno of getrandom(2). */
int uuid7_new(uint64_t wall_ns, struct uuid *ret);

/*
 * One that can be made again: its 74 random bits are the first of SHA-256(@seed). Records are named
 * so, from their source event, so that a replay after a crash makes the same id.
 */
int uuid7_derive(uint64_t wall_ns, const void *seed, size_t len, struct uuid *ret);

void uuid_format(const struct uuid *u, char ret[static UUID_TEXT_SIZE]);

/* -EINVAL unless @text is 8-4-4-4-12 hexadecimal digits. */
int uuid_parse(const char *text, struct uuid *ret);
