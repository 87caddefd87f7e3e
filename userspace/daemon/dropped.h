/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dropped: what the daemon itself had to drop, kept in a file of a fixed size that is written in
 * place: a crash, or a stop while the disk takes nothing, comes before it can be told or saved.
 */
#pragma once

#include <stdint.h>

#include "collect/attribute.h"

struct dropped;

/* <state>/dropped, made when missing. -errno. */
int dropped_open(int state_dir, struct dropped **ret);
void dropped_close(struct dropped *d);

/* Raises @counts (by kind: loss.h) to what was kept of that boot. */
void dropped_restore(const struct dropped *d, const uint8_t boot_id[static 16],
		     uint64_t counts[static LOSS_SLOTS]);

/* Keeps them, of that boot alone. Nothing is written where they did not change. */
void dropped_keep(struct dropped *d, const uint8_t boot_id[static 16],
		  const uint64_t counts[static LOSS_SLOTS]);
