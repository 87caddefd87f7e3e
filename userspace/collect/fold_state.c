/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/attribute.h"

/* ---- buckets ---- */

static Affiant__V1__StateBucket *save_bucket(const struct bucket *b)
{
	Affiant__V1__StateBucket *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	affiant__v1__state_bucket__init(m);
	SET(m, level, b->level);
	SET(m, boottime_ns, b->at_ns);
	return m;
}

static struct bucket load_bucket(const Affiant__V1__StateBucket *m)
{
	const int64_t most = BUDGET_STATE_MAX;
	struct bucket b = {0};

	if (!m)
		return b;
	b.level = m->level > most ? most : m->level < -most ? -most : m->level;
	b.at_ns = m->boottime_ns;
	return b;
}

int budgets_save(const struct budgets *all, Affiant__V1__State *to)
{
	Affiant__V1__StateBudgets *m = malloc(sizeof(*m));
	struct budget *b, *next;

	if (!m)
		return -ENOMEM;
	affiant__v1__state_budgets__init(m);
	to->budgets = m;
	SET(m, state_bytes, all->state_bytes);
	m->agents = calloc(HASH_COUNT(all->agents) + 1, sizeof(*m->agents));
	if (!m->agents)
		return -ENOMEM;
	HASH_ITER (hh, all->agents, b, next) {
		Affiant__V1__StateBudget *each = malloc(sizeof(*each));

		if (!each)
			return -ENOMEM;
		affiant__v1__state_budget__init(each);
		m->agents[m->n_agents++] = each;
		each->agent = strdup(b->agent);
		each->bucket = save_bucket(&b->bucket);
		if (!each->agent || !each->bucket)
			return -ENOMEM;
	}
	return 0;
}

int budgets_load(struct budgets *all, const Affiant__V1__State *from)
{
	const Affiant__V1__StateBudgets *m = from->budgets;

	if (!m)
		return 0;
	if (m->state_bytes > BUDGET_STATE_MAX || m->n_agents > BUDGET_AGENTS_MAX + 1)
		return -EBADMSG;
	all->state_bytes = m->state_bytes;
	for (size_t i = 0; i < m->n_agents; i++) {
		const char *agent = m->agents[i]->agent;
		struct budget *b;

		if (!agent || budget_find(all, agent))
			return -EBADMSG;
		b = budget_get(all, agent, 0);
		if (!b)
			return -ENOMEM;
		b->bucket = load_bucket(m->agents[i]->bucket);
		budget_unref(b);
	}
	return 0;
}

/* ---- windows ---- */

static Affiant__V1__StateFolded *save_folded(const struct fold_key *key,
					     const struct fold_entry *e)
{
	Affiant__V1__StateFolded *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	affiant__v1__state_folded__init(m);
	SET(m, key, pb_copy(key, sizeof(*key)));
	if (e->len)
		SET(m, path, pb_copy(e->path, e->len));
	SET(m, count, e->n.count);
	if (e->news)
		SET(m, news, true);
	SET(m, again, e->n.again);
	SET(m, bytes_sent, e->n.bytes_sent);
	SET(m, bytes_received, e->n.bytes_received);
	SET(m, excess_datagrams, e->n.excess);
	return m;
}

static int save_beyond(const struct window *w, Affiant__V1__StateWindow *m)
{
	m->beyond = calloc(FOLD_KINDS, sizeof(*m->beyond));
	for (unsigned int kind = 0; m->beyond && kind < FOLD_KINDS; kind++) {
		const struct fold_key key = {.what = kind << 4};
		const struct fold_entry e = {.n = w->beyond[kind]};

		if (!e.n.count)
			continue;
		m->beyond[m->n_beyond] = save_folded(&key, &e);
		if (!m->beyond[m->n_beyond])
			return -ENOMEM;
		m->n_beyond++;
	}
	return m->beyond ? 0 : -ENOMEM;
}

static int save_window(const struct window *w, Affiant__V1__StateFold *to)
{
	Affiant__V1__StateWindow *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	affiant__v1__state_window__init(m);
	to->window = m;
	SET(m, from_boottime_ns, w->from_ns);
	SET(m, to_boottime_ns, w->to_ns);
	m->entries = calloc(w->keys.count + 1, sizeof(*m->entries));
	if (!m->entries)
		return -ENOMEM;
	/* Also those with nothing left: what comes after them goes the same way then. */
	for (uint32_t i = 0; i < w->keys.count; i++) {
		m->entries[i] = save_folded(&w->keys.keys[i], &w->entries[i]);
		if (!m->entries[i])
			return -ENOMEM;
		m->n_entries++;
	}
	return save_beyond(w, m);
}

