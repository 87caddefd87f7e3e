/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn: one turn of the event loop, and how much it may do. Nothing that an agent chooses the number
 * of makes a turn longer: what is more than this goes on in the next one, or in a worker.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/effort.h"

/* What a turn may ask of the file system: base/effort.h counts it. */
#define TURN_FILES_MAX   256
#define TURN_BYTES_MAX   (1u << 20)
#define TURN_ENTRIES_MAX 4096

/* The heaviest turn of this daemon in each respect. */
struct turn_most {
	struct effort effort;
	uint64_t cpu_ns;  /* of the loop's thread */
	uint64_t wall_ns; /* from when something was to be done */
	uint64_t beyond;  /* turns that asked for more than the bounds */
};

/* As sd_event_loop(): its exit code, or -errno. */
int turn_loop(sd_event *event);

/* Since the loop began. Of the calling thread. */
const struct turn_most *turn_most(void);

/* What a turn has left: false when it is to stop here and go on in the next one. */
bool turn_goes_on(void);
