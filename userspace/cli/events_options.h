/* SPDX-License-Identifier: Apache-2.0 */
/* events_options: what `affiant events` was asked for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli/filter.h"

enum events_format { EVENTS_COMPACT, EVENTS_JSON, EVENTS_PROTO };

struct events_options {
	struct filter *filter;
	enum events_format format;
	bool follow;
	bool all; /* in compact form, connects to well-known sockets too */
	bool help;                   /* was shown: nothing is left to do */
	uint64_t last;               /* 0: all */
	const char *socket, *ledger; /* of argv; NULL: the usual socket */
};

/* -EINVAL: a wrong option; what is wrong with it has been told. @ret is to be freed in any case. */
int events_options_parse(struct events_options *ret, int argc, char **argv);
void events_options_done(struct events_options *o);
