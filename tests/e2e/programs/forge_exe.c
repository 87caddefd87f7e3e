/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_exe PATH [LIBRARY SOCKET [late]]: makes its own /proc/PID/exe point to PATH, as an unprivileged process may in a user
 * namespace (PR_SET_MM_MAP), then says so and waits for the end of its input. With LIBRARY (libaffiant) it asks for
 * evidence as what it claims to be, and says "given" or the code of the refusal. With "late" it asks first, as what it is,
 * and forges while it waits for the answer, once there is a line of input.
 *
 * The kernel refuses while the old executable is mapped: each of its mappings is replaced by an
 * anonymous one with the same bytes at the same place.
 */
#include "../../../userspace/lib/affiant.h"
#include "program.h"

#include <dlfcn.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

struct mapping {
	unsigned long start, end;
	int protection;
};

static int own_mappings(struct mapping *ret, int max)
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

static void replace(const struct mapping *m)
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

/* The fields of /proc/PID/stat from the fourth on, numbered as in proc(5). */
static void read_stat(unsigned long *fields, int max)
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

static void forge(const char *path)
{
	unsigned long stat[52];
	struct prctl_mm_map map = {0};

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
	map.exe_fd = open(path, O_RDONLY | O_CLOEXEC);
	if ((int)map.exe_fd < 0)
		err(1, "%s", path);
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0)) {
		if (errno == EINVAL)
			skip("this kernel has no PR_SET_MM_MAP (CONFIG_CHECKPOINT_RESTORE)");
		err(1, "PR_SET_MM_MAP");
	}
}

static void forge_and_say(const char *path)
{
	struct mapping own[16];
	char exe[4096] = "";
	int n = own_mappings(own, 16);

	for (int i = 0; i < n; i++)
		replace(&own[i]);
	forge(path);
	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0 || strcmp(exe, path))
		errx(1, "/proc/self/exe is still %s", exe);
	printf("/proc/%d/exe is now %s\n", getpid(), exe);
	fflush(stdout);
}

#define FUNCTION(library, name) ((typeof(&name))dlsym(library, #name))

static void ask(const char *path, const char *socket)
{
	const struct affiant_evidence_request request = {.nonce = "nonce-of-a-verifier",
							 .audience = "https://tokens.example"};
	void *library = dlopen(path, RTLD_NOW);
	struct affiant_evidence evidence;
	struct affiant *a;

	if (!library)
		errx(1, "%s", dlerror());
	if (FUNCTION(library, affiant_connect)(socket, &a))
		errx(1, "%s", socket);
	puts(FUNCTION(library, affiant_get_evidence)(a, &request, &evidence)
		     ? FUNCTION(library, affiant_error_code)(a)
		     : "given");
}

static void *ask_in_thread(void *argv)
{
	ask(((char **)argv)[2], ((char **)argv)[3]);
	return NULL;
}

int main(int argc, char **argv)
{
	const bool late = argc == 5 && !strcmp(argv[4], "late");
	pthread_t asker;
	char byte;

	usage_unless(argc == 2 || argc == 4 || late, "forge_exe PATH [LIBRARY SOCKET [late]]");
	if (geteuid() != 0 && unshare(CLONE_NEWUSER))
		skip("no user namespace for an unprivileged user: %m");
	if (late) {
		if (pthread_create(&asker, NULL, ask_in_thread, argv) ||
		    read(STDIN_FILENO, &byte, 1) != 1)
			errx(1, "no thread, or no input");
		forge_and_say(argv[1]);
		pthread_join(asker, NULL);
		fflush(stdout);
		return 0;
	}
	forge_and_say(argv[1]);
	if (argc == 4)
		ask(argv[2], argv[3]);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
