/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/environment.h"
#include "base/pb.h"
#include "collect/cgroup.h"
#include "collect/decode.h"
#include "collect/redact.h"

static Affiant__V1__Digest *digest_new(void)
{
	Affiant__V1__Digest *d = malloc(sizeof(*d));

	if (d)
		affiant__v1__digest__init(d);
	return d;
}

static Affiant__V1__Namespaces *namespaces_of(const struct event_exec *e)
{
	Affiant__V1__Namespaces *n = malloc(sizeof(*n));

	if (!n)
		return NULL;
	affiant__v1__namespaces__init(n);
	SET(n, mnt, e->ns[NS_MNT]);
	SET(n, pid, e->ns[NS_PID]);
	SET(n, net, e->ns[NS_NET]);
	SET(n, user, e->ns[NS_USER]);
	SET(n, cgroup, e->ns[NS_CGROUP]);
	SET(n, ipc, e->ns[NS_IPC]);
	SET(n, uts, e->ns[NS_UTS]);
	SET(n, time, e->ns[NS_TIME]);
	return n;
}

static void set_argv(Affiant__V1__Process *p, const struct event_exec *e,
		     const struct exec_strings *x, const struct image_context *c)
{
	uint32_t redacted = 0;
	size_t used = 0, n = 0;

	if (e->header.type != EVENT_EXEC)
		return;
	for (size_t at = 0; at < x->argv_len; at++)
		n += !x->argv[at];
	n += x->argv_len && x->argv[x->argv_len - 1];
	p->argv = calloc(n ?: 1, sizeof(*p->argv));
	if (!p->argv)
		return;

	SET(p, argc, e->argc);
	SET(p, argv_cut, !!(e->flags & EXEC_ARGV_CUT));
	for (size_t at = 0; at < x->argv_len;) {
		size_t len = strnlen(x->argv + at, x->argv_len - at);
		bool hidden;
		_cleanup_free_ char *shown = redact_text(x->argv + at, len, &hidden);

		at += len + 1;
		len = shown ? strlen(shown) : 0;
		if (!shown || used + len + 1 > c->argv_max) {
			p->argv_cut = true;
			break;
		}
		redacted += hidden;
		used += len + 1;
		p->argv[p->n_argv++] = pb_copy(shown, len);
	}
	if (redacted)
		SET(p, redacted, redacted);
}

static void set_cgroup(Affiant__V1__Process *p, uint64_t id, struct cgroup_names *names)
{
	char container[CONTAINER_ID_SIZE];
	const struct cgroup_name *name = names ? cgroup_name(names, id) : NULL;

	SET(p, cgroup_id, id);
	if (!name)
		return;
	SET(p, cgroup, pb_copy(name->path, strlen(name->path)));
	cgroup_container(name->path, container);
	/* Whoever was given a cgroup may make one below it by the name of anybody's container. */
	if (*container)
		*(name->container_root ? &p->container_id : &p->container_claimed) =
			strdup(container);
}

static void set_environment(Affiant__V1__Process *p, const struct event_exec *e)
{
	if (e->flags & EXEC_ENVIRONMENT_CUT)
		SET(p, environment_cut, true);
	if (!(e->environment[0] | e->environment[1]))
		return;
	p->environment = calloc(environment_count, sizeof(*p->environment));
	for (unsigned int i = 0; p->environment && i < environment_count; i++)
		if (e->environment[i / 64] >> i % 64 & 1 && environment_name(i)) {
			p->environment[p->n_environment] = strdup(environment_name(i));
			p->n_environment += p->environment[p->n_environment] != NULL;
		}
}

static Affiant__V1__Executable *executable_of(const struct event_exec *e, const char *path,
					      size_t len)
{
	Affiant__V1__Executable *x = malloc(sizeof(*x));

	if (!x)
		return NULL;
	affiant__v1__executable__init(x);
	if (len)
		SET(x, path, pb_copy(path, len));
	SET(x, device, e->exe.device);
	SET(x, inode, e->exe.inode);
	SET(x, size, e->exe.size);
	if (e->flags & EXEC_MEMFD)
		SET(x, memfd, true);
	if (e->flags & EXEC_DELETED)
		SET(x, deleted, true);
	x->digest = digest_new();
	return x;
}

