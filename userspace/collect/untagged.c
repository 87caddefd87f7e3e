/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/untagged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/power.h"

#define SECOND_NS 1000000000ull

/* ---- the session ---- */

void untagged_mark(struct session *s)
{
	/* What it was and did before it has its tag, nobody saw. */
	power_missed(s);
	if (s->untagged)
		return;
	s->untagged = true;
	SET(s->head->session, untagged_children, true);
	/* Without memory the records go on without it; evidence does not. */
	(void)session_pack(s);
}

void untagged_noted(struct attribute *a, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteUntagged *m = affiant__v1__note_untagged__unpack(NULL, len, note);
	struct session *s = m ? session_find(&a->table, m->key) : NULL;

	if (s)
		untagged_mark(s);
	if (m)
		affiant__v1__note_untagged__free_unpacked(m, NULL);
}

/* ---- their names ---- */

void untagged_add(struct attribute *a, const struct untagged_process *p)
{
	if (!a->untagged)
		a->untagged = calloc(1, sizeof(*a->untagged));
	if (a->untagged && a->untagged->count < UNTAGGED_WAITING_MAX)
		a->untagged->waiting[a->untagged->count++] = *p;
}

static uint64_t tokens_now(const struct attribute *a)
{
	const struct untagged *u = a->untagged;
	uint64_t tokens;

	if (!u->paced_ns || a->now_ns < u->paced_ns)
		return UNTAGGED_BURST;
	tokens = u->tokens + (a->now_ns - u->paced_ns) / (SECOND_NS / UNTAGGED_PER_SECOND);
	return tokens < UNTAGGED_BURST ? tokens : UNTAGGED_BURST;
}

bool untagged_ready(const struct attribute *a)
{
	return a->untagged && a->untagged->count && tokens_now(a);
}

static Affiant__V1__ProcessId *id_message(const struct process_key *key)
{
	Affiant__V1__ProcessId *id = malloc(sizeof(*id));

	if (!id)
		return NULL;
	affiant__v1__process_id__init(id);
	SET(id, tgid, key->tgid);
	SET(id, start_boottime_ns, key->start);
	if (key->exec_seq)
		SET(id, exec_seq, key->exec_seq);
	return id;
}

Affiant__V1__LostProcess *untagged_message(const struct untagged_process *p)
{
	Affiant__V1__LostProcess *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	affiant__v1__lost_process__init(m);
	m->id = id_message(&p->key);
	m->parent = id_message(&p->parent);
	SET(m, session, pb_copy(p->session.bytes, UUID_SIZE));
	if (m->id && m->parent && m->session.data)
		return m;
	affiant__v1__lost_process__free_unpacked(m, NULL);
	return NULL;
}

static struct process_key key_of(const Affiant__V1__ProcessId *id)
{
	return (struct process_key){id->start_boottime_ns, id->tgid, id->exec_seq};
}

int untagged_of_message(const Affiant__V1__LostProcess *m, struct untagged_process *ret)
{
	if (!m->id || !m->parent || m->session.len != UUID_SIZE)
		return -EBADMSG;
	ret->key = key_of(m->id);
	ret->parent = key_of(m->parent);
	memcpy(ret->session.bytes, m->session.data, UUID_SIZE);
	return 0;
}

void untagged_name(struct attribute *a, Affiant__V1__Lost *m)
{
	struct untagged *u = a->untagged;
	uint64_t tokens = u ? tokens_now(a) : 0;

	if (!tokens || !u->count)
		return;
	m->processes = calloc(UNTAGGED_NAMES_MAX, sizeof(*m->processes));
	while (m->processes && m->n_processes < u->count && m->n_processes < UNTAGGED_NAMES_MAX &&
	       m->n_processes < tokens) {
		m->processes[m->n_processes] = untagged_message(&u->waiting[m->n_processes]);
		if (!m->processes[m->n_processes])
			break;
		m->n_processes++;
	}
	u->tokens = tokens - m->n_processes;
	u->paced_ns = a->now_ns;
}

static void forget(struct untagged *u, const struct process_key *key)
{
	for (size_t i = 0; i < u->count; i++) {
		if (u->waiting[i].key.tgid != key->tgid || u->waiting[i].key.start != key->start)
			continue;
		u->count--;
		memmove(&u->waiting[i], &u->waiting[i + 1],
			(u->count - i) * sizeof(u->waiting[i]));
		return;
	}
}

void untagged_named(struct attribute *a, const Affiant__V1__Lost *m)
{
	struct untagged_process p;

	for (size_t i = 0; a->untagged && i < m->n_processes; i++)
		if (!untagged_of_message(m->processes[i], &p))
			forget(a->untagged, &p.key);
}
