/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/enrich.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "collect/decode.h"
#include "collect/scriptarg.h"

/* A digest on its way. */
struct awaited {
	UT_hash_handle hh;
	uint64_t token;
	struct image *image;
	unsigned int slot;
	struct event_actor actor;
};

struct enrich {
	struct enrich_config config;
	struct awaited *awaited;
	uint64_t tokens;
};

int enrich_new(const struct enrich_config *config, struct enrich **ret)
{
	struct enrich *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->config = *config;
	*ret = e;
	return 0;
}

void enrich_free(struct enrich *e)
{
	struct awaited *a, *next;

	if (!e)
		return;
	HASH_ITER (hh, e->awaited, a, next) {
		HASH_DEL(e->awaited, a);
		image_unref(a->image);
		free(a);
	}
	free(e);
}

const struct image_context *enrich_image_context(const struct enrich *e)
{
	return &e->config.image;
}

static void set_state(struct image *i, unsigned int slot, enum hash_state state)
{
	struct file_digest d = {.state = state};

	image_set_digest(i, slot, &d);
}

/*
 * A digest that can't be proven by the file's change time counts all the same while the process
 * runs that very file: it could not be written to since (ETXTBSY). Only of the executable: a script
 * can be.
 */
static void settle(struct enrich *e, struct image *i, unsigned int slot,
		   const struct event_actor *actor, const struct file_digest *digest)
{
	struct file_digest d = *digest;

	if (d.state == HASH_STATE_CHANGED && d.unproven && slot == IMAGE_EXE &&
	    e->config.still(e->config.data, actor))
		d.state = HASH_STATE_OBSERVED;
	image_set_digest(i, slot, &d);
}

static void free_scriptarg(void *s)
{
	scriptarg_free(s);
}

/* One exec whose files are looked for. */
struct enriching {
	struct enrich *e;
	struct image *image;
	const struct event_exec *event;
	uint64_t session;
};

/* What @job refers to is taken over; the rest of it is filled in here. */
static void ask(const struct enriching *x, unsigned int slot, struct filehash_job *job)
{
	struct awaited *a = calloc(1, sizeof(*a));

	job->session = x->session;
	job->opened_ns = x->event->header.boottime_ns;
	job->token = ++x->e->tokens;
	if (filehash_submit(x->e->config.hash, job) < 0 || !a) {
		free(a);
		set_state(x->image, slot, HASH_STATE_TOO_LATE);
		return;
	}
	a->token = job->token;
	a->image = image_ref(x->image);
	a->slot = slot;
	a->actor = x->event->header.actor;
	HASH_ADD(hh, x->e->awaited, token, sizeof(a->token), a);
}

