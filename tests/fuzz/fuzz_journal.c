/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal with anything between and behind its batches: what is read are the batches that were
 * written, in their order.
 *
 * The input is a list of {u8 kind, u8 words, words}: a batch, or bytes that are none.
 */
#include "collect/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCHES 512

static char directory[64], path[128];

static struct written {
	const uint8_t *data;
	size_t len;
} written[BATCHES];
static size_t count, next;

static void check(int condition)
{
	if (!condition)
		abort();
}

static int take(void *data, const void *events, size_t len)
{
	(void)data;
	check(next < count && written[next].len == len && !memcmp(written[next].data, events, len));
	next++;
	return 0;
}

static void append_bytes(const uint8_t *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	check(fd >= 0);
	check(write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void write_all(struct journal *j, const uint8_t *data, size_t size)
{
	count = next = 0;
	while (size >= 2 && count < BATCHES) {
		size_t len = (size_t)data[1] * 8;
		int kind = data[0] % 4;

		data += 2;
		size -= 2;
		if (len > size)
			len = size / 8 * 8;
		if (!len)
			continue;
		if (kind) {
			check(!journal_append(j, data, len));
			written[count++] = (struct written){data, len};
		} else {
			append_bytes(data, len);
		}
		data += len;
		size -= len;
	}
	append_bytes(data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t boot[16] = {1};
	uint64_t damaged = 0, index;
	char file[JOURNAL_NAME_SIZE];
	struct journal *j;

	if (!*directory) {
		snprintf(directory, sizeof(directory), "/dev/shm/affiant-fuzz-journal-XXXXXX");
		check(mkdtemp(directory) != NULL);
	}
	check(!journal_open(directory, boot, 0, file, &j));
	check(!journal_rotate(j, &index));
	journal_drop(j, index);
	snprintf(path, sizeof(path), "%s/%016llx.jnl", directory, (unsigned long long)index);
	write_all(j, data, size);
	journal_close(j);

	check(!journal_open(directory, boot, 0, file, &j));
	check(!journal_replay(j, boot, index, take, NULL, &damaged));
	check(next == count && damaged <= size);
	journal_drop(j, index + 2);
	journal_close(j);
	return 0;
}
