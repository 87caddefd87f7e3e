/* SPDX-License-Identifier: Apache-2.0 */
/* late: what was open already in the processes of a session that began after them. */
#pragma once

#include <stdint.h>

struct session;

/*
 * For struct attribute_config: adds to the head of @s the connections that its processes have, or
 * that not all of them are told.
 */
void late_began(void *core, struct session *s, uint32_t tgid);
