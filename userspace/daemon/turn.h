/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn: one turn of the event loop, and how much it may do. Nothing that an agent chooses the
 * number of makes a turn longer: what is more than this goes on in the next one, or in a worker.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/effort.h"

/*
 * What a turn may ask of the file system and walk of tables: base/effort.h counts it. No turn comes
 * to more, whatever agents do: tests/e2e/test_turns.py.
 */
#define TURN_FILES_MAX	 1024
#define TURN_BYTES_MAX	 (2u << 20)
#define TURN_ENTRIES_MAX 8192

/* The goal: a number for the bench, and for people. It isn't promised on every machine. */
#define TURN_CPU_NS_GOAL 50000000ull

/*
 * At so much a turn leaves off what can be left for the next one: the rest is for what can't, a
 * batch of events among it.
 */
#define TURN_FILES_LEAVE   (TURN_FILES_MAX / 4)
#define TURN_BYTES_LEAVE   (TURN_BYTES_MAX / 4)
#define TURN_ENTRIES_LEAVE (TURN_ENTRIES_MAX / 4)
#define TURN_CPU_NS_LEAVE  (TURN_CPU_NS_GOAL / 5)

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
