/* SPDX-License-Identifier: Apache-2.0 */
/* when: points in time as people write them. */
#pragma once

#include <stdint.h>

/*
 * Nanoseconds since the epoch: RFC 3339 ("2026-11-02T06:13:20.5Z", "2026-11-02 07:13:20+01:00"), or
 * a duration before @now_ns ("1h", "-10m", "1h30m ago"). -EINVAL for anything else, a date that the
 * calendar lacks too.
 */
int when_parse(const char *text, uint64_t now_ns, uint64_t *ret_ns);

#define WHEN_SIZE 25

/* "2026-11-02T06:13:20.259Z", which when_parse() takes back. */
void when_format(uint64_t ns, char ret[static WHEN_SIZE]);
