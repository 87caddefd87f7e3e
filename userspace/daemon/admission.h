/* SPDX-License-Identifier: Apache-2.0 */
/* admission: whether a session may be opened, by what is configured and by its agent's budget. */
#pragma once

#include <stdbool.h>

struct core;
struct server_call;
struct server_open;

/*
 * True: yes, though the process may be of another session by the time it is tagged. False: @call is
 * refused, and told why.
 */
bool admission_ask(struct core *c, struct server_call *call, const struct server_open *open);
