/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen: which events have been read, as a window over each CPU's sequence numbers. A window and not
 * a maximum, because the order within the ring inverts: a number is taken before the place in the
 * ring, and whoever took it can be interrupted or preempted in between. Drops doubles, tells gaps
 * once they are final. Who took a number can be kept from the CPU for longer than anybody waits:
 * what was told as missing and comes all the same is new.
 *
 * What is final follows from the events alone, so that reading a journal again comes to the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEEN_WINDOW 65536 /* a number this far behind the newest is final: there, or missing */
#define SEEN_FINAL_NS 1000000000ull /* and one below a number that is older than this */
#define SEEN_CPUS 8192

struct seen_cpu;

struct seen {
	struct seen_cpu *cpus[SEEN_CPUS]; /* made at first sight; freed by seen_clear() */
	uint32_t end;                     /* one past the highest of them that was made */
	uint64_t now_ns;                  /* of the newest event */
	uint64_t first; /* number that each CPU begins with; 0: nobody knows, and below is no loss */
	/*
	 * Numbers that will not come any more. Called in order for one CPU, once for each number.
	 */
	void (*missing)(void *data, uint32_t cpu, uint64_t first, uint64_t last);
	void *data;
};

/*
 * 1: new, perhaps after it was told as missing. 0: seen before, or too far behind to tell, which
 * only a doubled event can be. -ENOMEM; -ERANGE: no such CPU. @time_ns: of the event.
 */
int seen_mark(struct seen *s, uint32_t cpu, uint64_t sequence, uint64_t time_ns);

/* 0: nothing came yet. */
uint64_t seen_highest(const struct seen *s);

/*
 * Each CPU begins anew, with @first, as whoever told the numbers before will tell no more: what is
 * missing below the newest is told.
 */
void seen_begin(struct seen *s, uint64_t first);

/* Tells the gaps that became final on CPUs from which nothing came since. */
void seen_ripen(struct seen *s);

/* These are known to be missing: they are not told again, but are new if they come. */
void seen_forgive(struct seen *s, uint32_t cpu, uint64_t first, uint64_t last);

/*
 * What a restart needs of a CPU: all below @low is final, @bits has a bit for each number in [low,
 * top).
 */
struct seen_span {
	uint64_t low, top;
	uint8_t bits[SEEN_WINDOW / 8];
	uint8_t missed[SEEN_WINDOW / 8]; /* told as missing: from low - 1 downwards */
	size_t missed_len;               /* bytes; behind them there is none */
};
static inline size_t seen_span_bytes(uint64_t low, uint64_t top)
{
	return (top - low + 7) / 8;
}

/* false: nothing came from that CPU. */
bool seen_save(const struct seen *s, uint32_t cpu, struct seen_span *ret);
/* -EBADMSG: it is there already, or contradicts itself. */
int seen_load(struct seen *s, uint32_t cpu, uint64_t low, uint64_t top, const uint8_t *bits,
	      size_t len);

/*
 * The same CPU's, after it: bits as in seen_span. -EBADMSG: it is not loaded, or there are too
 * many.
 */
int seen_load_missed(struct seen *s, uint32_t cpu, const uint8_t *bits, size_t len);

void seen_clear(struct seen *s);
