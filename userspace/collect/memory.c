/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define OF_HOST 128 /* at most one part in so many */
#define OF_LIMIT 4

uint32_t memory_ring_bytes(uint64_t total, uint64_t limit)
{
	uint64_t bound = total / OF_HOST < limit / OF_LIMIT ? total / OF_HOST : limit / OF_LIMIT;
	uint32_t bytes = MEMORY_RING_MIN;

	while (bytes < MEMORY_RING_MAX && bytes * UINT64_C(2) <= bound)
		bytes *= 2;
	return bytes;
}

uint64_t memory_total(FILE *meminfo)
{
	char line[128];
	uint64_t kib;

	while (fgets(line, sizeof(line), meminfo))
		if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kib) == 1 && kib <= UINT64_MAX / 1024)
			return kib * 1024;
	return UINT64_MAX;
}

/* "max" is none, as is a file that isn't there: the controller is off. */
static uint64_t limit_in(int cgroup, const char *name)
{
	_cleanup_close_ int fd = openat(cgroup, name, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t len = fd < 0 ? -1 : file_read(fd, text, sizeof(text) - 1);
	uint64_t value;

	if (len <= 0)
		return UINT64_MAX;
	text[len] = '\0';
	return sscanf(text, "%" SCNu64, &value) == 1 ? value : UINT64_MAX;
}

static uint64_t least_of(int cgroup)
{
	uint64_t max = limit_in(cgroup, "memory.max"), high = limit_in(cgroup, "memory.high");

	return max < high ? max : high;
}

/* Down to it: each of them holds for all that is below. */
static uint64_t limit_along(int root, char *path)
{
	_cleanup_close_ int at = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t least = UINT64_MAX, here;
	char *name, *rest;

	for (name = strtok_r(path, "/", &rest); name && at >= 0; name = strtok_r(NULL, "/", &rest)) {
		int below = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		closep(&at);
		at = below;
		here = at < 0 ? UINT64_MAX : least_of(at);
		least = here < least ? here : least;
	}
	return least;
}

uint64_t memory_limit(int root, FILE *membership)
{
	char line[PATH_MAX + 16];

	while (fgets(line, sizeof(line), membership)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::/", 4))
			return limit_along(root, line + 3);
	}
	return UINT64_MAX;
}

uint32_t memory_ring_default(int cgroup_root)
{
	_cleanup_fclose_ FILE *meminfo = fopen("/proc/meminfo", "re");
	_cleanup_fclose_ FILE *membership = fopen("/proc/self/cgroup", "re");
	uint64_t total = meminfo ? memory_total(meminfo) : UINT64_MAX;
	uint64_t limit = membership ? memory_limit(cgroup_root, membership) : UINT64_MAX;

	/* Of a host that nothing is known of nothing is taken for granted. */
	return total == UINT64_MAX ? MEMORY_RING_MIN : memory_ring_bytes(total, limit);
}
