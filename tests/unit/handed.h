/* SPDX-License-Identifier: Apache-2.0 */
/* handed: what comes out of a handout, read to its end. */
#pragma once

#include "daemon/handout.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct handed {
	bool told;
	int err, fd;
	uint64_t size;
};

static inline void handed_note(void *data, int err, int fd, uint64_t size)
{
	*(struct handed *)data = (struct handed){true, err, fd, size};
}

static inline int handed_begin(struct handout *h, uint64_t session, const char *head,
			       uint64_t ima_from, struct handed *ret)
{
	*ret = (struct handed){.fd = -1};
	return handout_begin(h, &(struct handout_request){
					.session = session,
					.head = strdup(head),
					.tail = strdup("}"),
					.head_len = strlen(head),
					.tail_len = 1,
					.ima_from = ima_from,
					.fn = handed_note,
					.data = ret,
				});
}

/* False: nobody was told within @ms. */
static inline bool handed_wait(struct handout *h, const struct handed *of, int ms)
{
	struct pollfd p = {.fd = handout_fd(h), .events = POLLIN};

	while (!of->told) {
		if (poll(&p, 1, ms) != 1)
			return false;
		handout_collect(h);
	}
	return true;
}

/* All of it, NUL behind it; *ret_len tells how much came. The pipe is closed. */
static inline char *handed_read(struct handed *of, size_t *ret_len)
{
	char *text = malloc(of->size + 1);
	size_t len = 0;
	ssize_t n;

	while (text && len <= of->size && (n = read(of->fd, text + len, of->size + 1 - len)) > 0)
		len += n;
	close(of->fd);
	of->fd = -1;
	if (text && len <= of->size)
		text[len] = '\0';
	*ret_len = len;
	return text;
}
