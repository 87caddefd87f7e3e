// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * environment: which of the variables that decide what runs are set, read from the process's own
 * memory at its exec, before it runs an instruction. It is copied a piece at a time and scanned a
 * word at a time: to read string by string costs twice as much. The functions are verified one by
 * one (global ones), since old kernels' verifiers could not bear the loops inside one another.
 */
#include "environment.h"
#include "maps.h"

#define PIECE ENVIRONMENT_PIECE
#define NAME_BYTES (8 * ENVIRONMENT_WORDS)

#define EACH(byte) (0x0101010101010101ull * (byte))

/* Set by the loader: collect/envtable.h. */
const volatile __u64 environment_multiplier = 1;
const volatile __u8 environment_slots[ENVIRONMENT_SLOTS] = {}; /* bit and 1; 0: empty */
const volatile __u64 environment_names[ENVIRONMENT_NAMES][ENVIRONMENT_WORDS] = {};
const volatile __u64 environment_first = 0;
const volatile __u64 environment_prefixes[ENVIRONMENT_PREFIXES][PREFIX_FIELDS] = {};

/* Bit 7 of every byte that is zero, and of no other. */
static __always_inline __u64 zeros(__u64 word)
{
	return ~(((word & EACH(0x7f)) + EACH(0x7f)) | word | EACH(0x7f));
}

/*
 * The name that begins at @at, up to its '='. False: there is none, since the string ends before,
 * or is empty. Of a name longer than NAME_BYTES, its beginning.
 */
static __always_inline bool name_read(const char *at, __u64 ret[ENVIRONMENT_WORDS])
{
	__u64 word, equals, ends, end;
	bool whole = false;

	for (int i = 0; i < ENVIRONMENT_WORDS; i++) {
		ret[i] = 0;
		if (whole)
			continue;
		word = *(const __u64 *)(at + 8 * i);
		equals = zeros(word ^ EACH('='));
		ends = zeros(word);
		equals &= -equals;
		ends &= -ends;
		if (ends && (!equals || ends < equals))
			return false;
		/* Below the '=', or all of it. */
		end = equals ? (equals >> 7) - 1 : ~0ull;
		ret[i] = word & end;
		whole = equals;
	}
	return true;
}

/* Old verifiers understand masks better than comparisons. */
static __always_inline void bit_set(struct environment *e, __u64 bit)
{
	bit &= ENVIRONMENT_NAMES - 1;
	e->found[bit / 64] |= 1ull << (bit & 63);
}

static __always_inline bool name_known(struct environment *e, const __u64 name[ENVIRONMENT_WORDS])
{
	__u64 entry = environment_slots[environment_slot(name, environment_multiplier)];

	if (!entry)
		return false;
	entry = (entry - 1) & (ENVIRONMENT_NAMES - 1);
	for (int i = 0; i < ENVIRONMENT_WORDS; i++)
		if (environment_names[entry][i] != name[i])
			return false;
	bit_set(e, entry);
	return true;
}

static __always_inline void name_prefixed(struct environment *e,
					  const __u64 name[ENVIRONMENT_WORDS])
{
	if (!(environment_first >> (name[0] & 63) & 1))
		return;
	for (int i = 0; i < ENVIRONMENT_PREFIXES; i++) {
		__u64 fold = environment_prefixes[i][PREFIX_FOLD];

		if (!environment_prefixes[i][PREFIX_MASK0])
			return;
		if (((name[0] | fold) & environment_prefixes[i][PREFIX_MASK0]) ==
			    environment_prefixes[i][PREFIX_VALUE0] &&
		    ((name[1] | fold) & environment_prefixes[i][PREFIX_MASK1]) ==
			    environment_prefixes[i][PREFIX_VALUE1])
			bit_set(e, environment_prefixes[i][PREFIX_BIT]);
	}
}

/* A string begins at @at in the piece. */
__noinline int environment_string(struct environment *e, __u32 at)
{
	__u64 name[ENVIRONMENT_WORDS];

	if (!e || at > PIECE || at >= e->length)
		return 0;
	if (e->strings++ >= ENVIRONMENT_STRINGS) {
		e->cut = 1;
		return 0;
	}
	if (name_read(e->piece + at, name) && !name_known(e, name))
		name_prefixed(e, name);
	return 0;
}

/* The word at @at has the ends of strings at @ends: others begin behind them. */
__noinline int environment_word(struct environment *e, __u32 at, __u64 ends)
{
	if (!e)
		return 0;
	for (int i = 1; i <= 8; i++) {
		if (ends & 0x80)
			environment_string(e, at + i);
		ends >>= 8;
	}
	return 0;
}

/* What begins in the piece, but for a string that begins with it. */
__noinline int environment_piece(struct environment *e)
{
	__u64 ends;

	if (!e)
		return 0;
	for (__u32 at = 0; at < PIECE; at += 8) {
		if (at >= e->length)
			break;
		ends = zeros(*(__u64 *)(e->piece + at));
		if (ends)
			environment_word(e, at, ends);
	}
	return 0;
}

/*
 * A name that begins in one piece may go on in the next: so many bytes more are read. Zeros follow,
 * so that what an earlier piece left behind is no part of a name.
 */
static __always_inline bool piece_read(struct environment *e, __u64 from, __u64 left)
{
	__u32 length = left > PIECE + NAME_BYTES ? PIECE + NAME_BYTES : left;

	e->length = length;
	for (int i = 0; i < ENVIRONMENT_WORDS; i++)
		*(__u64 *)(e->piece + length + 8 * i) = 0;
	return !bpf_probe_read_user(e->piece, length, (void *)from);
}

__noinline int environment_scan(struct environment *e)
{
	__u64 total, done;

	if (!e)
		return 0;
	e->found[0] = e->found[1] = 0;
	e->strings = 0;
	total = e->end - e->begin;
	e->cut = total > ENVIRONMENT_MAX;
	if (e->cut)
		total = ENVIRONMENT_MAX;
	for (int i = 0; i < ENVIRONMENT_MAX / PIECE; i++) {
		done = i * PIECE;
		if (done >= total || e->strings > ENVIRONMENT_STRINGS)
			break;
		if (!piece_read(e, e->begin + done, total - done)) {
			e->cut = 1;
			break;
		}
		if (!i)
			environment_string(e, 0);
		environment_piece(e);
	}
	return 0;
}
