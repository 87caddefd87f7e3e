/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/power.h"
#include "collect/price.h"
#include "collect/untagged.h"

/* ---- who acts ---- */

static void set_identity(struct actor *actor, const struct event_header *h)
{
	actor->key = (struct process_key){.start = h->actor.start_boottime,
					  .tgid = h->actor.tgid,
					  .exec_seq = h->actor.exec_seq};
}

/* The lineage of @parent's children, a new reference. NULL: no memory. */
static struct lineage *offspring_of(struct process *parent)
{
	if (!parent->offspring)
		parent->offspring = lineage_new(parent->actor);
	return parent->offspring ? lineage_ref(parent->offspring) : NULL;
}

/*
 * Enters a process. @image and @lineage (NULL: it has no forebears in the session) are taken over,
 * also on failure.
 */
static struct process *enter(struct attribute *a, const struct event_header *h, struct session *s,
			     struct image *image, struct lineage *lineage)
{
	struct actor *actor = image ? actor_new(&a->table, s, image) : NULL;

	image_unref(image);
	if (!actor) {
		lineage_unref(lineage);
		return NULL;
	}
	set_identity(actor, h);
	actor->lineage = lineage;
	return process_new(&a->table, actor);
}

/* The same process with another image, which is taken over. */
static struct actor *become(struct attribute *a, struct process *p, const struct event_header *h,
			    struct image *image)
{
	struct actor *actor = image ? actor_new(&a->table, p->actor->session, image) : NULL;

	image_unref(image);
	if (!actor)
		return NULL;
	set_identity(actor, h);
	actor->parent = p->actor->parent;
	actor->lineage = p->actor->lineage ? lineage_ref(p->actor->lineage) : NULL;
	process_set_actor(p, actor);
	return actor;
}

/*
 * It is something else by now than was heard of, if so: the exec that made it so was lost. @h has
 * the process's key.
 */
static void catch_up(struct attribute *a, struct process *p, const struct event_header *h)
{
	if ((int32_t)(h->actor.exec_seq - p->actor->key.exec_seq) <= 0)
		return;
	power_missed(p->actor->session);
	(void)become(a, p, h, image_unknown(&a->table));
}

struct actor *attribute_actor(struct attribute *a, const struct event_header *h)
{
	struct process *p = process_find(&a->table, h->actor.tgid, h->actor.start_boottime);
	struct session *s;

	if (!p) {
		s = session_of(a, h, NULL);
		p = s ? enter(a, h, s, image_unknown(&a->table), lineage_unknown()) : NULL;
		if (!p)
			return NULL;
		power_missed(s);
		session_begin(a, p->actor, h->boottime_ns);
	} else {
		catch_up(a, p, h);
	}
	return p->actor;
}

struct actor *attribute_foreign(struct attribute *a, const struct event_connect *e)
{
	struct session *s = session_of_opener(a, &e->header, e->opener.session);
	struct image *image = s ? image_unknown(&a->table) : NULL;
	struct actor *actor = image ? actor_new(&a->table, s, image) : NULL;

	image_unref(image);
	if (!actor)
		return NULL;
	set_identity(actor, &e->header);
	actor->lineage = lineage_unknown();
	/* The last trace of a session that nobody knows: nothing else will end it. */
	if (!s->told && !s->live && !s->ended_wall_ns) {
		session_begin(a, actor, e->header.boottime_ns);
		session_finish(a, s, &e->header, actor,
			       AFFIANT__V1__SESSION_END_REASON__END_UNKNOWN);
	}
	return actor;
}

/* ---- what they do ---- */

/*
 * Asks for the image's digests; what is not there at once is awaited. Nobody saw what a process
 * executed that ran already: mm->exe_file is what it made of it (PR_SET_MM_MAP), so there is
 * nothing to be hashed.
 */
static void complete(struct attribute *a, const struct event_exec *e, struct image *i,
		     struct session *s)
{
	static const struct file_digest claimed = {.state = HASH_STATE_CLAIMED};

