/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment: the variables that make a program run other code than its files say, by number. What
 * each of them does stands in docs/records.md, "Environment".
 *
 * Numbers are bits of event_exec.environment (bpf/event.h), and journals hold them: one is never
 * given to another name. A name that ends with '*' stands for all that begin so, in whatever case
 * if it is in lower case itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENVIRONMENT_NAME_MAX 31   /* bytes */
#define ENVIRONMENT_PREFIX_MAX 15 /* before the '*' */

/* All numbers are below this, which is at most ENVIRONMENT_NUMBERS. */
extern const size_t environment_count;
#define ENVIRONMENT_NUMBERS 128
#define ENVIRONMENT_SET_SIZE (ENVIRONMENT_NUMBERS / 64)

/* NULL: no such number. */
const char *environment_name(unsigned int number);
/* -1: it is none of them. As it stands in the table: "BASH_FUNC_*". */
int environment_number(const char *name);

/* Sets of numbers: a bit for each. */
static inline bool environment_has(const uint64_t set[static ENVIRONMENT_SET_SIZE],
				   unsigned int number)
{
	return set[number / 64] >> number % 64 & 1;
}

static inline void environment_add(uint64_t set[static ENVIRONMENT_SET_SIZE], unsigned int number)
{
	set[number / 64] |= UINT64_C(1) << number % 64;
}
