/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_steps STEP...: steps on one UDP socket, each of which says what came of it.
 *
 * 4, 6: makes the socket. bind ADDRESS, device NAME: binds it. connect ADDRESS PORT, sendto ADDRESS
 * PORT, send: what the names say. cut ADDRESS PORT: sendto with 24 bytes of an IPv6 address, as RFC
 * 2133 had it, after a call whose address fills what lies behind them. disconnect: AF_UNSPEC.
 * other: what follows is done by another thread, until the next of these. fork: likewise, by a
 * child; exec: by this program anew, which gets the socket by fd NUMBER. wait MS. line: waits for a
 * line.
 */
#include "program.h"

#include <pthread.h>
#include <sys/wait.h>

static int fd = -1;
static char **words;
static int aside; /* in another thread: until the next word 'other' or the end */

static const char *next_word(void)
{
	usage_unless(*words != NULL, "udp_steps STEP...");
	return *words++;
}

static void say(const char *what, long result)
{
	printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static socklen_t next_address(union address *to)
{
	const char *host = next_word();

	return address_read(host, next_word(), to);
}

/* Leaves a scope where the kernel's stack has the address of the next call. */
static void leave_scope(void)
{
	union address to;

	memset(&to, 0xa5, sizeof(to));
	to.v6.sin6_family = AF_INET6;
	to.v6.sin6_port = 0;
	(void)!sendto(fd, "x", 1, 0, &to.any, sizeof(to.v6));
}

/* Makes, binds, connects. False: it is another word. */
static int step_socket(const char *word)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	union address to;
	socklen_t size;

	if (!strcmp(word, "4") || !strcmp(word, "6")) {
		fd = socket(*word == '4' ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	} else if (!strcmp(word, "fd")) {
		fd = atoi(next_word());
	} else if (!strcmp(word, "bind")) {
		size = address_read(next_word(), "0", &to);
		say(word, bind(fd, &to.any, size));
	} else if (!strcmp(word, "device")) {
		const char *name = next_word();

		say(word, setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name)));
	} else if (!strcmp(word, "connect")) {
		size = next_address(&to);
		say(word, connect(fd, &to.any, size));
	} else if (!strcmp(word, "disconnect")) {
		say(word, connect(fd, &nobody, sizeof(nobody)));
	} else {
		return 0;
	}
	return 1;
}

static int step_send(const char *word)
{
	union address to;
	socklen_t size;

	if (!strcmp(word, "sendto")) {
		size = next_address(&to);
		say(word, sendto(fd, "hello", 5, 0, &to.any, size));
	} else if (!strcmp(word, "cut")) {
		next_address(&to);
		leave_scope();
		say(word, sendto(fd, "hello", 5, 0, &to.any, 24));
	} else if (!strcmp(word, "send")) {
		say(word, send(fd, "hello", 5, 0));
	} else {
		return 0;
	}
	return 1;
}

static void be_a_child(void)
{
	pid_t child = fork();

	if (child > 0) {
		if (waitpid(child, NULL, 0) != child)
			err(1, "waitpid");
		exit(0);
	}
}

static void be_another_image(void)
{
	char number[16], *argv[64] = {"udp_steps", "fd", number};

	snprintf(number, sizeof(number), "%d", fd);
	for (int i = 3; i < 63 && *words; i++)
		argv[i] = *words++;
	if (fcntl(fd, F_SETFD, 0))
		err(1, "F_SETFD");
	execv("/proc/self/exe", argv);
	err(1, "exec");
}

static void *step_aside(void *unused);

/* True: back to the thread before. */
static int step(const char *word)
{
	pthread_t thread;
	char line[16];

	if (step_socket(word) || step_send(word))
		return 0;
	if (!strcmp(word, "wait")) {
		usleep(1000 * atol(next_word()));
	} else if (!strcmp(word, "line")) {
		if (!fgets(line, sizeof(line), stdin))
			errx(1, "no line");
	} else if (!strcmp(word, "other") && !aside) {
		aside = 1;
		if (pthread_create(&thread, NULL, step_aside, NULL) || pthread_join(thread, NULL))
			err(1, "thread");
		aside = 0;
	} else if (!strcmp(word, "other")) {
		return 1;
	} else if (!strcmp(word, "fork")) {
		be_a_child();
	} else if (!strcmp(word, "exec")) {
		be_another_image();
	} else {
		errx(64, "%s: unknown", word);
	}
	return 0;
}

static void *step_aside(void *unused)
{
	(void)unused;
	while (*words && !step(*words++))
		;
	return NULL;
}

int main(int argc, char **argv)
{
	(void)argc;
	words = argv + 1;
	while (*words)
		(void)step(*words++);
	close(fd);
	return 0;
}
