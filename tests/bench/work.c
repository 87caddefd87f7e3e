/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work: does one thing over and over, and prints what it took: work [OPTION]... WHAT
 *
 *   -t MILLISECONDS  how long (1000)
 *   -c CPU           on this one only
 *   -f               before all others there (SCHED_FIFO): nobody else's work is measured
 *   -r RATE          so many operations a second, evenly, instead of as many as there can be;
 *                    fewer when it can't
 *
 * After one batch to warm up, for each batch a line with the nanoseconds (CLOCK_MONOTONIC_RAW) per
 * operation; none with -r. The last line is "done OPERATIONS".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define TRUE "/bin/true"

static char *const argv_true[] = {(char *)TRUE, NULL};
static char *const no_environment[] = {NULL};

static struct sockaddr_in peer;
static int sender = -1;

static void die(const char *what)
{
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("child");
}

static void do_fork(void)
{
	pid_t pid = fork();

	if (!pid) {
		execve(TRUE, argv_true, no_environment);
		_exit(127);
	}
	if (pid < 0)
		die("fork");
	reap(pid);
}

/* CLONE_VM | CLONE_VFORK, as shells and language runtimes do it today. */
static void do_spawn(void)
{
	pid_t pid;

	errno = posix_spawn(&pid, TRUE, NULL, NULL, argv_true, no_environment);
	if (errno)
		die("posix_spawn");
	reap(pid);
}

static int loopback_socket(int type)
{
	socklen_t len = sizeof(peer);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	peer = (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)&peer, len) ||
	    getsockname(fd, (struct sockaddr *)&peer, &len))
		die("socket");
	return fd;
}

/* Bound and not listening: the port is closed, and stays it. */
static void prepare_tcp(void)
{
	loopback_socket(SOCK_STREAM);
}

static void do_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != -1 || errno != ECONNREFUSED)
		die("connect");
	close(fd);
}

/* Nobody reads: once the receiver's buffer is full each datagram costs the same. */
static void prepare_udp(void)
{
	loopback_socket(SOCK_DGRAM);
	sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sender < 0)
		die("socket");
}

static void do_udp(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		die("connect");
	close(fd);
}

static void do_sendto(void)
{
	static const char payload[64];

	if (sendto(sender, payload, sizeof(payload), 0, (struct sockaddr *)&peer, sizeof(peer)) !=
	    sizeof(payload))
		die("sendto");
}

static const struct what {
	const char *name;
	void (*prepare)(void);
	void (*operation)(void);
	/* some milliseconds: short beside a scheduler's slice, long beside the clock */
	unsigned int batch;
} whats[] = {
	{"exec-fork", NULL, do_fork, 5},          {"exec-spawn", NULL, do_spawn, 5},
	{"tcp", prepare_tcp, do_tcp, 100},        {"udp", prepare_udp, do_udp, 500},
	{"sendto", prepare_udp, do_sendto, 1000},
};

static const struct what *what_of(const char *name)
{
	for (size_t i = 0; i < sizeof(whats) / sizeof(*whats); i++)
		if (!strcmp(whats[i].name, name))
			return &whats[i];
	fprintf(stderr, "work: '%s' is not known\n", name);
	exit(EXIT_FAILURE);
}

static double run_batch(const struct what *w)
{
	uint64_t start = now_ns(CLOCK_MONOTONIC_RAW);

	for (unsigned int i = 0; i < w->batch; i++)
		w->operation();
	return (double)(now_ns(CLOCK_MONOTONIC_RAW) - start) / w->batch;
}

static void run_batches(const struct what *w, uint64_t ns)
{
	uint64_t done = 0, end = now_ns(CLOCK_MONOTONIC) + ns;

	run_batch(w);
	do {
		printf("%.1f\n", run_batch(w));
		done += w->batch;
	} while (now_ns(CLOCK_MONOTONIC) < end);
	printf("done %lu\n", done + w->batch);
}

static void run_at_rate(const struct what *w, uint64_t ns, uint64_t rate)
{
	uint64_t start = now_ns(CLOCK_MONOTONIC), done = 0, next = start;

	for (; next < start + ns && now_ns(CLOCK_MONOTONIC) < start + ns;
	     next = start + ++done * SECOND_NS / rate) {
		struct timespec t = {.tv_sec = next / SECOND_NS, .tv_nsec = next % SECOND_NS};

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
			;
		w->operation();
	}
	printf("done %lu\n", done);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static void go_first(void)
{
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}))
		die("SCHED_FIFO");
}

int main(int argc, char **argv)
{
	uint64_t ns = SECOND_NS, rate = 0;
	const struct what *w;
	int option;

	while ((option = getopt(argc, argv, "t:c:fr:")) >= 0) {
		switch (option) {
		case 't':
			ns = strtoull(optarg, NULL, 10) * 1000000;
			break;
		case 'c':
			pin(atoi(optarg));
			break;
		case 'f':
			go_first();
			break;
		case 'r':
			rate = strtoull(optarg, NULL, 10);
			break;
		default:
			return EXIT_FAILURE;
		}
	}
	if (optind + 1 != argc) {
		fputs("usage: work [-t MILLISECONDS] [-c CPU] [-f] [-r RATE] WHAT\n", stderr);
		return EXIT_FAILURE;
	}
	w = what_of(argv[optind]);
	if (w->prepare)
		w->prepare();
	if (rate)
		run_at_rate(w, ns, rate);
	else
		run_batches(w, ns);
	return EXIT_SUCCESS;
}
