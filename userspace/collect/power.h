/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power: whether a session had root's power. What has it can change any file without a trace, so
 * that from then on no digest of the session is proven. It counts what images were executed with:
 * to gain power a process has to execute something.
 */
#pragma once

#include "collect/attribute.h"

/* Bits of session.power, which is part of the saved state. */
enum session_power {
	POWER_ROOT = 1 << 0,    /* an image ran with root's power */
	POWER_UNKNOWN = 1 << 1, /* a process of it was not seen to exec: what it was is not known */
	POWER_BEGUN = 1 << 2,   /* an image ran that is not a launcher's */
};

/*
 * @e, an exec or adoption in @s, made @image out of @before (NULL: not known, or of no process of
 * the session).
 */
void power_executed(struct attribute *a, const struct event_exec *e, const struct image *before,
		    struct image *image, struct session *s);

/* An exec of it was lost. */
void power_missed(struct session *s);

/* It ended: what is known of it by then is kept for digests that are still awaited. */
void power_ended(struct attribute *a, struct session *s, uint64_t boottime_ns);

/* Whether @s had root's power, or nobody can say that it had not. */
bool power_had(const struct attribute *a, const struct session *s);
