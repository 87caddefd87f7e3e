/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filehash: digests of files, by worker threads behind a bounded queue, with a bounded cache keyed
 * by the object's identity, never by a path.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "collect/object.h"

struct filehash;
struct hostmounts;

/* affiant.v1.HashState, the same numbers. */
enum hash_state {
	HASH_STATE_UNKNOWN,
	HASH_STATE_KERNEL,
	HASH_STATE_VERITY,
	HASH_STATE_HELD,
	HASH_STATE_OBSERVED,
	HASH_STATE_TOO_LATE,
	HASH_STATE_TOO_LARGE,
	HASH_STATE_CHANGED,
	HASH_STATE_UNREADABLE,
	HASH_STATE_DISABLED,
	HASH_STATE_UNPROVEN,
	HASH_STATE_OFFERED,
	HASH_STATE_CLAIMED,
};

#define BUILD_ID_MAX 32
#define PACKAGE_NOTE_MAX 512
#define LOADER_MAX 256
#define VERITY_DIGEST_MAX 64

/* Why a digest proves nothing: affiant.v1.Unproven, the same numbers. */
enum unproven {
	PROVEN,
	UNPROVEN_POWER,
	UNPROVEN_FILESYSTEM,
	UNPROVEN_OVERLAY,
	UNPROVEN_OWNER,
	UNPROVEN_WRITABLE,
	UNPROVEN_MOUNT,
	UNPROVEN_CHANGED,
};

/*
 * What was read of a file, and of which: whether that proves anything of an exec is for
 * proof_judge() to say. From filehash the state is OBSERVED (it stood still while it was read),
 * VERITY, or why there is none.
 *
 * Also what the ELF file says of itself: build_id, package and loader.
 */
struct file_digest {
	enum hash_state state;
	enum unproven unproven; /* with UNPROVEN */
	struct sha256 sha256;   /* OBSERVED, HELD, KERNEL, OFFERED; UNPROVEN: of what was read */
	bool has_facts;
	bool moved; /* the object, but not in the state that was wanted, or not in one all the time */
	bool tied;  /* changed in the tick in which it was read, as far as the clock can tell */
	int64_t changed_ns; /* CLOCK_REALTIME: the latest moment at which it can have changed */
	struct object_facts facts; /* when it had been read */
	uint8_t verity[VERITY_DIGEST_MAX];
	uint8_t verity_len;        /* VERITY */
	uint16_t verity_algorithm; /* FS_VERITY_HASH_ALG_* (linux/fsverity.h) */
	uint8_t build_id_len;
	uint8_t build_id[BUILD_ID_MAX];
	char package[PACKAGE_NOTE_MAX]; /* "" when there is none */
	char loader[LOADER_MAX];        /* its PT_INTERP; "" when there is none */
};

/*
 * What the kernel says of the object behind a descriptor: source_object_facts(). Called by workers.
 */
typedef int (*filehash_identify)(void *context, int fd, struct object_facts *ret);

struct filehash_config {
	unsigned int workers; /* threads */
	size_t cache_max;     /* entries */
	size_t queue_max;     /* jobs waiting, of one session */
	size_t queue_total;   /* of all, each of which holds a descriptor; see hashqueue_add() */
	uint64_t size_max;    /* bytes; 0: no bound. Larger files are TOO_LARGE */
	bool disabled;        /* every job ends as DISABLED */
	filehash_identify identify;
	void *identify_context;
	struct hostmounts *mounts; /* as in struct answering */
};

int filehash_new(const struct filehash_config *config, struct filehash **ret);
/*
 * Drops the jobs that wait, and ends those that run. False: a worker is stuck in a filesystem that
 * does not answer; it is left behind with what it uses, which is not to be freed.
 */
bool filehash_stop(struct filehash *h);
/* Stops it; without effect on one that can't be. */
void filehash_free(struct filehash *h);

/* Readable when filehash_collect() has something. Borrowed. */
int filehash_fd(const struct filehash *h);

/* A cached digest of that very object, by the kernel's identity of it. */
bool filehash_cached(struct filehash *h, const struct object_facts *object,
		     struct file_digest *ret);

struct filehash_job {
	/*
	 * With has_want: what the kernel executed; it is CHANGED when the object behind fd is
	 * another one, before or after hashing. Without: the descriptor itself is what the kernel
	 * opened (fanotify) or what a caller opened, compared with itself before and after.
	 */
	struct object_facts want;
	bool has_want;
	bool verity; /* an fs-verity digest will do instead of SHA-256 */
	int fd; /* taken over, also on failure; O_PATH will do: a worker opens it */
	/*
	 * Instead of fd: called by a worker, for what may take its time to open (scriptarg_open()).
	 * Returns a descriptor or -errno: -ESRCH ends as TOO_LATE, anything else as UNREADABLE.
	 * @opener is taken over, also on failure, and freed by @opener_free.
	 */
	int (*open)(void *opener);
	void (*opener_free)(void *opener);
	void *opener;
	uint64_t session; /* whose queue */
	uint64_t token;   /* given back */
};

/*
 * -EAGAIN: that session's queue is full (the caller's record says TOO_LATE). A descriptor that is
 * not of a regular file ends as UNREADABLE.
 */
int filehash_submit(struct filehash *h, const struct filehash_job *job);

/*
 * Hands every job that was finished before @before_ns (CLOCK_BOOTTIME) to @done; returns how many.
 */
int filehash_collect(struct filehash *h, uint64_t before_ns,
		     void (*done)(void *data, uint64_t token, const struct file_digest *digest),
		     void *data);

struct filehash_stats {
	uint64_t entries, max, hits, misses, queued, bytes;
};
void filehash_stats(struct filehash *h, struct filehash_stats *ret);
