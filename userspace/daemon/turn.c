/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/turn.h"

#include "base/clock.h"

static _Thread_local struct turn_most most;
static _Thread_local struct effort began;

static void raise_to(uint64_t *most_of, uint64_t n)
{
	if (n > *most_of)
		*most_of = n;
}

static struct effort since_began(void)
{
	return (struct effort){
		.files = effort.files - began.files,
		.bytes = effort.bytes - began.bytes,
		.entries = effort.entries - began.entries,
	};
}

static bool is_within(struct effort e)
{
	return e.files <= TURN_FILES_MAX && e.bytes <= TURN_BYTES_MAX &&
	       e.entries <= TURN_ENTRIES_MAX;
}

const struct turn_most *turn_most(void)
{
	return &most;
}

static void bound(uint64_t cpu_ns)
{
	const struct effort until = {
		.files = began.files + TURN_FILES_LEAVE,
		.bytes = began.bytes + TURN_BYTES_LEAVE,
		.entries = began.entries + TURN_ENTRIES_LEAVE,
	};

	effort_bound(&until, cpu_ns + TURN_CPU_NS_LEAVE);
}

/* Waits are no part of a turn: they are over when sd_event_wait() returns. */
static int take(sd_event *event)
{
	uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), wall;
	struct effort asked;
	int err;

	began = effort;
	bound(cpu);
	err = sd_event_prepare(event);
	if (!err)
		err = sd_event_wait(event, UINT64_MAX);
	wall = clock_ns(CLOCK_MONOTONIC);
	if (err > 0)
		err = sd_event_dispatch(event);
	asked = since_began();
	raise_to(&most.cpu_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
	raise_to(&most.wall_ns, clock_ns(CLOCK_MONOTONIC) - wall);
	raise_to(&most.effort.files, asked.files);
	raise_to(&most.effort.bytes, asked.bytes);
	raise_to(&most.effort.entries, asked.entries);
	most.beyond += !is_within(asked);
	return err;
}

int turn_loop(sd_event *event)
{
	int err = 0, code;

	while (err >= 0 && sd_event_get_state(event) != SD_EVENT_FINISHED)
		err = take(event);
	effort_unbound();
	if (err < 0)
		return err;
	err = sd_event_get_exit_code(event, &code);
	return err < 0 ? err : code;
}
