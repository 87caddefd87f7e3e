/* SPDX-License-Identifier: Apache-2.0 */
/*
 * let_go: a process that runs from memory of its own, and has the kernel call another file its
 * executable.
 */
#pragma once

#include "forge.h"

/*
 * struct prctl_mm_map as a 64-bit kernel has it: it knows no other, so that a 32-bit process has to
 * make the same.
 */
struct mm_map {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t auxv;
	uint32_t auxv_size, exe_fd;
};

struct mapping {
	unsigned long start, end;
	int protection;
};

static inline int own_mappings(struct mapping *ret, int max)
{
	char line[4352], access[5], own[4096], path[4096];
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
	FILE *maps = fopen("/proc/self/maps", "re");
	int n = 0;

	if (!maps || len < 0)
		err(1, "/proc/self");
	own[len] = '\0';
	while (n < max && fgets(line, sizeof(line), maps)) {
		struct mapping *m = &ret[n];

		if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %4095s", &m->start, &m->end, access,
			   path) != 4 ||
		    strcmp(path, own))
			continue;
		m->protection = (access[0] == 'r' ? PROT_READ : 0) |
				(access[1] == 'w' ? PROT_WRITE : 0) |
				(access[2] == 'x' ? PROT_EXEC : 0);
		n++;
	}
	fclose(maps);
	return n;
}

static inline void replace_mapping(const struct mapping *m)
{
	size_t size = m->end - m->start;
	void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		err(1, "mmap");
	memcpy(copy, (void *)m->start, size);
	if (mprotect(copy, size, m->protection) ||
	    mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)m->start) == MAP_FAILED)
		err(1, "mremap");
}

/* Each mapping of the executable becomes an anonymous one with the same bytes at the same place. */
static inline void let_go(void)
{
	struct mapping own[16];
	int n = own_mappings(own, 16);

	for (int i = 0; i < n; i++)
		replace_mapping(&own[i]);
}

/* The fields of /proc/PID/stat from the fourth on, numbered as in proc(5). */
static inline void read_stat(unsigned long *fields, int max)
{
	char text[2048] = "", *at;
	FILE *file = fopen("/proc/self/stat", "re");

	if (!file || !fgets(text, sizeof(text), file))
		err(1, "/proc/self/stat");
	fclose(file);
	at = strrchr(text, ')') + 3; /* behind the state */
	for (int i = 4; i < max; i++)
		fields[i] = strtoul(at, &at, 10);
}

/*
 * /proc/PID/exe becomes this file, once nothing of the old one is mapped. In a user namespace of
 * one's own.
 */
static inline void point_exe_to(const char *path)
{
	unsigned long stat[52];
	struct mm_map map = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	read_stat(stat, 52);
	map.start_code = stat[26];
	map.end_code = stat[27];
	map.start_stack = stat[28];
	map.start_data = stat[45];
	map.end_data = stat[46];
	map.start_brk = stat[47];
	map.brk = (unsigned long)sbrk(0);
	map.arg_start = stat[48];
	map.arg_end = stat[49];
	map.env_start = stat[50];
	map.env_end = stat[51];
	map.exe_fd = fd;
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0)) {
		if (errno == EINVAL)
			skip("this kernel has no PR_SET_MM_MAP (CONFIG_CHECKPOINT_RESTORE)");
		err(1, "PR_SET_MM_MAP");
	}
	close(fd);
}
