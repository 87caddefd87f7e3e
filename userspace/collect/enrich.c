/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/enrich.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/limit.h"
#include "collect/decode.h"
#include "collect/glance.h"
#include "collect/scriptarg.h"

/* What a digest is of, which decides what it can prove. */
enum subject {
	EXECUTABLE, /* what the kernel saw at the exec */
	LOADER,     /* the ELF loader, likewise */
	SCRIPT,     /* offered to its interpreter, which opens it again */
};

/* A digest on its way. */
struct awaited {
	UT_hash_handle hh;
	uint64_t token;
	struct image *image;
	unsigned int slot;
	enum subject subject;
	uint64_t exec_ns;
	struct object_facts executed; /* of EXECUTABLE and LOADER */
	bool has_loader;
	struct object_facts loader; /* of EXECUTABLE */
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

static void settle_digest(struct enrich *e, const struct awaited *a,
			  const struct file_digest *digest)
{
	struct file_digest d = *digest;

	if (d.state == HASH_STATE_OBSERVED && a->subject == SCRIPT) {
		d.state = proof_changed_since(e->config.proof, a->exec_ns, &d) ? HASH_STATE_CHANGED
									      : HASH_STATE_OFFERED;
	} else if (d.state == HASH_STATE_OBSERVED || d.state == HASH_STATE_VERITY) {
		d.unproven = e->config.powerful(e->config.data, a->image->session)
				     ? UNPROVEN_POWER
				     : proof_judge(e->config.proof, &a->executed, a->exec_ns, &d);
		if (d.unproven)
			d.state = HASH_STATE_UNPROVEN;
	}
	image_set_digest(a->image, a->slot, &d);
}

static bool has_loader(const struct image *i)
{
	for (size_t n = 0; n < i->draft->n_chain; n++)
		if (i->draft->chain[n]->kind == AFFIANT__V1__STEP_KIND__STEP_LOADER)
			return true;
	return false;
}

/*
 * A program that asks for a loader has one, whether or not its opening was told of: else who keeps
 * it from being told would have none to answer for.
 */
static void settle_loader(struct enrich *e, const struct awaited *exe, const char *name)
{
	struct awaited a = {.image = exe->image,
			    .subject = LOADER,
			    .exec_ns = exe->exec_ns,
			    .executed = exe->loader};
	struct file_digest known;
	int slot;

	if (!*name || has_loader(exe->image))
		return;
	slot = image_add_step(exe->image, AFFIANT__V1__STEP_KIND__STEP_LOADER, name, strlen(name),
			      false);
	if (slot < 0)
		return;
	a.slot = slot;
	if (exe->has_loader && filehash_cached(e->config.hash, &exe->loader, &known))
		settle_digest(e, &a, &known);
	else
		set_state(exe->image, slot, HASH_STATE_TOO_LATE);
}

/* What was read becomes what it proves. */
static void settle(struct enrich *e, const struct awaited *a, const struct file_digest *digest)
{
	settle_digest(e, a, digest);
	if (a->subject == EXECUTABLE)
		settle_loader(e, a, digest->loader);
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
static void ask(const struct enriching *x, unsigned int slot, enum subject subject,
		struct filehash_job *job)
{
	struct awaited *a = calloc(1, sizeof(*a));

	job->session = x->session;
	job->token = ++x->e->tokens;
	if (filehash_submit(x->e->config.hash, job) < 0 || !a) {
		free(a);
		set_state(x->image, slot, HASH_STATE_TOO_LATE);
		return;
	}
	*a = (struct awaited){
		.token = job->token,
		.image = image_ref(x->image),
		.slot = slot,
		.subject = subject,
		.exec_ns = x->event->header.boottime_ns,
		.executed = job->want,
		.has_loader = exec_has_loader(x->event),
		.loader = {x->event->begin, x->event->begin_guard},
	};
	HASH_ADD(hh, x->e->awaited, token, sizeof(a->token), a);
}

/* O_PATH: the file can lie on a filesystem that does not answer, and a worker may wait for it. */
static int open_exe(const struct enriching *x)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/exe", x->event->header.actor.tgid);
	return limit_of(glance_open(x->e->config.aside, x->session, path));
}

/* @fd: the kernel's own descriptor, or -1. */
static void ask_exe(const struct enriching *x, int fd)
{
	const struct object_facts executed = {x->event->exe, x->event->guard};
	struct filehash_job job = {.want = executed, .has_want = true};
	const struct awaited now = {
		.image = x->image,
		.slot = IMAGE_EXE,
		.exec_ns = x->event->header.boottime_ns,
		.executed = executed,
		.has_loader = exec_has_loader(x->event),
		.loader = {x->event->begin, x->event->begin_guard},
	};
	struct file_digest known;

	/* What is not known of mounts yet is by the time that the digest comes. */
	if (proof_known_ns(x->e->config.proof) >= x->event->header.boottime_ns &&
	    filehash_cached(x->e->config.hash, &executed, &known)) {
		closep(&fd);
		settle(x->e, &now, &known);
		return;
	}
	/* An fs-verity digest that proves nothing would not even be one of the file's bytes. */
	job.verity = !proof_guard(x->e->config.proof, &executed);
	/*
	 * The link is the process's own claim: what is behind it counts only as the object the
	 * kernel saw.
	 */
	if (fd < 0)
		fd = open_exe(x);
	job.fd = fd;
	if (fd >= 0)
		ask(x, IMAGE_EXE, EXECUTABLE, &job);
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
	bool loader = s->kind == CHAIN_LOADER;
	struct filehash_job job = {.fd = s->fd, .has_want = loader};
	int slot = 0;

	if (loader)
		job.want = (struct object_facts){x->event->begin, x->event->begin_guard};
	if (s->kind != CHAIN_EXECUTABLE)
		slot = image_add_step(x->image, kind_of(s->kind), s->path,
				      s->path ? strlen(s->path) : 0, false);
	free(s->path);
	if (is_exe) {
		x->image->twin = slot > 0 ? slot : 0;
		return s->fd;
	}
	if (slot > 0)
		ask(x, slot, loader ? LOADER : SCRIPT, &job);
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
	if (scriptarg_new(x->event, name, &x->e->config.answering, &script) < 0) {
		set_state(x->image, slot, HASH_STATE_TOO_LATE);
		return;
	}
	job.opener = script;
	ask(x, slot, SCRIPT, &job);
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
		settle(e, a, digest);
		if (!a->image->awaited)
			e->config.ready(e->config.data, a->image);
	}
	image_unref(a->image);
	free(a);
}

void enrich_collect(struct enrich *e, uint64_t before_ns)
{
	uint64_t known_ns = proof_known_ns(e->config.proof);

	filehash_collect(e->config.hash, known_ns < before_ns ? known_ns : before_ns, done, e);
}
