/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/workload.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/environment.h"
#include "base/text.h"
#include "record/hashes.h"

#define SECOND_NS 1000000000ull

static void free_process(Affiant__V1__Process **p)
{
	if (*p)
		affiant__v1__process__free_unpacked(*p, NULL);
}

static bool text_copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static char *path_text(const ProtobufCBinaryData *path)
{
	struct buffer b = {0};

	text_utf8(&b, path->data, path->len < CLAIMS_PATH_MAX / 3 ? path->len : CLAIMS_PATH_MAX / 3,
		  true);
	buffer_add_char(&b, '\0');
	return buffer_error(&b) ? (buffer_done(&b), NULL) : b.data;
}

static bool same_file(const struct claims_file *a, const struct claims_file *b)
{
	return a->role == b->role && a->state == b->state && a->digest_len == b->digest_len &&
	       !memcmp(a->digest, b->digest, a->digest_len) &&
	       a->has_unproven == b->has_unproven &&
	       !memcmp(&a->unproven, &b->unproven, sizeof(a->unproven)) &&
	       !strcmp(a->path, b->path);
}

/* An unproven digest never stands where a proven one does. */
static void set_digest(struct claims_file *f, const ProtobufCBinaryData *bytes)
{
	if (bytes && f->state == CLAIMS_UNPROVEN && bytes->len == sizeof(f->unproven)) {
		memcpy(&f->unproven, bytes->data, bytes->len);
		f->has_unproven = true;
	} else if (bytes && f->state != CLAIMS_UNPROVEN && bytes->len <= sizeof(f->digest)) {
		memcpy(f->digest, bytes->data, bytes->len);
		f->digest_len = bytes->len;
	}
}

/* The index of such a file, which is added if there is none. */
static int add_file(struct claims *c, enum claims_role role, const ProtobufCBinaryData *path,
		    const Affiant__V1__Digest *digest, uint8_t *ret)
{
	struct claims_file f = {.role = role, .state = CLAIMS_UNREADABLE};

	if (digest && digest->has_state && digest->state)
		f.state = (enum claims_state)digest->state;
	set_digest(&f, hashes_stated(digest));
	f.path = path_text(path);
	if (!f.path)
		return -ENOMEM;
	for (size_t i = 0; i < c->files_count; i++)
		if (same_file(&c->files[i], &f)) {
			free(f.path);
			*ret = i;
			return 0;
		}
	if (c->files_count == CLAIMS_FILES_MAX) {
		free(f.path);
		return -EMSGSIZE;
	}
	*ret = c->files_count;
	c->files[c->files_count++] = f;
	return 0;
}

static int add_process_file(struct claims *c, struct claims_process *p, enum claims_role role,
			    const ProtobufCBinaryData *path, const Affiant__V1__Digest *digest)
{
	int err;

	if (p->files_count == CLAIMS_PROCESS_FILES_MAX)
		return -EMSGSIZE;
	err = add_file(c, role, path, digest, &p->files[p->files_count]);
	p->files_count += !err;
	return err;
}

static enum claims_role role_of(const Affiant__V1__Step *s)
{
	switch (s->kind) {
	case AFFIANT__V1__STEP_KIND__STEP_INTERPRETER:
		return CLAIMS_INTERPRETER;
	case AFFIANT__V1__STEP_KIND__STEP_LOADER:
		return CLAIMS_LOADER;
	case AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT:
		return CLAIMS_ARGUMENT;
	default:
		return CLAIMS_SCRIPT;
	}
}

static void set_environment(struct claims_process *p, const Affiant__V1__Process *m)
{
	p->environment_cut = m->has_environment_cut && m->environment_cut;
	for (size_t i = 0; i < m->n_environment; i++) {
		int number = environment_number(m->environment[i]);

		if (number < 0) /* of another version, before an upgrade */
			p->environment_cut = true;
		else
			environment_add(p->environment, number);
	}
}

/*
 * What @image executed, and in what environment; of one whose exec was lost, that neither is known.
 */
static int add_image(struct claims *c, const struct image *image, struct claims_process *p,
		     bool asking)
{
	__attribute__((cleanup(free_process))) Affiant__V1__Process *m = NULL;
	int err = 0;

	p->environment_cut = true;
	if (!image || !image->packed)
		return 0;
	m = affiant__v1__process__unpack(NULL, image->packed_len, image->packed);
	if (!m)
		return -ENOMEM;
	if (asking) {
		p->uid = m->euid;
		p->gid = m->egid;
	}
	set_environment(p, m);
	if (m->executable)
		err = add_process_file(c, p, CLAIMS_EXECUTABLE, &m->executable->path,
				       m->executable->digest);
	for (size_t i = 0; !err && i < m->n_chain; i++)
		err = add_process_file(c, p, role_of(m->chain[i]), &m->chain[i]->path,
				       m->chain[i]->digest);
	return err;
}

static void set_key(struct claims_process *p, const struct process_key *key)
{
	p->pid = key->tgid;
	p->started_ns = key->start;
	p->exec_seq = key->exec_seq;
}

