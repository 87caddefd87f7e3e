/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/listening.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/effort.h"
#include "collect/decode.h"

#define SECOND_NS 1000000000ull
#define SHARE 20 /* of a second, at most, is spent */
#define TRIES 10
#define PAUSE_NS 200000

/* Documentation/networking/proc_net_tcp.rst. 0: it is not there; -1: nor is the process. */
static int find_port(uint32_t tgid, const char *table, uint32_t wanted)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[48], line[512];

	snprintf(path, sizeof(path), "/proc/%u/net/%s", tgid, table);
	f = effort_fopen(path);
	if (!f)
		return -1;
	/*
	 * Whoever has a network namespace fills its table: a port that isn't found in time is not
	 * told.
	 */
	while (effort_goes_on() && effort_gets(line, sizeof(line), f)) {
		unsigned int port, state;
		uint64_t inode;

		if (sscanf(line, "%*d: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*u %*u %" SCNu64, &port,
			   &state, &inode) == 3 &&
		    inode == wanted && state == TCP_LISTEN)
			return port;
	}
	return 0;
}

/* The event comes some microseconds before the socket is where it can be found. */
static void fill(struct event_listen *e)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	const char *table = e->local.family == AF_INET ? "tcp" : "tcp6";
	int port = 0;

	for (int i = 0; i < TRIES && !port; i++) {
		if (i)
			nanosleep(&pause, NULL);
		port = find_port(e->header.actor.tgid, table, e->inode);
	}
	if (port > 0)
		e->local.port = port;
}

static bool lacks_port(const struct event_header *h)
{
	const struct event_listen *e = (const struct event_listen *)h;

	return h->type == EVENT_LISTEN && !event_is_note(h) && !e->local.port &&
	       e->protocol == IPPROTO_TCP && e->inode;
}

void listening_fill(struct listening *l, uint8_t *events, size_t len)
{
	const struct event_header *h;

	for (size_t at = 0; at < len; at += h->size) {
		int err = event_decode(events + at, len - at, &h);
		uint64_t now;

		if (err == -ENOTSUP)
			continue;
		if (err)
			return;
		if (!lacks_port(h))
			continue;
		now = clock_ns(CLOCK_BOOTTIME);
		if (now - l->since_ns >= SECOND_NS)
			*l = (struct listening){.since_ns = now};
		if (l->spent_ns >= SECOND_NS / SHARE)
			continue;
		fill((struct event_listen *)(events + at));
		l->spent_ns += clock_ns(CLOCK_BOOTTIME) - now;
	}
}
