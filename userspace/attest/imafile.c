/* SPDX-License-Identifier: Apache-2.0 */
/* ima: a list that is read piece by piece. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "attest/ima.h"
#include "base/cleanup.h"

/* Twice what an entry may take, so that every read makes room for more than half of one. */
#define ROOM (2 * (IMA_DATA_MAX + 4096))

int ima_replay_fd(struct ima_state *s, int fd, const struct ima_quoted *quoted, ima_entry_fn fn,
		  void *context, uint64_t *ret_used)
{
	_cleanup_free_ uint8_t *room = malloc(ROOM);
	struct ima_state at = *s;
	uint64_t used = 0;
	size_t have = 0;

	if (!room)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, room + have, ROOM - have);
		size_t consumed;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		have += n;
		r = ima_replay(&at, room, have, quoted, fn, context, &consumed);
		if (r < 0)
			return r;
		used += consumed;
		have -= consumed;
		memmove(room, room + consumed, have);
		if (r == 0 && n > 0)
			continue;
		if (r == 0 && have)
			return -EBADMSG;
		*ret_used = used;
		*s = at;
		return r;
	}
}
