/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/timex.h>

#include "base/clock.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "daemon/core.h"

#define MOVED_NS 1000000ll /* a change of the wall clock that is worth a note */
#define STEP_NS 500000000ll

uint64_t core_boottime_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

/*
 * The best of a few looks: between two of its calls a program can be held up for as long as a step
 * would take.
 */
static int64_t clock_offset(void)
{
	uint64_t best = UINT64_MAX;
	int64_t offset = 0;

	for (int i = 0; i < 5; i++) {
		uint64_t before = clock_ns(CLOCK_BOOTTIME), wall = clock_ns(CLOCK_REALTIME);
		uint64_t took = clock_ns(CLOCK_BOOTTIME) - before;

		if (took >= best)
			continue;
		best = took;
		offset = wall - (before + took / 2);
	}
	return offset;
}

/* The wall clock can step at any time; what it is worth changes slowly. */
void core_read_clock(struct core *c, bool first)
{
	int64_t offset = clock_offset(), moved = offset - c->clock.offset_ns;
	struct timex t = {0};

	c->clock.offset_ns = offset;
	c->clock.state = adjtimex(&t) == TIME_ERROR ? AFFIANT__V1__CLOCK_STATE__CLOCK_UNSYNCHRONISED
						    : AFFIANT__V1__CLOCK_STATE__CLOCK_SYNCHRONISED;
	/* Slewing moves it by 500 ppm at most; half a second between two looks is a step. */
	if (!first && (moved > STEP_NS || moved < -STEP_NS))
		c->clock.state = AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED;
}

int core_note_clock(struct core *c)
{
	Affiant__V1__NoteClock m = AFFIANT__V1__NOTE_CLOCK__INIT;

	SET(&m, offset_ns, c->clock.offset_ns);
	SET(&m, state, c->clock.state);
	return core_note(c, NOTE_CLOCK, &m.base);
}

/* A clock that is slewed moves all the time: a millisecond is as exact as records tell. */
static bool clock_moved(const struct core *c)
{
	int64_t moved = c->clock.offset_ns - c->attribute->clock.offset_ns;

	return moved >= MOVED_NS || moved <= -MOVED_NS ||
	       c->clock.state != c->attribute->clock.state;
}

void core_keep_clock(struct core *c)
{
	core_read_clock(c, false);
	if (clock_moved(c))
		(void)core_note_clock(c); /* otherwise in a second */
}
