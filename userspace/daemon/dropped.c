/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/dropped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Host-endian: it never leaves the machine. A version with other kinds has another size. */
struct kept {
	char magic[8];
	uint8_t boot_id[16];
	uint64_t counts[LOSS_SLOTS];
	uint32_t zero, crc;
};

struct dropped {
	int fd;
	bool failed; /* the file has something else */
	struct kept kept;
};

static uint32_t crc_of(const struct kept *k)
{
	return crc32(0, (const uint8_t *)k, offsetof(struct kept, crc));
}

static void keep(struct dropped *d)
{
	d->kept.crc = crc_of(&d->kept);
	d->failed = pwrite(d->fd, &d->kept, sizeof(d->kept), 0) != sizeof(d->kept);
}

int dropped_open(int state_dir, struct dropped **ret)
{
	struct dropped *d = calloc(1, sizeof(*d));
	ssize_t len;

	if (!d)
		return -ENOMEM;
	d->fd = openat(state_dir, "dropped", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		       0600);
	len = d->fd < 0 ? -1 : pread(d->fd, &d->kept, sizeof(d->kept), 0);
	if (len < 0) {
		int err = -errno;

		dropped_close(d);
		return err;
	}
	if (len != sizeof(d->kept) || memcmp(d->kept.magic, "AFFDROP1", 8) ||
	    d->kept.crc != crc_of(&d->kept)) {
		if (len)
			log_warning("the state's file 'dropped' is damaged, or of another version: "
				    "what was dropped and not told before is not known");
		memset(&d->kept, 0, sizeof(d->kept));
		memcpy(d->kept.magic, "AFFDROP1", 8);
		keep(d); /* the room is taken while there is some */
	}
	*ret = d;
	return 0;
}

void dropped_close(struct dropped *d)
{
	if (!d)
		return;
	closep(&d->fd);
	free(d);
}

void dropped_restore(const struct dropped *d, const uint8_t boot_id[static 16],
		     uint64_t counts[static LOSS_SLOTS])
{
	if (memcmp(d->kept.boot_id, boot_id, sizeof(d->kept.boot_id)))
		return;
	for (unsigned int kind = 0; kind < LOSS_SLOTS; kind++)
		if (counts[kind] < d->kept.counts[kind])
			counts[kind] = d->kept.counts[kind];
}

void dropped_keep(struct dropped *d, const uint8_t boot_id[static 16],
		  const uint64_t counts[static LOSS_SLOTS])
{
	if (!d->failed && !memcmp(d->kept.boot_id, boot_id, sizeof(d->kept.boot_id)) &&
	    !memcmp(d->kept.counts, counts, sizeof(d->kept.counts)))
		return;
	memcpy(d->kept.boot_id, boot_id, sizeof(d->kept.boot_id));
	memcpy(d->kept.counts, counts, sizeof(d->kept.counts));
	keep(d);
}
