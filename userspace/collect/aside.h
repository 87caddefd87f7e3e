/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aside: work that may wait for whom it looks at, done beside the event loop. What /proc says of a
 * process waits for its exec and its memory map, and a file system that an agent serves itself can
 * hold both for ever. So no work is waited for beyond its time; of one session only a few are under
 * way at once; and what never comes back is left behind, by the loop and at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aside;

/* Another one takes the place of each that is stuck, while there are no more than so many in all. */
#define ASIDE_THREADS	  16
#define ASIDE_THREADS_MAX 256
/* For ASIDE_ENDS: whatever hangs, what has to be done is done. Half of them for aside_do(), too. */
#define ASIDE_RESERVED 4
#define ASIDE_KEY_MAX 2                        /* that one key has at most, */
#define ASIDE_USER_MAX (ASIDE_THREADS_MAX / 4) /* and all keys of one user */
#define ASIDE_QUEUE_MAX 4096                   /* works that wait for a thread, of all keys */

#define ASIDE_NOBODY UINT32_MAX /* who has no bound as a user */

/*
 * Keys that are no session's: what is done for a user, in this or that respect, whose threads are
 * none of another's. Keys of sessions are random numbers of 64 bits.
 */
enum aside_for {
	ASIDE_FOR_MATCH = 1,
	ASIDE_FOR_OPENING,   /* what the first process is given, */
	ASIDE_FOR_MOUNTS,    /* and the mounts that it sees */
	ASIDE_FOR_STRANGERS, /* of all users together: processes in no session */
};

static inline uint64_t aside_key(enum aside_for what, uint32_t uid)
{
	return (uint64_t)what << 32 | uid;
}

/* Of a key of aside_key(): the user. ASIDE_NOBODY: of all together. False: it is a session's. */
static inline bool aside_key_user(uint64_t key, uint32_t *ret)
{
	uint64_t what = key >> 32;

	if (what < ASIDE_FOR_MATCH || what > ASIDE_FOR_STRANGERS)
		return false;
	*ret = what == ASIDE_FOR_STRANGERS ? ASIDE_NOBODY : (uint32_t)key;
	return true;
}

#define ASIDE_ENDS UINT64_MAX

struct aside_work {
	uint64_t key; /* the session, or of aside_key(), for which it is done; 0: nobody's */
	/* from when it is handed over; ASIDE_ENDS: nothing can hold it, and aside_free() waits for it */
	uint64_t wait_ns;
	/* In another thread, which may still be in it when all else is over: only @data is its own. */
	void (*run)(void *data);
	/*
	 * In the thread that calls aside_collect(). @err 0: run() has returned. -ETIMEDOUT: it has
	 * not, and may yet write to what it owns of @data. NULL: nobody asks.
	 */
	void (*done)(void *data, int err);
	void (*free)(void *data); /* once, after both, in either thread; NULL: nothing is freed */
	void *data;
};

/* Its threads begin here, with what this one may do. Signals are not theirs. */
int aside_new(struct aside **ret);

/*
 * @of tells whose a key is, so that no user takes all threads with the many sessions that he may
 * have. Called from aside_submit() and aside_do() only, in their thread. Without it nobody is asked.
 */
typedef uint32_t aside_user_fn(void *data, uint64_t key);
void aside_users(struct aside *a, aside_user_fn *of, void *data);

/* Readable when there is something to collect; what is late isn't told so: collect now and then. */
int aside_fd(const struct aside *a);

/*
 * Takes @w over; where @a is NULL, all of it is done here and now. -EAGAIN, -ENOMEM: the queue is
 * full, or memory; then nothing of @w is called.
 */
int aside_submit(struct aside *a, const struct aside_work *w);

/* Hands out what is over, and what is late, until the turn is to leave off (base/effort.h). */
void aside_collect(struct aside *a);

/*
 * The same, and waits here for it, for @w->wait_ns at most; done() is not called. 0, -ETIMEDOUT, or
 * as aside_submit(); -EAGAIN also at once, where so many of its key,
 * or of all, hang already. On -ETIMEDOUT @w->data is not the caller's any more.
 */
int aside_do(struct aside *a, const struct aside_work *w);

/* It will end: what ASIDE_ENDS does in many steps looks now and then whether to leave off. */
bool aside_stopping(const struct aside *a);

/* Under way, and waiting for somebody. */
size_t aside_stuck(const struct aside *a);

/*
 * What waits is not done any more, nobody is told. Threads that are stuck are left behind: they
 * touch nothing then but their own, and what they were given to use. What is of ASIDE_ENDS is waited for.
 * False: one is, and what it may use must stay.
 */
bool aside_free(struct aside *a);
