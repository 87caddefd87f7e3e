/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/loss.h"

/* Record.process, length-delimited (protocol buffers encoding: field << 3 | 2). */
#define PROCESS_TAG (12u << 3 | 2)

static size_t put_varint(uint8_t *to, uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		to[n++] = v | 0x80;
		v >>= 7;
	}
	to[n++] = v;
	return n;
}

static Affiant__V1__ProcessId id_of(const struct process_key *key)
{
	Affiant__V1__ProcessId id = AFFIANT__V1__PROCESS_ID__INIT;

	SET(&id, tgid, key->tgid);
	SET(&id, start_boottime_ns, key->start);
	/* Only threads of the kernel have executed nothing. */
	if (key->exec_seq)
		SET(&id, exec_seq, key->exec_seq);
	return id;
}

/* The part of Process that is the actor's own: who, and whose child. @brief: without forebears. */
static uint8_t *pack_identity(const struct actor *actor, bool brief, size_t *ret_len)
{
	Affiant__V1__ProcessId id = id_of(&actor->key), parent = id_of(&actor->parent);
	Affiant__V1__Process p = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__ProcessId up_ids[LINEAGE_MAX];
	Affiant__V1__Ancestor ups[LINEAGE_MAX], *list[LINEAGE_MAX];
	const struct lineage *l = actor->lineage;
	const struct path *exe;
	uint8_t *out;

	p.id = &id;
	if (actor->parent.tgid)
		p.parent = &parent;
	for (unsigned int i = 0; l && !brief && i < l->count; i++) {
		up_ids[i] = id_of(&l->up[i].key);
		affiant__v1__ancestor__init(&ups[i]);
		ups[i].id = &up_ids[i];
		exe = l->up[i].image ? l->up[i].image->exe : NULL;
		if (exe)
			SET(&ups[i], exe, pb_bytes(exe->text, exe->len));
		list[i] = &ups[i];
		p.n_ancestry++;
	}
	p.ancestry = list;
	if (l && (l->cut || brief))
		SET(&p, ancestry_cut, true);
	if (actor->late)
		SET(&p, late, true);

	out = malloc(affiant__v1__process__get_packed_size(&p) ?: 1);
	if (out)
		*ret_len = affiant__v1__process__pack(&p, out);
	return out;
}

/*
 * @record, then Process: the image's bytes were serialised once, and are only copied here. All that
 * comes from processes is bounded, so that a record fits into the ledger; of one whose paths are
 * all as long as can be, the forebears go, and then what it is. NULL: no memory.
 */
static uint8_t *add_process(const struct actor *actor, const uint8_t *record, size_t len,
			    size_t *ret_len)
{
	const struct image *image = actor->image;
	_cleanup_free_ uint8_t *identity = NULL;
	size_t identity_len = 0, image_len = image->packed_len, at = len;
	uint8_t *out;

	identity = pack_identity(actor, false, &identity_len);
	if (len + identity_len + image_len > TELL_RECORD_MAX) {
		free(identity);
		identity = pack_identity(actor, true, &identity_len);
	}
	if (len + identity_len + image_len > TELL_RECORD_MAX)
		image_len = 0;
	out = identity ? malloc(len + 2 * 10 + identity_len + image_len) : NULL;
	if (!out)
		return NULL;
	memcpy(out, record, len);
	at += put_varint(out + at, PROCESS_TAG);
	at += put_varint(out + at, identity_len + image_len);
	memcpy(out + at, identity, identity_len);
	at += identity_len;
	if (image_len)
		memcpy(out + at, image->packed, image_len);
	*ret_len = at + image_len;
	return out;
}

static void hand_on(struct attribute *a, uint64_t source, uint32_t part, const struct actor *actor,
		    struct session *session, const uint8_t *record, size_t len)
{
	_cleanup_free_ uint8_t *out = NULL;

	a->counts.records++;
	out = actor ? add_process(actor, record, len, &len) : NULL;
	fold_emitted(a, session, len);
	/* Better a record without its process than none. */
	a->config.emit(a->config.data, source, part, out ?: record, len);
}

static int hold(struct attribute *a, struct actor *actor, uint64_t source, uint32_t part,
		const uint8_t *record, size_t len)
{
	struct held *h = malloc(sizeof(*h) + len);

	if (!h)
		return -ENOMEM;
	h->actor = actor_ref(actor);
	h->source = source;
	h->part = part;
	h->len = len;
	memcpy(h->record, record, len);
	DL_APPEND(actor->image->held, h);
	a->table.held++;
	/* The image that is awaited longest goes without its digests. */
	if (a->table.held > a->config.held_max && a->table.drafts)
		attribute_image_ready(a, a->table.drafts);
	return 0;
}

