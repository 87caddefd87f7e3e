/* SPDX-License-Identifier: Apache-2.0 */
/*
 * units: sizes and durations as people write them. One spelling each, no signs, no blanks, no
 * fractions.
 */
#pragma once

#include <stdint.h>

/* Bytes: "4096", "4096B", "64KiB", "8MiB", "1GiB", "2TiB". -EINVAL; -ERANGE past 64 bits. */
int size_parse(const char *text, uint64_t *ret);

/*
 * Nanoseconds: "250us", "500ms", "2s", "5m", "8h", "7d", also "1h30m". -EINVAL; -ERANGE past 64
 * bits.
 */
int duration_parse(const char *text, uint64_t *ret_ns);

/* A decimal number. -EINVAL; -ERANGE past 64 bits. */
int number_parse(const char *text, uint64_t *ret);

#define UNITS_TEXT_SIZE 32

/* What size_parse() and duration_parse() would take back: "8MiB", "1500ms". */
void size_format(uint64_t bytes, char ret[static UNITS_TEXT_SIZE]);
void duration_format(uint64_t ns, char ret[static UNITS_TEXT_SIZE]);
