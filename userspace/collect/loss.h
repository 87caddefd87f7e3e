/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loss: what the kernel or the daemon had to drop becomes Lost records, each count told exactly
 * once.
 */
#pragma once

#include "collect/attribute.h"

/* Counters after LOSS_KINDS that user space adds. Names: loss_name(). */
enum loss_user {
	LOSS_HOOK = LOSS_KINDS, /* programs that the kernel skipped: recursion_misses */
	LOSS_CHAIN,             /* fanotify events dropped */
	LOSS_TABLE,             /* connections dropped from the daemon's table before their end */
	LOSS_JOURNAL,           /* bytes of the journal that were damaged when it was read again */
	LOSS_RECORD, /* records that were larger than the ledger takes, or found no memory */
	LOSS_EVENT,  /* events that this version does not know, or that found no memory */
	LOSS_NUMBER, /* numbers of events that never came, whatever else counts them */
	LOSS_ALL,
};

/*
 * What is more than was told so far, or NULL when nothing is. @totals: the kernel's; what user
 * space dropped is in @a.
 * Freed with affiant__v1__lost__free_unpacked().
 */
Affiant__V1__Lost *loss_since(struct attribute *a, const uint64_t totals[static LOSS_ALL]);

/* The same, told or not: what user space dropped is added to the kernel's. */
void loss_now(const struct attribute *a, const uint64_t kernel[static LOSS_ALL],
	      uint64_t ret[static LOSS_ALL]);

/*
 * What is told of this boot, where the state is gone: @lost's totals. @before: those of other maps
 * of the kernel than the ones that count now. Either may be NULL.
 */
void loss_resume(struct attribute *a, const Affiant__V1__Lost *lost,
		 const Affiant__V1__Lost *before);

/* A NOTE_LOST: tells it, and keeps its totals. @note: @len bytes behind the header. */
void loss_told(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len);

/* For struct seen. */
void loss_gap(void *attribute, uint32_t cpu, uint64_t first, uint64_t last);

/* Totals by name, as a snapshot keeps them. */
size_t loss_totals(const uint64_t totals[static LOSS_ALL],
		   Affiant__V1__LostCount ret[static LOSS_ALL]);
void loss_set_totals(uint64_t totals[static LOSS_ALL], Affiant__V1__LostCount *const *counts,
		     size_t n);
