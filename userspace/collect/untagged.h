/* SPDX-License-Identifier: Apache-2.0 */
/*
 * untagged: what is told of processes that found no room among the tags. The session is marked for
 * good, and Lost records name them. How many they are, the kernel counts (LOSS_TAG); the names are
 * bounded, in a record and over time, so that no agent fills the ledger with them.
 */
#pragma once

#include "collect/attribute.h"

#define UNTAGGED_NAMES_MAX 64 /* in one Lost record */
#define UNTAGGED_WAITING_MAX 1024
#define UNTAGGED_BURST 1024
#define UNTAGGED_PER_SECOND 4

struct untagged_process {
	struct process_key key, parent;
	struct uuid session;
};

struct untagged {
	size_t count;
	struct untagged_process waiting[UNTAGGED_WAITING_MAX];
	/* What the next record may name: the daemon's own pace, which no replay has to repeat. */
	uint64_t paced_ns, tokens;
};

/* A process of @s was left without a tag: all its records say so from now on. */
void untagged_mark(struct session *s);
/* Likewise, of a process of which no event came: NOTE_UNTAGGED. */
void untagged_noted(struct attribute *a, const uint8_t *note, size_t len);

/* To be named; beyond UNTAGGED_WAITING_MAX it is only counted. */
void untagged_add(struct attribute *a, const struct untagged_process *p);
/* Whether some wait that may be named by now. */
bool untagged_ready(const struct attribute *a);
/* Names the next of them in @m; they wait until untagged_named() is told that they are. */
void untagged_name(struct attribute *a, Affiant__V1__Lost *m);
void untagged_named(struct attribute *a, const Affiant__V1__Lost *m);

/* As a state keeps them: NULL when there is no memory. */
Affiant__V1__LostProcess *untagged_message(const struct untagged_process *p);
/* -EBADMSG: it is none. */
int untagged_of_message(const Affiant__V1__LostProcess *m, struct untagged_process *ret);