static struct fold_count load_count(const Affiant__V1__StateFolded *m)
{
	return (struct fold_count){
		.count = m->count,
		.again = m->again,
		.bytes_sent = m->bytes_sent,
		.bytes_received = m->bytes_received,
		.excess = m->excess_datagrams,
	};
}

static int load_key(const Affiant__V1__StateFolded *m, struct fold_key *ret)
{
	if (m->key.len != sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, m->key.data, sizeof(*ret));
	if (key_kind(ret) >= FOLD_KINDS || key_form(ret) > FORM_LAST ||
	    key_protocol(ret) > AFFIANT__V1__PROTOCOL__PROTOCOL_OTHER ||
	    key_outcome(ret) > AFFIANT__V1__OUTCOME__PENDING)
		return -EBADMSG;
	return 0;
}

static int load_entry(struct fold *f, const Affiant__V1__StateFolded *m)
{
	struct fold_entry *e;
	struct fold_key key;
	int err = load_key(m, &key);

	if (err)
		return err;
	if ((m->path.len != 0) != (key_form(&key) == FORM_PATH) || m->path.len > FOLD_PATH_MAX ||
	    keyset_find(&f->window->keys, &key) >= 0)
		return -EBADMSG;
	e = window_entry(f, &key, m->path.data, m->path.len);
	if (!e)
		return -EBADMSG; /* more than there was room for when it was saved */
	e->n = load_count(m);
	e->news = m->news;
	return 0;
}

static int load_window(struct attribute *a, struct session *s, const Affiant__V1__StateWindow *m)
{
	struct fold_key key;
	struct fold *other;
	int err;

	HASH_FIND(hh, a->folding, &s->fold->id, sizeof(s->fold->id), other);
	if (other) /* two sessions of one id */
		return -EBADMSG;
	err = window_open(a, s, m->from_boottime_ns);
	if (err)
		return err;
	s->fold->window->to_ns = m->to_boottime_ns;
	for (size_t i = 0; !err && i < m->n_entries; i++)
		err = load_entry(s->fold, m->entries[i]);
	for (size_t i = 0; !err && i < m->n_beyond; i++) {
		err = load_key(m->beyond[i], &key);
		if (!err)
			s->fold->window->beyond[key_kind(&key)] = load_count(m->beyond[i]);
	}
	return err;
}

/* ---- sessions ---- */

static int save_keys(const struct keyset *keys, protobuf_c_boolean *has, ProtobufCBinaryData *to)
{
	if (!keys->count)
		return 0;
	*to = pb_copy(keys->keys, keys->count * sizeof(*keys->keys));
	*has = true;
	return to->len ? 0 : -ENOMEM;
}

static int load_keys(struct fold *f, struct keyset *to, const ProtobufCBinaryData *from)
{
	struct fold_key key;

	if (from->len % sizeof(key))
		return -EBADMSG;
	for (size_t at = 0; at < from->len; at += sizeof(key)) {
		memcpy(&key, from->data + at, sizeof(key));
		if (!fold_remember(f, to, &key))
			return -EBADMSG;
	}
	return 0;
}

int fold_save(const struct session *s, Affiant__V1__StateSession *to)
{
	const struct fold *f = s->fold;
	Affiant__V1__StateFold *m;

	if (!f)
		return 0;
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	affiant__v1__state_fold__init(m);
	to->fold = m;
	m->bucket = save_bucket(&f->bucket);
	SET(m, number, f->number);
	SET(m, named_full, f->named_full);
	if (!m->bucket || save_keys(&f->named, &m->has_named, &m->named) ||
	    save_keys(&f->ran, &m->has_ran, &m->ran))
		return -ENOMEM;
	return f->window ? save_window(f->window, m) : 0;
}

int fold_load(struct attribute *a, struct session *s, const Affiant__V1__StateSession *from)
{
	const Affiant__V1__StateFold *m = from->fold;
	struct fold *f;
	int err;

	if (!m)
		return 0;
	f = fold_of(a, s, 0);
	if (!f)
		return -ENOMEM;
	f->bucket = load_bucket(m->bucket);
	f->number = m->number;
	f->named_full = m->named_full;
	err = load_keys(f, &f->named, &m->named) ?: load_keys(f, &f->ran, &m->ran);
	return err ?: m->window ? load_window(a, s, m->window) : 0;
}
