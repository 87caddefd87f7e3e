/* SPDX-License-Identifier: Apache-2.0 */
/*
 * askers SOCKET PROCESSES: so many processes of one session, each with a connection of its own, which ask for evidence
 * all at once when the input ends. Says "ready" before that, and then when the first one asked and when the last one
 * was answered (CLOCK_MONOTONIC, ns), how many were given evidence, and how many bytes the longest has:
 *
 *	asked NS answered NS given N longest BYTES
 */
#include "lib/affiant.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct outcome {
	uint64_t asked_ns, answered_ns;
	size_t len; /* 0: refused */
};

static void die(const char *what)
{
	fprintf(stderr, "askers: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* The kernel's word that it is of the session, its connection and the key that is held for it are there before: what is
 * measured is evidence. */
static int ask(const char *socket, int ready, int begin, struct outcome *ret)
{
	static const struct affiant_evidence_request request = {
		.nonce = "0123456789abcdef0123456789abcdef",
		.audience = "https://tokens.example/token"};
	struct affiant_evidence evidence = {0};
	struct affiant *a;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (affiant_connect(socket, &a))
		return EXIT_FAILURE;
	if (write(ready, &byte, 1) != 1 || read(begin, &byte, 1) != 0)
		return EXIT_FAILURE;
	ret->asked_ns = now_ns();
	if (!affiant_get_evidence(a, &request, &evidence))
		ret->len = evidence.len;
	else
		fprintf(stderr, "askers: %s: %s\n", affiant_error_code(a), affiant_error(a));
	ret->answered_ns = now_ns();
	return EXIT_SUCCESS;
}

static void tell(const struct outcome *outcomes, size_t count)
{
	uint64_t asked = UINT64_MAX, answered = 0;
	size_t given = 0, longest = 0;

	for (const struct outcome *o = outcomes; o < outcomes + count; o++) {
		asked = o->asked_ns < asked ? o->asked_ns : asked;
		answered = o->answered_ns > answered ? o->answered_ns : answered;
		given += o->len > 0;
		longest = o->len > longest ? o->len : longest;
	}
	printf("asked %llu answered %llu given %zu longest %zu\n", (unsigned long long)asked,
	       (unsigned long long)answered, given, longest);
}

int main(int argc, char **argv)
{
	size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct outcome *outcomes;
	int ready[2], begin[2];
	char byte;

	if (!count) {
		fputs("usage: askers SOCKET PROCESSES\n", stderr);
		return 64;
	}
	outcomes = mmap(NULL, count * sizeof(*outcomes), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcomes == MAP_FAILED || pipe(ready) < 0 || pipe(begin) < 0)
		die("no memory or pipe");
	for (size_t i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			close(begin[1]);
			_exit(ask(argv[1], ready[1], begin[0], &outcomes[i]));
		}
	}
	close(ready[1]);
	for (size_t i = 0; i < count; i++)
		if (read(ready[0], &byte, 1) != 1)
			die("an asker could not connect");
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	close(begin[1]);
	while (wait(NULL) > 0)
		;
	tell(outcomes, count);
	return EXIT_SUCCESS;
}