void tell_held(struct attribute *a, struct image *i)
{
	struct held *h, *next;

	DL_FOREACH_SAFE (i->held, h, next) {
		DL_DELETE(i->held, h);
		a->table.held--;
		hand_on(a, h->source, h->part, h->actor, h->actor->session, h->record, h->len);
		actor_unref(h->actor);
		free(h);
	}
}

bool told_before(const struct attribute *a, uint64_t source, uint32_t part)
{
	return a->config.told && a->config.told(a->config.data, source, part);
}

void tell_again(struct attribute *a, uint64_t source, uint32_t part, struct actor *actor,
		const uint8_t *record, size_t len)
{
	if (!told_before(a, source, part))
		hand_on(a, source, part, actor, actor->session, record, len);
}

static Affiant__V1__ClockState clock_state(struct attribute *a)
{
	bool stepped = a->stepped;

	a->stepped = false;
	return stepped ? AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED : a->clock.state;
}

static int set_head(struct attribute *a, uint64_t source, uint32_t part, uint64_t boottime_ns,
		    struct uuid *id, Affiant__V1__Record *r)
{
	uint64_t wall = boottime_ns + a->clock.offset_ns;
	struct {
		uint8_t boot_id[16];
		uint64_t source;
		uint64_t part;
	} seed = {.source = source, .part = part};
	int err;

	memcpy(seed.boot_id, a->config.boot_id, sizeof(seed.boot_id));
	err = source == TELL_NO_SOURCE ? uuid7_new(wall, id)
				       : uuid7_derive(wall, &seed, sizeof(seed), id);
	if (err)
		return err;
	SET(r, id, pb_bytes(id->bytes, sizeof(id->bytes)));
	SET(r, boot_id, pb_bytes(a->config.boot_id, 16));
	SET(r, host, pb_bytes(a->config.host, 16));
	SET(r, boottime_ns, boottime_ns);
	SET(r, wall_ns, wall);
	SET(r, clock_state, clock_state(a));
	return 0;
}

static int pack(struct attribute *a, uint64_t source, uint32_t part, uint64_t boottime_ns,
		Affiant__V1__Record *r, struct actor *actor, struct session *session)
{
	_cleanup_free_ uint8_t *out = NULL;
	struct uuid id;
	size_t len;
	int err;

	err = set_head(a, source, part, boottime_ns, &id, r);
	if (err)
		return err;

	out = malloc(affiant__v1__record__get_packed_size(r) + (session ? session->packed_len : 0));
	if (!out)
		return -ENOMEM;
	len = affiant__v1__record__pack(r, out);
	if (session) {
		memcpy(out + len, session->packed, session->packed_len);
		len += session->packed_len;
	}

	if (actor && actor->image->draft)
		return hold(a, actor, source, part, out, len);
	hand_on(a, source, part, actor, session, out, len);
	return 0;
}

int tell(struct attribute *a, uint64_t source, uint32_t part, uint64_t boottime_ns,
	 Affiant__V1__Record *r, struct actor *actor, struct session *session)
{
	int err;

	if (source != TELL_NO_SOURCE && told_before(a, source, part)) {
		(void)clock_state(a);
		return 0;
	}
	err = pack(a, source, part, boottime_ns, r, actor, actor ? actor->session : session);
	if (err)
		a->dropped[LOSS_RECORD]++;
	return err;
}

void tell_session_started(struct attribute *a, struct session *s, struct actor *first,
			  uint64_t boottime_ns)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	r.body_case = AFFIANT__V1__RECORD__BODY_SESSION_STARTED;
	r.session_started = s->head->session_started;
	if (!tell(a, s->source, PART_SESSION_STARTED, boottime_ns, &r, first, s))
		s->told = true;
}

void tell_session_ended(struct attribute *a, struct session *s, uint64_t source,
			uint64_t boottime_ns, struct actor *last,
			Affiant__V1__SessionEndReason reason)
{
	Affiant__V1__SessionEnded body = AFFIANT__V1__SESSION_ENDED__INIT;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	fold_end(a, s, boottime_ns);
	SET(&body, reason, reason);
	SET(&body, processes, s->processes);
	SET(&body, connections, s->connections);
	SET(&body, execs, s->execs);
	if (s->has_status && reason == AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT)
		SET(&body, status, s->status);
	r.body_case = AFFIANT__V1__RECORD__BODY_SESSION_ENDED;
	r.session_ended = &body;
	(void)tell(a, source, PART_SESSION_ENDED, boottime_ns, &r, last, s);
}