	if (!i->session)
		i->session = session_ref(s);
	if (e->header.type == EVENT_ADOPT)
		image_set_digest(i, IMAGE_EXE, &claimed);
	else if (a->config.enrich && a->config.hashes && !a->config.hashes(a->config.data, s))
		enrich_disabled(a->config.enrich, e, i);
	else if (a->config.enrich)
		enrich_image(a->config.enrich, e, i, s->key);
	if (!i->draft)
		return;
	if (!i->awaited || !a->config.enrich) {
		attribute_image_ready(a, i);
		return;
	}
	i->deadline_ns = a->now_ns + a->config.digest_wait_ns;
	i->queued = true;
	image_ref(i);
	DL_APPEND(a->table.drafts, i);
}

static struct image *image_of(struct attribute *a, const struct event_exec *e)
{
	static const struct image_context none = {.argv_max = EVENT_ARGV_MAX};

	return image_from_exec(&a->table, e,
			       a->config.enrich ? enrich_image_context(a->config.enrich) : &none);
}

/* All that is known of the forebears is the parent's id. */
static struct lineage *lineage_of_lost(const struct event_fork *e)
{
	struct lineage *l = lineage_unknown();

	if (l)
		l->up[l->count++].key =
			(struct process_key){e->parent_start, e->parent_tgid, e->parent_exec_seq};
	return l;
}

/* What it may have become is known when it acts; the parent's own exec was lost then. */
static void catch_up_parent(struct attribute *a, struct process *parent,
			    const struct event_header *h, uint32_t exec_seq)
{
	struct event_header of_parent = *h;

	of_parent.actor.tgid = parent->key.tgid;
	of_parent.actor.start_boottime = parent->key.start;
	of_parent.actor.exec_seq = exec_seq;
	catch_up(a, parent, &of_parent);
}

int process_fork(struct attribute *a, const struct event_fork *e)
{
	struct process *parent = process_find(&a->table, e->parent_tgid, e->parent_start), *p;
	struct session *s;

	if (parent)
		catch_up_parent(a, parent, &e->header, e->parent_exec_seq);
	if (process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime))
		return 0;
	s = parent ? parent->actor->session : session_of(a, &e->header, NULL);
	if (!s)
		return -ENOMEM;
	if (parent)
		p = enter(a, &e->header, s, image_ref(parent->actor->image), offspring_of(parent));
	else
		p = enter(a, &e->header, s, image_unknown(&a->table), lineage_of_lost(e));
	if (!p)
		return -ENOMEM;
	p->actor->parent =
		(struct process_key){e->parent_start, e->parent_tgid, e->parent_exec_seq};
	session_begin(a, p->actor, e->header.boottime_ns);
	return 0;
}

static void name_untagged(struct attribute *a, const struct event_untagged *e,
			  const struct session *s)
{
	const struct untagged_process p = {
		.key = {e->header.actor.start_boottime, e->header.actor.tgid,
			e->header.actor.exec_seq},
		.parent = {e->parent_start, e->parent_tgid, e->parent_exec_seq},
		.session = s->id,
	};

	untagged_add(a, &p);
}

/* Beyond so many they are not kept, but named and counted like the others. */
#define UNTAGGED_KEPT_MAX 16384

int process_untagged(struct attribute *a, const struct event_untagged *e)
{
	struct process *parent = process_find(&a->table, e->parent_tgid, e->parent_start);
	struct process *p =
		process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime);
	struct session *s =
		p ? p->actor->session : session_of(a, &e->header, &e->selector);

	if (!s)
		return -ENOMEM;
	if (parent && parent->actor->session != s)
		parent = NULL;
	if (parent)
		catch_up_parent(a, parent, &e->header, e->parent_exec_seq);
	untagged_mark(s);
	name_untagged(a, e, s);
	/* A session of which nothing else is known has to have somebody whose exit ends it. */
	if (p || (s->live && a->table.untagged >= UNTAGGED_KEPT_MAX))
		return 0;
	if (parent)
		p = enter(a, &e->header, s, image_ref(parent->actor->image), offspring_of(parent));
	else
		p = enter(a, &e->header, s, image_unknown(&a->table), lineage_unknown());
	if (!p)
		return -ENOMEM;
	p->actor->parent =
		(struct process_key){e->parent_start, e->parent_tgid, e->parent_exec_seq};
	process_set_untagged(&a->table, p, true);
	session_begin(a, p->actor, e->header.boottime_ns);
	return 0;
}