/* O_PATH: the file can lie on a filesystem that does not answer, and a worker may wait for it. */
static int open_exe(pid_t tgid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", tgid);
	fd = open(path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* @fd: the kernel's own descriptor, or -1. */
static void ask_exe(const struct enriching *x, int fd)
{
	struct filehash_job job = {.id = x->event->exe, .has_id = true};
	struct file_digest known;

	if (filehash_cached(x->e->config.hash, &x->event->exe, x->event->header.boottime_ns,
			    &known)) {
		closep(&fd);
		settle(x->e, x->image, IMAGE_EXE, &x->event->header.actor, &known);
		return;
	}
	/*
	 * The link is the process's own claim: what is behind it counts only as the object the
	 * kernel saw.
	 */
	if (fd < 0)
		fd = open_exe(x->event->header.actor.tgid);
	job.fd = fd;
	if (fd >= 0)
		ask(x, IMAGE_EXE, &job);
	else
		set_state(x->image, IMAGE_EXE,
			  fd == -EACCES ? HASH_STATE_UNREADABLE : HASH_STATE_TOO_LATE);
}

static Affiant__V1__StepKind kind_of(enum chain_kind k)
{
	switch (k) {
	case CHAIN_SCRIPT:
		return AFFIANT__V1__STEP_KIND__STEP_SCRIPT;
	case CHAIN_INTERPRETER:
	case CHAIN_EXECUTABLE:
		return AFFIANT__V1__STEP_KIND__STEP_INTERPRETER;
	case CHAIN_LOADER:
		return AFFIANT__V1__STEP_KIND__STEP_LOADER;
	}
	return AFFIANT__V1__STEP_KIND__STEP_UNKNOWN;
}

/* Takes the step over. Returns its descriptor if it is the executable's, else -1. */
static int ask_step(const struct enriching *x, struct chain_step *s)
{
	bool is_exe = s->kind == CHAIN_EXECUTABLE || s->kind == CHAIN_INTERPRETER;
	struct filehash_job job = {.fd = s->fd};
	int slot = 0;

	if (s->kind != CHAIN_EXECUTABLE)
		slot = image_add_step(x->image, kind_of(s->kind), s->path,
				      s->path ? strlen(s->path) : 0, false);
	free(s->path);
	if (is_exe) {
		x->image->twin = slot > 0 ? slot : 0;
		return s->fd;
	}
	if (slot > 0)
		ask(x, slot, &job);
	else
		close(s->fd);
	return -1;
}

/* Returns whether the kernel opened a script: then argv names the same one. */
static bool ask_chain(const struct enriching *x)
{
	struct chain_step steps[CHAIN_STEPS_MAX];
	bool script = false;
	int n = 0, exe = -1;

	if (x->e->config.chain && x->event->header.type == EVENT_EXEC)
		n = chain_take(x->e->config.chain, x->event, steps);
	for (int k = 0; k < n; k++) {
		int fd = ask_step(x, &steps[k]);

		script |= steps[k].kind == CHAIN_SCRIPT;
		if (fd < 0)
			continue;
		closep(&exe);
		exe = fd;
	}
	ask_exe(x, exe);
	return script;
}

/* As the process would find it. Freed by the caller. */
static char *from_cwd(const struct event_exec *e, const char *name)
{
	char cwd[PATH_TEXT_SIZE], *path = NULL;
	struct exec_strings x;
	size_t len;

	if (*name == '/')
		return strdup(name);
	exec_strings(e, &x);
	len = path_from_components(x.cwd, x.cwd_len, e->flags & EXEC_PATH_CUT, cwd);
	return asprintf(&path, "%s%s%s", cwd, len > 1 ? "/" : "", name) < 0 ? NULL : path;
}

/* `python3 agent.py`: what the command line names. */
static void ask_script_argument(const struct enriching *x)
{
	struct filehash_job job = {
		.fd = -1,
		.open = scriptarg_open,
		.opener_free = free_scriptarg,
	};
	const char *name = x->event->header.type == EVENT_EXEC ? scriptarg_name(x->event) : NULL;
	_cleanup_free_ char *path = name ? from_cwd(x->event, name) : NULL;
	struct scriptarg *script;
	int slot;

	if (!path)
		return;
	slot = image_add_step(x->image, AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT, path,
			      strlen(path), true);
	if (slot < 0)
		return;
	if (scriptarg_new(x->event, name, &script) < 0) {
		set_state(x->image, slot, HASH_STATE_TOO_LATE);
		return;
	}
	job.opener = script;
	ask(x, slot, &job);
}

void enrich_image(struct enrich *e, const struct event_exec *event, struct image *i,
		  uint64_t session)
{
	const struct enriching x = {.e = e, .image = i, .event = event, .session = session};

	if (!ask_chain(&x))
		ask_script_argument(&x);
}

void enrich_disabled(struct enrich *e, const struct event_exec *event, struct image *i)
{
	/* The chain's descriptors are let go all the same. */
	struct chain_step steps[CHAIN_STEPS_MAX];
	int n = e->config.chain && event->header.type == EVENT_EXEC
			? chain_take(e->config.chain, event, steps)
			: 0;

	for (int k = 0; k < n; k++) {
		close(steps[k].fd);
		free(steps[k].path);
	}
	set_state(i, IMAGE_EXE, HASH_STATE_DISABLED);
}

static void done(void *data, uint64_t token, const struct file_digest *digest)
{
	struct enrich *e = data;
	struct awaited *a;

	HASH_FIND(hh, e->awaited, &token, sizeof(token), a);
	if (!a)
		return;
	HASH_DEL(e->awaited, a);
	if (a->image->draft) {
		settle(e, a->image, a->slot, &a->actor, digest);
		if (!a->image->awaited)
			e->config.ready(e->config.data, a->image);
	}
	image_unref(a->image);
	free(a);
}

void enrich_collect(struct enrich *e)
{
	filehash_collect(e->config.hash, done, e);
}
