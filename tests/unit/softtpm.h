/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softtpm: a software TPM of a test's own (tools/affiant-softtpm), and a worker on it. The state is
 * made once for the build tree and copied: that is where most of the time goes.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tpm/worker.h"

#define DEFAULT_PCRS 0x4fffu /* the default: 0-7, 8, 9, 10, 11, 14 */
#define HANG_MS 60000

struct softtpm {
	char dir[64];
	char socket[96];
	pid_t pid; /* 0: not running */
	int keys;  /* the worker's directory */
};

/* Runs a command of the shell; what it says goes to stderr. */
__attribute__((format(printf, 1, 2))) static inline int run(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

/* What ctest takes for "skipped" (SKIP_RETURN_CODE): cmocka calls a skip in a fixture a failure. */
#define SOFTTPM_SKIP 77

/* For main(): false, after saying so, where the tests have no TPM to be had. */
static inline bool softtpm_there(void)
{
	if (!run("command -v swtpm swtpm_setup tpm2_createek >/dev/null"))
		return true;
	print_message("[  REASON  ] swtpm, swtpm-tools or tpm2-tools is not installed\n");
	return false;
}

static inline bool softtpm_listens(const struct softtpm *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	strcpy(address.sun_path, s->socket);
	yes = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return yes;
}

static inline void softtpm_start(struct softtpm *s)
{
	char state[96];

	snprintf(state, sizeof(state), "%s/state", s->dir);
	unlink(s->socket);
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(TEST_SOFTTPM, TEST_SOFTTPM, "--foreground", "--state-dir", state, "--socket",
		      s->socket, NULL);
		_exit(127);
	}
	assert_true(s->pid > 0);
	for (int i = 0; !softtpm_listens(s); i++) {
		assert_true(i < HANG_MS / 10);
		assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
		usleep(10000);
	}
}

static inline void softtpm_kill(struct softtpm *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static inline void softtpm_new(struct softtpm *s)
{
	strcpy(s->dir, "/tmp/affiant-tpm-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->socket, sizeof(s->socket), "%s/tpm.sock", s->dir);
	assert_int_equal(run("flock %s.lock %s --prepare --state-dir %s && cp -a %s %s/state && "
			     "mkdir -m 700 %s/keys",
			     TEST_SOFTTPM_STATE, TEST_SOFTTPM, TEST_SOFTTPM_STATE,
			     TEST_SOFTTPM_STATE, s->dir, s->dir),
			 0);
	softtpm_start(s);
	snprintf(s->socket, sizeof(s->socket), "%s/keys", s->dir);
	s->keys = open(s->socket, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(s->socket, sizeof(s->socket), "%s/tpm.sock", s->dir);
	assert_true(s->keys >= 0);
}

static inline void softtpm_remove(struct softtpm *s)
{
	if (s->pid)
		softtpm_kill(s);
	close(s->keys);
	assert_int_equal(run("rm -rf %s", s->dir), 0);
}

/* tpm2-tools on it: only while no worker is connected. */
#define TPM2(s, command, ...)                                                                      \
	run("cd %s && export TPM2TOOLS_TCTI=swtpm:path=%s && " command, (s)->dir, (s)->socket,     \
	    ##__VA_ARGS__)

static inline struct tpm_worker *worker_on(const struct softtpm *s, const char *socket,
					   enum tpm_ek kind, uint64_t timeout_ms)
{
	char where[128];
	struct tpm_config config = {
		.tcti = where,
		.state_dir = s->keys,
		.timeout_ns = timeout_ms * 1000000,
		.pcrs = DEFAULT_PCRS,
		.ek = kind,
	};
	struct tpm_worker *w = NULL;

	snprintf(where, sizeof(where), "swtpm:path=%s", socket);
	assert_int_equal(tpm_worker_new(&config, &w), 0);
	return w;
}

static inline struct tpm_worker *worker_new(const struct softtpm *s, enum tpm_ek kind)
{
	return worker_on(s, s->socket, kind, 10000);
}

static inline void wait_state(struct tpm_worker *w, enum tpm_state state)
{
	struct tpm_status status;

	for (int i = 0;; i++) {
		tpm_worker_status(w, &status);
		if (status.state == state)
			return;
		if (i > HANG_MS / 10)
			fail_msg("state %d, not %d: %s", status.state, state, status.error);
		usleep(10000);
	}
}

/* What a request ended with. */
struct outcome {
	bool done;
	int err;
	struct tpm_quoted quoted;
	uint64_t counter;
	uint8_t secret[64];
	size_t secret_len;
};

static inline void on_quoted(void *data, int err, const struct tpm_quoted *quoted)
{
	struct outcome *o = data;

	assert_false(o->done);
	o->done = true;
	o->err = err;
	if (!err)
		o->quoted = *quoted;
}

static inline void on_activated(void *data, int err, const uint8_t *secret, size_t len)
{
	struct outcome *o = data;

	assert_false(o->done);
	*o = (struct outcome){.done = true, .err = err, .secret_len = len};
	if (!err)
		memcpy(o->secret, secret, len);
}

static inline void on_anchored(void *data, int err, uint64_t counter,
			       const struct tpm_quoted *certified)
{
	on_quoted(data, err, certified);
	((struct outcome *)data)->counter = counter;
}

/* Collects until @o is done. */
static inline int await_outcome(struct tpm_worker *w, const struct outcome *o)
{
	struct pollfd p = {.fd = tpm_worker_fd(w), .events = POLLIN};

	while (!o->done) {
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		assert_true(tpm_worker_collect(w) >= 0);
	}
	return o->err;
}

static inline int quote(struct tpm_worker *w, const uint8_t qualifying[static 32],
			struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	assert_int_equal(tpm_worker_quote(w, qualifying, on_quoted, o), 0);
	return await_outcome(w, o);
}

/* Set-up and teardown of a case: *state is its TPM. */
static inline int tpm_new(void **state)
{
	struct softtpm *s = calloc(1, sizeof(*s));

	*state = s;
	softtpm_new(s);
	return 0;
}

static inline int tpm_remove(void **state)
{
	struct softtpm *s = *state;

	if (s->pid)
		softtpm_remove(s);
	free(s);
	return 0;
}

static inline void save(const struct softtpm *s, const char *name, const void *data, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline size_t load(const struct softtpm *s, const char *name, uint8_t *data, size_t room)
{
	char path[128];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(data, 1, room, f);
	fclose(f);
	return len;
}

static inline struct tpm_status status_of(struct tpm_worker *w)
{
	struct tpm_status s;

	tpm_worker_status(w, &s);
	return s;
}

/* The identity once it is there. */
static inline struct tpm_identity identity_of(struct tpm_worker *w)
{
	struct tpm_identity i;

	wait_state(w, TPM_READY);
	assert_int_equal(tpm_worker_identity(w, &i), 0);
	return i;
}