/* Nearest first. The farthest go when there is no room for their files. */
static int add_ancestors(struct claims *c, const struct lineage *l)
{
	struct claims_workload *w = &c->workload;
	int err = 0;

	w->ancestors_cut = l && l->cut;
	for (unsigned int i = 0; l && !err && i < l->count; i++) {
		struct claims_process *p = &w->ancestors[w->ancestors_count];

		if (w->ancestors_count == CLAIMS_ANCESTORS_MAX) {
			w->ancestors_cut = true;
			break;
		}
		set_key(p, &l->up[i].key);
		err = add_image(c, l->up[i].image, p, false);
		if (err == -EMSGSIZE) {
			*p = (struct claims_process){0};
			w->ancestors_cut = true;
			return 0;
		}
		w->ancestors_count++;
	}
	return err;
}

static int add_manifest(struct claims *c, const Affiant__V1__Manifest *m)
{
	Affiant__V1__Digest digest = AFFIANT__V1__DIGEST__INIT;
	struct claims_workload *w = &c->workload;
	int err = 0;

	for (size_t i = 0; m && !err && i < m->n_paths; i++) {
		if (w->manifests_count == CLAIMS_MANIFESTS_MAX)
			return -EMSGSIZE;
		digest.has_state = true;
		digest.state =
			m->paths[i]->has_root ? AFFIANT__V1__HASH_STATE__HASH_OBSERVED : m->state;
		if (digest.state == AFFIANT__V1__HASH_STATE__HASH_OBSERVED &&
		    !m->paths[i]->has_root)
			digest.state = AFFIANT__V1__HASH_STATE__HASH_UNREADABLE;
		digest.has_sha256 = m->paths[i]->has_root;
		digest.sha256 = m->paths[i]->root;
		err = add_file(c, CLAIMS_MANIFEST, &m->paths[i]->path, &digest,
			       &w->manifests[w->manifests_count]);
		w->manifests_count += !err;
	}
	return err;
}

static int set_task(struct claims_task *to, const Affiant__V1__Task *from)
{
	bool good;

	if (!from)
		return 0;
	to->present = true;
	good = text_copy(&to->id, from->id) && text_copy(&to->purpose, from->purpose);
	to->expires = from->expires_wall_ns / SECOND_NS;
	for (size_t i = 0; good && i < from->n_scope && i < CLAIMS_SCOPES_MAX; i++) {
		good = text_copy(&to->scope[i], from->scope[i]);
		to->scope_count += good;
	}
	return good ? 0 : -ENOMEM;
}

static enum claims_origin origin_of(Affiant__V1__SessionOrigin origin)
{
	switch (origin) {
	case AFFIANT__V1__SESSION_ORIGIN__ORIGIN_SELECTOR:
		return CLAIMS_SELECTOR;
	case AFFIANT__V1__SESSION_ORIGIN__ORIGIN_API:
		return CLAIMS_API;
	default:
		return CLAIMS_RUN;
	}
}

static enum claims_isolation isolation_of(const Affiant__V1__Session *s)
{
	switch (s->isolation) {
	case AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK:
		return CLAIMS_LANDLOCK;
	case AFFIANT__V1__ISOLATION__ISOLATION_UID:
		return CLAIMS_UID;
	case AFFIANT__V1__ISOLATION__ISOLATION_NONE:
		return CLAIMS_NONE;
	default:
		return CLAIMS_ISOLATION_UNKNOWN;
	}
}

static int set_session(struct claims *c, const struct session *s, int64_t offset_ns)
{
	const Affiant__V1__SessionStarted *started = s->head->session_started;
	const Affiant__V1__Principal *principal = s->head->principal;
	struct claims_workload *w = &c->workload;

	w->session.id = s->id;
	w->session.started = (s->started_ns + offset_ns) / SECOND_NS;
	w->session.origin = origin_of(started->origin);
	w->session.late = started->has_late && started->late;
	w->execs = s->execs;
	w->folded = s->head->session->folded;
	w->untagged_children = s->head->session->untagged_children;
	w->isolation = isolation_of(s->head->session);
	w->programs_count = s->programs.count;
	w->programs_cut = s->programs.cut;
	if (!text_copy(&w->agent, s->head->agent->name) ||
	    !text_copy(&c->sub, s->head->agent->spiffe_id) ||
	    !text_copy(&w->principal, principal ? principal->subject : NULL))
		return -ENOMEM;
	return programs_root(&s->programs, &w->programs_root) ?:
	       set_task(&w->task, s->head->task) ?:
	       add_manifest(c, started->manifest);
}

int workload_claims(const struct actor *asking, int64_t offset_ns, struct claims *ret)
{
	set_key(&ret->workload.process, &asking->key);
	return add_image(ret, asking->image, &ret->workload.process, true) ?:
	       set_session(ret, asking->session, offset_ns) ?:
	       add_ancestors(ret, asking->lineage);
}

bool workload_settled(const struct actor *asking)
{
	const struct lineage *l = asking->lineage;

	if (asking->image->draft)
		return false;
	for (unsigned int i = 0; l && i < l->count; i++)
		if (l->up[i].image && l->up[i].image->draft)
			return false;
	return true;
}
