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

struct devices {
	size_t count;
	uint32_t at[DEVICES_MAX]; /* ascending, once all is read */
};

struct hostmounts {
	FILE *file;
	bool read; /* once at least */
	struct devices suid, idmapped;
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

static void add(struct devices *d, uint32_t device)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->at[i] == device)
			return;
	if (d->count < DEVICES_MAX)
		d->at[d->count++] = device;
}

static bool has(const struct devices *d, uint32_t device)
{
	return bsearch(&device, d->at, d->count, sizeof(device), compare);
}

static void read_all(struct hostmounts *m)
{
	_cleanup_free_ char *text = NULL;
	struct mount_line line;
	size_t size = 0;

	m->suid.count = m->idmapped.count = 0;
	rewind(m->file);
	while (getline(&text, &size, m->file) > 0) {
		if (!mount_line_parse(text, &line))
			continue;
		if (line.idmapped)
			add(&m->idmapped, line.major << 20 | line.minor);
		if (!line.nosuid)
			add(&m->suid, line.major << 20 | line.minor);
	}
	qsort(m->suid.at, m->suid.count, sizeof(*m->suid.at), compare);
	qsort(m->idmapped.at, m->idmapped.count, sizeof(*m->idmapped.at), compare);
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
	return has(&m->suid, device) && !has(&m->idmapped, device) &&
	       m->idmapped.count < DEVICES_MAX; /* else one more may be missing there */
}