static void tell_exec(struct attribute *a, const struct event_exec *e, struct actor *actor)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Exec body = AFFIANT__V1__EXEC__INIT;
	struct exec_strings x;

	exec_strings(e, &x);
	if (x.filename_len)
		SET(&body, filename, pb_bytes(x.filename, x.filename_len));
	if (x.interp_len)
		SET(&body, interpreter, pb_bytes(x.interp, x.interp_len));
	r.body_case = AFFIANT__V1__RECORD__BODY_EXEC;
	r.exec = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, actor, NULL);
}

/* The kernel says who its parent is now, which changes when the one that forked it exits. */
static void set_parent(struct attribute *a, struct actor *actor, const struct event_exec *e)
{
	const struct process *parent;

	if (actor->parent.tgid == e->parent_tgid && actor->parent.start == e->parent_start)
		return;
	parent = process_find(&a->table, e->parent_tgid, e->parent_start);
	actor->parent = (struct process_key){e->parent_start, e->parent_tgid,
					     parent ? parent->actor->key.exec_seq : 0};
}

/* @actor has the image @i from now on. */
static void begin_image(struct attribute *a, const struct event_exec *e, struct actor *actor,
			struct image *i)
{
	set_parent(a, actor, e);
	i->weight = price_image(e);
	if (a->config.entered)
		a->config.entered(a->config.data, e);
	session_begin(a, actor, e->header.boottime_ns);
	if (e->header.type == EVENT_EXEC) {
		actor->session->execs++;
		if (!fold_exec(a, actor, e))
			tell_exec(a, e, actor);
	}
	complete(a, e, i, actor->session);
}

/* A process becomes another image: the same process, a new actor. */
int process_exec(struct attribute *a, const struct event_exec *e)
{
	struct process *p =
		process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime);
	struct session *s = p ? p->actor->session : session_of(a, &e->header, &e->selector);
	struct image *i = s ? image_of(a, e) : NULL;

	if (!i)
		return -ENOMEM;
	power_executed(a, e, p ? p->actor->image : NULL, i, s);
	if (p)
		process_set_untagged(&a->table, p, false);
	if (p) {
		p = become(a, p, &e->header, image_ref(i)) ? p : NULL;
	} else {
		/*
		 * One that a selector took has no forebears in the session; another's fork was
		 * lost.
		 */
		p = enter(a, &e->header, s, image_ref(i),
			  e->flags & EXEC_SELECTED ? NULL : lineage_unknown());
	}
	if (p)
		begin_image(a, e, p->actor, i);
	image_unref(i);
	return p ? 0 : -ENOMEM;
}

/* Nothing is news in it: it is known already, or became something else since. */
static bool is_known_already(const struct process *p, const struct event_exec *e)
{
	int32_t ahead = e->header.actor.exec_seq - p->actor->key.exec_seq;

	/* What one without a tag executed nobody saw. */
	return ahead < 0 || (p->actor->image->known && !ahead) || (ahead && !p->untagged);
}

/* Who was left without a tag has one again, and executed nothing meanwhile. */
static int tagged_again(struct attribute *a, struct process *p, const struct event_exec *e)
{
	process_set_untagged(&a->table, p, false);
	if (a->config.entered)
		a->config.entered(a->config.data, e);
	if (!become(a, p, &e->header, image_ref(p->actor->image)))
		return -ENOMEM;
	p->actor->late = true;
	return 0;
}