struct image *image_from_exec(struct table *t, const struct event_exec *e,
			      const struct image_context *c)
{
	struct image *i = image_new(t);
	bool path_cut = e->flags & EXEC_PATH_CUT;
	char path[PATH_TEXT_SIZE];
	Affiant__V1__Process *p;
	struct exec_strings x;
	size_t len;

	if (!i)
		return NULL;
	p = malloc(sizeof(*p));
	if (!p) {
		image_unref(i);
		return NULL;
	}
	affiant__v1__process__init(p);
	i->draft = p;
	exec_strings(e, &x);

	SET(p, uid, e->uid);
	SET(p, gid, e->gid);
	SET(p, euid, e->euid);
	SET(p, egid, e->egid);
	SET(p, cap_effective, e->cap_effective);
	SET(p, cap_permitted, e->cap_permitted);
	SET(p, comm, pb_copy(e->comm, strnlen(e->comm, sizeof(e->comm))));
	if (e->flags & EXEC_SETUID)
		SET(p, setuid, true);
	if (e->header.type == EVENT_ADOPT)
		SET(p, late, true);
	p->namespaces = namespaces_of(e);
	set_cgroup(p, e->cgroup, c->cgroups);
	len = path_from_components(x.cwd, x.cwd_len, path_cut, path);
	if (len)
		SET(p, cwd, pb_copy(path, len));
	set_argv(p, e, &x, c);
	set_environment(p, e);

	/* Nothing executable is a root directory: no components are an unknown path. */
	len = x.exe_len ? path_from_components(x.exe, x.exe_len, path_cut, path) : 0;
	i->known = true;
	i->has_id = true;
	i->id = e->exe;
	i->exe = len ? path_get(t, path, len) : NULL;
	p->executable = executable_of(e, path, len);
	if (!p->executable || !p->executable->digest) {
		image_unref(i);
		return NULL;
	}
	i->digests[IMAGE_EXE] = (struct image_digest){p->executable->digest, p->executable};
	i->awaited = 1;
	return i;
}

struct image *image_unknown(struct table *t)
{
	return image_new(t);
}

int image_add_step(struct image *i, Affiant__V1__StepKind kind, const char *path, size_t len,
		   bool by_argv)
{
	Affiant__V1__Process *p = i->draft;
	Affiant__V1__Step *s, **chain;
	int slot = p->n_chain + 1;

	if (slot >= IMAGE_DIGESTS_MAX)
		return -ENOSPC;
	chain = realloc(p->chain, slot * sizeof(*chain));
	if (!chain)
		return -ENOMEM;
	p->chain = chain;
	s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	affiant__v1__step__init(s);
	SET(s, kind, kind);
	/* A path longer than what the kernel tells of others would make the record too long. */
	if (len)
		SET(s, path, pb_copy(path, len < EVENT_PATH_MAX ? len : EVENT_PATH_MAX));
	if (by_argv)
		SET(s, named_by_argv, true);
	s->digest = digest_new();
	p->chain[p->n_chain++] = s;
	if (!s->digest)
		return -ENOMEM;
	i->digests[slot] = (struct image_digest){.digest = s->digest};
	i->awaited++;
	return slot;
}

static const char *verity_name(uint16_t algorithm)
{
	return algorithm == 1 ? "sha256" : algorithm == 2 ? "sha512" : "unknown";
}

void image_set_digest(struct image *i, unsigned int slot, const struct file_digest *d)
{
	struct image_digest *to = &i->digests[slot];

	if (!i->draft || !to->digest || to->digest->has_state)
		return;

	SET(to->digest, state, (Affiant__V1__HashState)d->state);
	switch (d->state) {
	case HASH_STATE_UNPROVEN:
		SET(to->digest, unproven, (Affiant__V1__Unproven)d->unproven);
		if (!d->verity_len)
			SET(to->digest, unproven_sha256,
			    pb_copy(d->sha256.bytes, SHA256_SIZE));
		break;
	case HASH_STATE_OBSERVED:
	case HASH_STATE_HELD:
	case HASH_STATE_KERNEL:
	case HASH_STATE_OFFERED:
		SET(to->digest, sha256, pb_copy(d->sha256.bytes, SHA256_SIZE));
		break;
	case HASH_STATE_VERITY:
		SET(to->digest, verity, pb_copy(d->verity, d->verity_len));
		to->digest->verity_algorithm = strdup(verity_name(d->verity_algorithm));
		break;
	default:
		break;
	}
	if (to->exe && d->build_id_len)
		SET(to->exe, build_id, pb_copy(d->build_id, d->build_id_len));
	if (to->exe && *d->package)
		to->exe->package = strdup(d->package);
	i->awaited--;
	if (slot == IMAGE_EXE && i->twin)
		image_set_digest(i, i->twin, d);
}

void image_finish(struct image *i)
{
	static const struct file_digest late = {.state = HASH_STATE_TOO_LATE};

	for (unsigned int slot = 0; i->awaited && slot < IMAGE_DIGESTS_MAX; slot++)
		image_set_digest(i, slot, &late);

	if (i->session && programs_add_process(&i->session->programs, i->draft))
		i->session->programs.cut = true;
	session_unref(i->session);
	i->session = NULL;
	i->packed = malloc(affiant__v1__process__get_packed_size(i->draft) ?: 1);
	if (i->packed)
		i->packed_len = affiant__v1__process__pack(i->draft, i->packed);
	affiant__v1__process__free_unpacked(i->draft, NULL);
	i->draft = NULL;
}
