/* SPDX-License-Identifier: Apache-2.0 */
/* diskgroups: who can write to block devices, below every filesystem and without a trace in it. */
#pragma once

#include "values.h"

/*
 * The groups of the block devices in @dev and those directories in it that are root's alone. More than there is room for,
 * or a device that somebody else can write to: count is DISK_GROUPS_MAX + 1, everybody.
 */
void diskgroups_read(const char *dev, struct disk_groups *ret);
