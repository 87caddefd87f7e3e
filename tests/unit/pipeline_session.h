/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline_session: a pipeline in which a session has begun. */
#pragma once

#include "pipeline.h"

struct fixture {
	struct pipeline *p;
	struct proc run;
};

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->p = pipeline_new();
	f->run = begin_session(f->p, 42, 100);
	skip_all(f->p);
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	pipeline_free(f->p);
	free(f);
	return 0;
}
