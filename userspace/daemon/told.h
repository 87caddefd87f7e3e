/* SPDX-License-Identifier: Apache-2.0 */
/*
 * told: what the ledger holds already, while a daemon that starts reads the journal again. Of the
 * frames since the saved state, by the source and part that name a record within a boot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "affiant/v1/record.pb-c.h"
#include "base/uuid.h"
#include "record/segment.h"

struct told_set;

int told_new(struct told_set **ret);
void told_free(struct told_set *t);

/* For ledger_open(). */
void told_add(void *told_set, const struct segment_frame *frame);

/* @t NULL: nothing was told. */
bool told_has(const struct told_set *t, uint64_t source, uint32_t part);
/* A SessionEnded of it was told. */
bool told_ended(const struct told_set *t, const struct uuid *session);
/* Above the numbers of all notes that were told. */
uint64_t told_notes(const struct told_set *t);
/* It holds a record of some event or note of this boot. */
bool told_any(const struct told_set *t);
/* CLOCK_BOOTTIME of the last record; 0: there is none. */
uint64_t told_newest_ns(const struct told_set *t);
/*
 * The totals of the last Lost record, which go on; and those that were told when other maps of the
 * kernel began to count, which are none of its own counts. Borrowed; NULL: there is none.
 */
const Affiant__V1__Lost *told_lost(const struct told_set *t);
const Affiant__V1__Lost *told_lost_before(const struct told_set *t);
/* The highest number of an event that something was told of; 0: of none. */
uint64_t told_highest(const struct told_set *t);
