/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/handout_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attest/eventlog.h"
#include "attest/ima.h"
#include "attest/systemdlog.h"
#include "base/cleanup.h"
#include "base/effort.h"
#include "daemon/handout.h"

/* An entry of the IMA list that is not whole yet, and what is read in one step. */
#define ROOM (IMA_DATA_MAX + 4096 + HANDOUT_STEP)

struct handout_survey {
	int root, fd;
	enum measure_log log;
	uint64_t skip; /* entries before the first that is sent */
	struct ima_state ima;
	struct handout_log found;
	uint64_t read;
	size_t have; /* in: */
	uint8_t room[ROOM];
};

int handout_survey_new(int root, struct handout_survey **ret)
{
	struct handout_survey *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->root = root;
	s->fd = -1;
	*ret = s;
	return 0;
}

void handout_survey_free(struct handout_survey *s)
{
	if (s)
		closep(&s->fd);
	free(s);
}

void handout_survey_begin(struct handout_survey *s, enum measure_log log, uint64_t ima_from)
{
	static const uint16_t bank = TPM2_SHA256;

	closep(&s->fd);
	s->fd = measure_open(s->root, log);
	s->log = log;
	s->skip = ima_from;
	s->found = (struct handout_log){0};
	s->read = s->have = 0;
	(void)ima_init(&s->ima, &bank, 1); /* only fails for another bank */
}

/* Whole entries of what was read: those that are left out, and those that are sent. */
static int take_entries(struct handout_survey *s)
{
	uint64_t skipped = 0, entries = 0;
	size_t before = 0, used = 0;
	int err = 0;

	if (s->skip)
		err = ima_skip(&s->ima, s->room, s->have, s->skip, &skipped, &before);
	s->skip -= skipped;
	if (!err && !s->skip)
		err = ima_skip(&s->ima, s->room + before, s->have - before, UINT64_MAX, &entries,
			       &used);
	if (err)
		return err;
	s->found.from += before;
	s->found.bytes += used;
	s->found.entries += entries;
	s->have -= before + used;
	memmove(s->room, s->room + before + used, s->have);
	return s->have > IMA_DATA_MAX + 4096 ? -EBADMSG : 0;
}

/* At the end, or where it can't be read. */
static int end(struct handout_survey *s, bool there, struct handout_log *ret)
{
	closep(&s->fd);
	s->fd = -1;
	if (s->log == MEASURE_IMA && s->skip)
		return -ERANGE;
	*ret = there ? s->found : (struct handout_log){0};
	ret->there = there;
	return 1;
}

/* What a verifier takes, and so much of IMA's list as one can send. */
static const uint64_t longest[MEASURE_LOGS] = {
	[MEASURE_BOOT] = EVENTLOG_SIZE_MAX,
	[MEASURE_IMA] = MEASURE_LOG_MAX,
	[MEASURE_SYSTEMD] = SYSTEMDLOG_SIZE_MAX,
};

int handout_survey_step(struct handout_survey *s, struct handout_log *ret)
{
	size_t from = s->log == MEASURE_IMA ? s->have : 0;
	ssize_t n;
	int err;

	if (s->fd < 0)
		return end(s, false, ret);
	n = effort_read(s->fd, s->room + from, HANDOUT_STEP);
	if (n < 0)
		return errno == EINTR ? 0 : end(s, false, ret);
	if (n == 0)
		return end(s, true, ret);
	s->read += n;
	if (s->read > longest[s->log])
		return end(s, false, ret);
	if (s->log != MEASURE_IMA) {
		s->found.bytes += n;
		return 0;
	}
	s->have += n;
	err = take_entries(s);
	return err;
}
