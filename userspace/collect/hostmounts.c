/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hostmounts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "collect/mounts.h"

/* More than any host has: what is beyond is not trusted. */
#define DEVICES_MAX 4096

struct hostmounts {
	FILE *file;
	bool read; /* once at least */
	size_t count;
	uint32_t devices[DEVICES_MAX]; /* ascending */
};

int hostmounts_new(struct hostmounts **ret)
{
	struct hostmounts *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	/* Kept open: poll(2) tells of changes. */
	m->file = mounts_open(1);
	if (!m->file) {
		free(m);
		return -errno;
	}
	*ret = m;
	return 0;
}

void hostmounts_free(struct hostmounts *m)
{
	if (!m)
		return;
	fclose(m->file);
	free(m);
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void add(struct hostmounts *m, const struct mount_line *line)
{
	uint32_t device = line->major << 20 | line->minor;

	for (size_t i = 0; i < m->count; i++)
		if (m->devices[i] == device)
			return;
	if (m->count < DEVICES_MAX)
		m->devices[m->count++] = device;
}

static void read_all(struct hostmounts *m)
{
	_cleanup_free_ char *text = NULL;
	struct mount_line line;
	size_t size = 0;

	m->count = 0;
	rewind(m->file);
	while (getline(&text, &size, m->file) > 0)
		if (mount_line_parse(text, &line) && !line.nosuid)
			add(m, &line);
	qsort(m->devices, m->count, sizeof(*m->devices), compare);
	m->read = true;
}

/* POLLERR and POLLPRI: something was mounted or unmounted since the last read (proc(5)). */
static bool changed(const struct hostmounts *m)
{
	struct pollfd p = {.fd = fileno(m->file), .events = POLLPRI};

	return poll(&p, 1, 0) > 0;
}

bool hostmounts_trust(struct hostmounts *m, uint32_t device)
{
	if (changed(m) || !m->read)
		read_all(m);
	return bsearch(&device, m->devices, m->count, sizeof(device), compare);
}
