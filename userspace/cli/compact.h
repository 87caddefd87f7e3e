/* SPDX-License-Identifier: Apache-2.0 */
/* compact: a record as one aligned line for a person, during an incident. */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>

#include "base/buffer.h"

struct compact_style {
	bool colour; /* SGR sequences; nothing else that is not printable ever gets out */
	bool ascii;  /* the terminal's locale is not UTF-8 */
};

/*
 * Columns: time (UTC), agent/session (the last 8 characters of its id), principal (alice? is the
 * launcher's word, alice is verified, alice! is bound to the task), task, script or executable[pid]
 * (agent.py? is argv's claim), what, destination or detail, outcome, latency or bytes sent/received
 * and duration, digests and their states. Adds the line with its newline.
 */
void compact_line(const Affiant__V1__Record *r, const struct compact_style *style,
		  struct buffer *out);
