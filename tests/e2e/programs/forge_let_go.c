/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_let_go OTHER [thread] [as PATH] [stay] [ask LIBRARY SOCKET]: lets go of its own file, has
 * the kernel call OTHER its executable meanwhile, writes other bytes over its file and says that it
 * is its executable again: "forged". Then it waits for the end of its input.
 *
 * thread: not the leader does it. as PATH: by another name of the file. stay: /proc/PID/exe stays
 * OTHER. ask: prints what libaffiant gives it as evidence, or the code of the refusal (a program
 * with libraries only).
 */
#include "let_go.h"
#ifndef FORGE_STATIC
#include "ask.h"
#endif

#include <pthread.h>

struct forgery {
	const char *other, *path, *library, *socket;
	char own[4096];
	int thread, stay;
};

static void store(const char *path)
{
	struct mark m;
	int fd;

	mark_find(path, &m);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	mark_store(fd, &m);
	close(fd);
}

static void *forge(void *data)
{
	const struct forgery *f = data;

	let_go();
	point_exe_to(f->other);
	store(f->path);
	if (!f->stay)
		point_exe_to(f->own);
	return NULL;
}

#ifndef FORGE_STATIC
static void ask(const char *library, const char *socket)
{
	const char *answer;

	(void)ask_evidence(library, socket, &answer);
	say(answer);
}
#else
static void ask(const char *path, const char *socket)
{
	errx(1, "a static program loads no %s for %s", path, socket);
}
#endif

static void parse(struct forgery *f, int argc, char **argv)
{
	usage_unless(argc >= 2,
		     "forge_let_go OTHER [thread] [as PATH] [stay] [ask LIBRARY SOCKET]");
	f->other = argv[1];
	if (readlink("/proc/self/exe", f->own, sizeof(f->own) - 1) < 0)
		err(1, "/proc/self/exe");
	f->path = f->own;
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "thread"))
			f->thread = 1;
		else if (!strcmp(argv[i], "stay"))
			f->stay = 1;
		else if (!strcmp(argv[i], "as") && i + 1 < argc)
			f->path = argv[++i];
		else if (!strcmp(argv[i], "ask") && i + 2 < argc)
			f->library = argv[i + 1], f->socket = argv[i + 2], i += 2;
		else
			usage_unless(0, "forge_let_go: what is that word?");
	}
}

int main(int argc, char **argv)
{
	struct forgery f = {0};
	pthread_t thread;

	parse(&f, argc, argv);
	if (geteuid() != 0 && unshare(CLONE_NEWUSER)) /* refused to who has threads */
		skip("no user namespace for an unprivileged user: %m");
	if (!f.thread)
		forge(&f);
	else if (pthread_create(&thread, NULL, forge, &f) || pthread_join(thread, NULL))
		errx(1, "no thread");
	say("forged");
	if (f.library)
		ask(f.library, f.socket);
	await_end();
	return 0;
}
