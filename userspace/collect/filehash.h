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
#include "event.h"

struct filehash;

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
#define VERITY_DIGEST_MAX 64

/*
 * Also what the ELF file says of itself: build_id and package; loader: it has a PT_INTERP.
 *
 * @unproven comes with CHANGED alone: the object can't be shown to have the bytes that it had. Its
 * change time lies within a clock tick of the exec; or something about it changed since
 * (its removal is enough); or the filesystem has no trace of stores through a mapping (tmpfs,
 * memfd: tried). The digest is then there all the same, for one who knows more: the file was not
 * writable as long as the process runs what it executed at opened_ns (ETXTBSY), so if it still does
 * *after* the result came, the state is OBSERVED. Otherwise the digest must not be used.
 */
struct file_digest {
	enum hash_state state;
	bool unproven;
	struct sha256 sha256; /* OBSERVED, HELD, KERNEL */
	uint8_t verity[VERITY_DIGEST_MAX];
	uint8_t verity_len;        /* VERITY */
	uint16_t verity_algorithm; /* FS_VERITY_HASH_ALG_* (linux/fsverity.h) */
	uint8_t build_id_len;
	bool has_loader;
	uint8_t build_id[BUILD_ID_MAX];
	char package[PACKAGE_NOTE_MAX]; /* "" when there is none */
};

/*
 * The kernel's identity of the object behind a descriptor: source_object_id(). Called by workers.
 */
typedef int (*filehash_identify)(void *context, int fd, struct object_id *ret);

struct filehash_config {
	unsigned int workers; /* threads */
	size_t cache_max;     /* entries */
	size_t queue_max;     /* jobs waiting, of one session */
	size_t queue_total;   /* of all, each of which holds a descriptor; see hashqueue_add() */
	uint64_t size_max;    /* bytes; 0: no bound. Larger files are TOO_LARGE */
	bool disabled;        /* every job ends as DISABLED */
	filehash_identify identify;
	void *identify_context;
};

int filehash_new(const struct filehash_config *config, struct filehash **ret);
/*
 * Drops the jobs that wait, and ends those that run. A worker that is stuck in a filesystem which
 * does not answer is left behind with what it uses.
 */
void filehash_free(struct filehash *h);

/* Readable when filehash_collect() has something. Borrowed. */
int filehash_fd(const struct filehash *h);

/*
 * A cached digest of that very object, by the kernel's identity of it. @opened_ns: as in struct
 * filehash_job; the answer can be CHANGED and unproven.
 */
bool filehash_cached(struct filehash *h, const struct object_id *id, uint64_t opened_ns,
		     struct file_digest *ret);

struct filehash_job {
	/*
	 * With has_id: what the kernel executed; the digest counts only when the object behind fd
	 * is that one, before and after hashing (else CHANGED). Without: the descriptor itself is
	 * what the kernel opened (fanotify) or what a caller opened, compared with itself by statx
	 * before and after.
	 */
	struct object_id id;
	bool has_id;
	/*
	 * When the kernel opened it, at the latest: the time of the exec event (CLOCK_BOOTTIME).
	 * The digest counts only if the file's change time is older. 0: the present file is meant,
	 * whatever went before.
	 */
	uint64_t opened_ns;
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

/* Hands every finished job to @done; returns how many. */
int filehash_collect(struct filehash *h,
		     void (*done)(void *data, uint64_t token, const struct file_digest *digest),
		     void *data);

struct filehash_stats {
	uint64_t entries, max, hits, misses, queued, bytes;
};
void filehash_stats(struct filehash *h, struct filehash_stats *ret);
