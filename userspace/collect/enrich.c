/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/enrich.h"

#include "base/cleanup.h"
#include "collect/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

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
	struct file_digest d = { .state = state };

	image_set_digest(i, slot, &d);
}

/*
 * A digest that can't be proven by the file's change time counts all the same while the process runs that
 * very file: it could not be written to since (ETXTBSY). Only of the executable: a script can be.
 */
static void settle(struct enrich *e, struct image *i, unsigned int slot, const struct event_actor *actor,
		   const struct file_digest *digest)
{
	struct file_digest d = *digest;

	if (d.state == HASH_STATE_CHANGED && d.unproven && slot == IMAGE_EXE &&
	    e->config.still(e->config.data, actor))
		d.state = HASH_STATE_OBSERVED;
	image_set_digest(i, slot, &d);
}

/* Takes @fd over. @exe: it has to be the object that the event tells of. */
static void ask(struct enrich *e, struct image *i, unsigned int slot, int fd, const struct event_exec *event,
		bool exe, uint64_t session)
{
	struct filehash_job job = { .fd = fd, .session = session, .token = ++e->tokens };
	struct awaited *a = calloc(1, sizeof(*a));

	if (!a) {
		close(fd);
		set_state(i, slot, HASH_STATE_TOO_LATE);
		return;
	}
	if (exe) {
		job.id = event->exe;
		job.has_id = true;
	}
	job.opened_ns = event->header.boottime_ns;
	if (filehash_submit(e->config.hash, &job) < 0) {
		free(a);
		set_state(i, slot, HASH_STATE_TOO_LATE);
		return;
	}
	a->token = job.token;
	a->image = image_ref(i);
	a->slot = slot;
	a->actor = event->header.actor;
	HASH_ADD(hh, e->awaited, token, sizeof(a->token), a);
}

static int open_exe(pid_t tgid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static void ask_exe(struct enrich *e, struct image *i, const struct event_exec *event, int fd, uint64_t session)
{
	struct file_digest known;

	if (filehash_cached(e->config.hash, &event->exe, event->header.boottime_ns, &known)) {
		closep(&fd);
		settle(e, i, IMAGE_EXE, &event->header.actor, &known);
		return;
	}
	/* The link is the process's own claim: what is behind it counts only as the object the kernel saw. */
	if (fd < 0)
		fd = open_exe(event->header.actor.tgid);
	if (fd >= 0)
		ask(e, i, IMAGE_EXE, fd, event, true, session);
	else
		set_state(i, IMAGE_EXE, fd == -EACCES ? HASH_STATE_UNREADABLE : HASH_STATE_TOO_LATE);
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

static void ask_chain(struct enrich *e, struct image *i, const struct event_exec *event, uint64_t session)
{
	struct chain_step steps[CHAIN_STEPS_MAX];
	int n = 0, exe = -1;

	if (e->config.chain && event->header.type == EVENT_EXEC)
		n = chain_take(e->config.chain, event, steps);
	for (int k = 0; k < n; k++) {
		struct chain_step *s = &steps[k];
		bool is_exe = s->kind == CHAIN_EXECUTABLE || s->kind == CHAIN_INTERPRETER;
		int slot = 0;

		if (s->kind != CHAIN_EXECUTABLE)
			slot = image_add_step(i, kind_of(s->kind), s->path, s->path ? strlen(s->path) : 0, false);
		if (is_exe && slot > 0)
			i->twin = slot;
		free(s->path);
		if (is_exe && exe < 0)
			exe = s->fd;
		else if (slot > 0)
			ask(e, i, slot, s->fd, event, false, session);
		else
			close(s->fd);
	}
	ask_exe(e, i, event, exe, session);
}

void enrich_image(struct enrich *e, const struct event_exec *event, struct image *i, uint64_t session)
{
	ask_chain(e, i, event, session);
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
