/* SPDX-License-Identifier: Apache-2.0 */
/* core_fixture: as much of a core as reconciling needs: a pipeline's attribution and a journal. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/core.h"
#include "pipeline.h"

#define CORE_DIRECTORY_SIZE 64

/* 0, or 1 as a set-up that failed. @directory is made, and holds the journal. */
static inline int core_begin(struct core *c, struct source *source, struct pipeline **ret,
			     char directory[static CORE_DIRECTORY_SIZE])
{
	char file[JOURNAL_NAME_SIZE];

	snprintf(directory, CORE_DIRECTORY_SIZE, "/tmp/affiant-test-core-XXXXXX");
	if (!mkdtemp(directory))
		return 1;
	*ret = pipeline_new();
	c->attribute = (*ret)->attribute;
	c->source = source;
	return journal_open(directory, (*ret)->config.boot_id, 0, file, &c->journal) ? 1 : 0;
}

static inline void core_end(struct core *c, struct pipeline *p, const char *directory)
{
	char path[CORE_DIRECTORY_SIZE + 32];

	journal_close(c->journal);
	snprintf(path, sizeof(path), "%s/0000000000000000.jnl", directory);
	unlink(path);
	rmdir(directory);
	pipeline_free(p);
}
