/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listening: the port of a socket that listens without having been bound, where the kernel's
 * programs could not wait for it (source_features(), "listen"). It is looked for in /proc before
 * the event goes to the journal, so that a replay says the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * An agent can listen as often as it likes: looking costs a twentieth of the time at most. Zero to
 * begin with.
 */
struct listening {
	uint64_t since_ns; /* CLOCK_BOOTTIME */
	uint64_t spent_ns; /* since then */
};

/* Fills the ports in @events, @len bytes from source_read(), as far as they are found. */
void listening_fill(struct listening *l, uint8_t *events, size_t len);
