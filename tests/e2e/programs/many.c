/* SPDX-License-Identifier: Apache-2.0 */
/*
 * many WHAT COUNT [COMMAND...]: has COUNT of what any program may have as many of as it likes, says
 * "ready", and keeps them until its input ends. processes, threads, maps, sockets: connected UDP.
 * Sockets are kept by COMMAND, which is executed then instead. executables: files that are no
 * programs, each of which it tries to execute at the end.
 */
#include "program.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void add_process(void)
{
	pid_t child = fork();

	if (child < 0)
		err(1, "fork");
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static void *idle(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

static void add_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32768);
	error = pthread_create(&thread, &attr, idle, NULL);
	if (error)
		errx(1, "thread: %s", strerror(error));
	pthread_attr_destroy(&attr);
}

/* Neighbours that are alike would be one. */
static void add_map(void)
{
	static int n;
	int may = n++ % 2 ? PROT_READ : PROT_NONE;

	if (mmap(NULL, 4096, may, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		err(1, "mmap");
}

static void add_socket(void)
{
	union address to;
	socklen_t size = address_read("127.0.0.1", "9", &to);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, &to.any, size))
		err(1, "socket");
}

static char directory[] = "/tmp/affiant-many-XXXXXX";
static int files_count;

static const char *file_path(int n)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%d", directory, n);
	return path;
}

static void add_executable(void)
{
	int fd;

	if (!files_count && !mkdtemp(directory))
		err(1, "%s", directory);
	fd = open(file_path(files_count++), O_WRONLY | O_CREAT | O_EXCL, 0755);
	if (fd < 0 || write(fd, "nothing\n", 8) != 8 || close(fd))
		err(1, "%s", directory);
}

static void try_executables(void)
{
	for (int i = 0; i < files_count; i++) {
		execl(file_path(i), "nothing", NULL);
		unlink(file_path(i));
	}
	if (files_count)
		rmdir(directory);
}

static const struct {
	const char *what;
	void (*add)(void);
} kinds[] = {
	{"processes", add_process},
	{"threads", add_thread},
	{"maps", add_map},
	{"sockets", add_socket},
	{"executables", add_executable},
};

int main(int argc, char **argv)
{
	int count = argc >= 3 ? atoi(argv[2]) : 0;
	struct rlimit files = {count + 64, count + 64};
	void (*add)(void) = NULL;
	char byte;

	for (size_t i = 0; argc >= 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(argv[1], kinds[i].what))
			add = kinds[i].add;
	usage_unless(add != NULL,
		     "many processes|threads|maps|sockets|executables COUNT [COMMAND...]");
	if (add == add_socket && setrlimit(RLIMIT_NOFILE, &files))
		err(1, "RLIMIT_NOFILE");
	for (int i = 0; i < count; i++)
		add();
	if (argc > 3) {
		execvp(argv[3], argv + 3);
		err(1, "%s", argv[3]);
	}
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	try_executables();
	return 0;
}
