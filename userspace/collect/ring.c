// SPDX-License-Identifier: Apache-2.0
#include "collect/ring.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"

struct ring {
	size_t size, page;
	unsigned long *consumer; /* ours to write */
	const unsigned long *producer;
	/* once: the kernel offers it twice in a row, which would count as memory twice */
	const uint8_t *data;
	unsigned long at; /* read up to here */
};

DEFINE_CLEANUP(struct ring *, ring_close)

int ring_open(int map_fd, struct ring **ret)
{
	_cleanup_(ring_closep) struct ring *r = NULL;
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	void *map;

	if (bpf_obj_get_info_by_fd(map_fd, &info, &len))
		return -errno;
	if (info.type != BPF_MAP_TYPE_RINGBUF)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->size = info.max_entries;
	r->page = sysconf(_SC_PAGESIZE);

	map = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	r->consumer = map;
	map = mmap(NULL, r->page + r->size, PROT_READ, MAP_SHARED, map_fd, r->page);
	if (map == MAP_FAILED)
		return -errno;
	r->producer = map;
	r->data = (const uint8_t *)map + r->page;
	r->at = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
	*ret = TAKE_PTR(r);
	return 0;
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	if (r->consumer)
		munmap(r->consumer, r->page);
	if (r->producer)
		munmap((void *)r->producer, r->page + r->size);
	free(r);
}

/* A record goes on at the ring's beginning; its header is never split. */
static void copy_out(const struct ring *r, unsigned long from, uint8_t *to, size_t len)
{
	size_t at = from & (r->size - 1), first = len < r->size - at ? len : r->size - at;

	memcpy(to, r->data + at, first);
	memcpy(to + first, r->data, len - first);
}

size_t ring_read(struct ring *r, void *buffer, size_t size)
{
	unsigned long end = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	size_t copied = 0;

	while (r->at < end) {
		const uint8_t *record = r->data + (r->at & (r->size - 1));
		uint32_t head = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		size_t len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		size_t room = (len + 7) & ~(size_t)7;

		if (head & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
			if (room > size - copied)
				break;
			copy_out(r, r->at + BPF_RINGBUF_HDR_SZ, (uint8_t *)buffer + copied, room);
			copied += room;
		}
		r->at += BPF_RINGBUF_HDR_SZ + room;
	}
	return copied;
}

void ring_release(struct ring *r)
{
	__atomic_store_n(r->consumer, r->at, __ATOMIC_RELEASE);
}

uint64_t ring_written(const struct ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
}

uint64_t ring_taken(const struct ring *r)
{
	return r->at;
}

size_t ring_size(const struct ring *r)
{
	return r->size;
}

size_t ring_used(const struct ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE) - *r->consumer;
}
