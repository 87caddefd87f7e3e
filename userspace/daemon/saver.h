/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saver: makes durable what was written, in a thread of its own. A disk may take half a second for
 * that; the ring is full sooner. What a file is to hold is packed there, too: it can be 50 MB.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct saver;

/*
 * First the ledger's file is synced; then, if that went well and there is one, the other file is
 * replaced.
 */
struct saver_job {
	int ledger;         /* owned */
	int directory;      /* borrowed until the job is over */
	const char *name;   /* likewise; of the file there */
	const char *beside; /* likewise; what it is called until it is whole */
	/*
	 * Of that file: it makes what it is to hold of @message, which is the thread's alone and freed
	 * by it, and may fail with -errno. NULL: there is no file to replace.
	 */
	int (*pack)(void *message, uint8_t **ret, size_t *ret_len);
	void *message;
};

/* Starts the thread. */
int saver_new(struct saver **ret);
/* Lets it end its job first. */
void saver_free(struct saver *s);

/* There is a job that was not collected. */
bool saver_busy(const struct saver *s);
/* Takes the job over. Not while it is busy. */
void saver_start(struct saver *s, const struct saver_job *job);
/*
 * True once (@wait: when) the job is over; *@ret_ledger and *@ret_err are 0 or -errno then: of the
 * ledger's file, and of all of the job. False without a job.
 */
bool saver_collect(struct saver *s, bool wait, int *ret_ledger, int *ret_err);

/* Of the file that the job replaced which was collected last, in bytes. */
size_t saver_length(const struct saver *s);