static int adopt_known(struct attribute *a, struct process *p, const struct event_exec *e,
		       struct image *i, struct lineage *lineage)
{
	bool keeps_lineage = p->untagged && !lineage; /* its parent is gone, or outside by now */

	process_set_untagged(&a->table, p, false);
	if (!become(a, p, &e->header, image_ref(i))) {
		lineage_unref(lineage);
		return -ENOMEM;
	}
	if (keeps_lineage)
		return 0;
	lineage_unref(p->actor->lineage);
	p->actor->lineage = lineage;
	return 0;
}

/*
 * An existing process was tagged. It may have acted already, between the tag and this word of it:
 * then it is known, but not what it is.
 */
int process_adopt(struct attribute *a, const struct event_exec *e)
{
	struct process *p =
		process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime);
	struct process *parent = process_find(&a->table, e->parent_tgid, e->parent_start);
	struct lineage *lineage;
	struct session *s;
	struct image *i;

	if (p && is_known_already(p, e))
		return p->untagged ? tagged_again(a, p, e) : 0;
	s = p ? p->actor->session : session_of(a, &e->header, &e->selector);
	i = s ? image_of(a, e) : NULL;
	if (!i)
		return -ENOMEM;
	power_executed(a, e, NULL, i, s);
	lineage =
		parent && parent != p && parent->actor->session == s ? offspring_of(parent) : NULL;
	if (p)
		p = adopt_known(a, p, e, i, lineage) ? NULL : p;
	else
		p = enter(a, &e->header, s, image_ref(i), lineage);
	if (p)
		begin_image(a, e, p->actor, i);
	image_unref(i);
	return p ? 0 : -ENOMEM;
}

/* @status NULL: it can't be known any more. */
static void leave(struct attribute *a, struct process *p, const struct event_header *h,
		  const int32_t *status)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Exit body = AFFIANT__V1__EXIT__INIT;
	struct actor *actor = actor_ref(p->actor);
	struct session *s = actor->session;

	if (status)
		SET(&body, status, *status);
	if (status && h->boottime_ns > p->key.start)
		SET(&body, lifetime_ns, h->boottime_ns - p->key.start);
	if (status && s->has_first && s->first.tgid == p->key.tgid &&
	    s->first.start == p->key.start) {
		s->has_status = true;
		s->status = *status;
	}
	r.body_case = AFFIANT__V1__RECORD__BODY_EXIT;
	r.exit = &body;
	if (!fold_exit(a, actor, h->boottime_ns))
		(void)tell(a, event_source(h), PART_MAIN, h->boottime_ns, &r, actor, NULL);

	process_remove(&a->table, p);
	session_left(a, s, h, actor);
	actor_unref(actor);
}

int process_exit(struct attribute *a, const struct event_exit *e)
{
	if (!attribute_actor(a, &e->header))
		return -ENOMEM;
	leave(a, process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime),
	      &e->header, &e->status);
	return 0;
}

void process_gone(struct attribute *a, const struct event_header *h, const uint8_t *note,
		  size_t len)
{
	Affiant__V1__NoteGone *m = affiant__v1__note_gone__unpack(NULL, len, note);
	struct process *p;

	if (!m)
		return;
	p = process_find(&a->table, m->tgid, m->start_boottime_ns);
	affiant__v1__note_gone__free_unpacked(m, NULL);
	if (p)
		leave(a, p, h, NULL);
}

void process_met(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteMet *m = affiant__v1__note_met__unpack(NULL, len, note);
	struct event_header met = *h;

	if (!m)
		return;
	met.actor = (struct event_actor){
		.session = m->session,
		.start_boottime = m->start_boottime_ns,
		.tgid = m->tgid,
		.exec_seq = m->exec_seq,
		.task = m->task,
		.flags = m->flags,
	};
	met.selector = m->flags & TAG_SELECTED ? m->selector + 1 : 0;
	affiant__v1__note_met__free_unpacked(m, NULL);
	if (met.actor.session && met.actor.tgid && met.actor.start_boottime)
		(void)attribute_actor(a, &met);
}
