/* SPDX-License-Identifier: Apache-2.0 */
/* What a session does past its budget is counted, and with its records adds up to what it did. */
#include "pipeline.h"

#include "collect/fold.h"
#include "collect/price.h"
#include "record/folded.h"

#define LEDGER (256 << 10) /* a bucket of 64 KiB, 48 KiB for a session */

static struct pipeline *limited(uint64_t state_bytes)
{
	Affiant__V1__NoteFold m = AFFIANT__V1__NOTE_FOLD__INIT;
	struct pipeline *p = pipeline_new();

	SET(&m, state_bytes, state_bytes);
	do_note(p, NOTE_FOLD, &m.base);
	return p;
}

/* As the daemon's turn does it. */
static bool look(struct pipeline *p, uint64_t after)
{
	Affiant__V1__NoteFold *m;

	p->now += after;
	m = fold_due(p->attribute, p->now);
	if (!m)
		return false;
	do_note(p, NOTE_FOLD, &m->base);
	affiant__v1__note_fold__free_unpacked(m, NULL);
	return true;
}

static struct event_connect udp_to(struct pipeline *p, const struct proc *by, uint32_t host)
{
	struct event_connect e = connect_event(p, by, IPPROTO_UDP, 53);

	e.flags |= CONNECT_SENDMSG; /* a connect would wait for its failure */
	e.reached.bytes[1] = host >> 16;
	e.reached.bytes[2] = host >> 8;
	e.reached.bytes[3] = host;
	give(p, &e);
	return e;
}

/* Counts of all Folded records of @key's session, by kind, without what was counted before. */
static uint64_t folded(const struct pipeline *p, Affiant__V1__FoldedKind kind)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->count; i++)
		if (p->records[i].r->body_case == AFFIANT__V1__RECORD__BODY_FOLDED)
			sum += folded_count(p->records[i].r->folded, kind);
	return sum;
}

static uint64_t told(const struct pipeline *p, Affiant__V1__Record__BodyCase body)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->count; i++)
		n += p->records[i].r->body_case == body;
	return n;
}

#define TOLD(p, body) told(p, AFFIANT__V1__RECORD__BODY_##body)

static const Affiant__V1__Record *last_folded(const struct pipeline *p)
{
	for (size_t i = p->count; i--;)
		if (p->records[i].r->body_case == AFFIANT__V1__RECORD__BODY_FOLDED)
			return p->records[i].r;
	fail_msg("no Folded record");
	return NULL;
}

static void use_up(struct pipeline *p, const struct proc *by)
{
	for (uint32_t i = 0; !HASH_COUNT(p->attribute->folding); i++)
		udp_to(p, by, 7);
}

static void without_a_limit_everything_is_told(void **state)
{
	struct pipeline *p = pipeline_new();
	struct proc run = begin_session(p, 100, 50);

	(void)state;
	for (uint32_t i = 0; i < 3000; i++)
		udp_to(p, &run, i);
	assert_int_equal(TOLD(p, CONNECT), 3000);
	assert_false(look(p, S));
	assert_null(p->attribute->folding);
	pipeline_free(p);
}

static void a_flood_is_counted(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50), other;
	const Affiant__V1__Record *r;
	const Affiant__V1__Folded *f;

	(void)state;
	for (uint32_t i = 0; i < 3000; i++)
		udp_to(p, &run, i);
	assert_in_range(TOLD(p, CONNECT), 20, 150);
	assert_int_equal(TOLD(p, FOLDED), 0);
	assert_true(look(p, S));
	r = last_folded(p);
	f = r->folded;
	assert_int_equal(TOLD(p, CONNECT) + folded(p, FOLD_KIND(CONNECT)), 3000);
	assert_int_equal(folded_total(f), folded(p, FOLD_KIND(CONNECT)));
	assert_true(r->session->folded);
	assert_null(r->process);
	assert_string_equal(r->agent->name, "research");
	assert_true(f->from_boottime_ns < f->to_boottime_ns && f->to_boottime_ns < r->boottime_ns);
	/* Each was new: 512 are named, and the rest is others. */
	assert_int_equal(f->n_first, FOLD_FIRST_MAX);
	assert_int_equal(f->n_busiest, FOLD_BUSIEST_MAX);
	assert_int_equal(f->n_others, 1);
	assert_int_equal(f->others[0]->kind, FOLD_KIND(CONNECT));
	assert_int_equal(f->others[0]->distinct, f->others[0]->count);
	assert_false(f->others[0]->distinct_at_least);
	assert_false(f->first_unsure);
	assert_int_equal(f->first[0]->count, 1);
	assert_int_equal(f->first[0]->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UDP);
	assert_int_equal(f->first[0]->outcome, AFFIANT__V1__OUTCOME__ATTEMPTED);
	assert_int_equal(f->first[0]->destination->port, 53);
	/* Another agent's records are what they were. */
	do_session(p, 200, "quiet");
	other = (struct proc){.session = 200, .start = p->now, .tgid = 60, .exec_seq = 1};
	skip_all(p);
	do_exec(p, &other, NULL, "/usr/bin/agent");
	udp_to(p, &other, 1);
	NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	r = NEXT(p, PART_MAIN, EXEC);
	assert_false(r->session->has_folded);
	NEXT(p, PART_MAIN, CONNECT);
	no_more(p);
	pipeline_free(p);
}

/* What a record has named is not new any more; what was left out is, the next time. */
static void names_each_destination_once(void **state)
{
	struct pipeline *p = limited(16 * LEDGER);
	struct proc run = begin_session(p, 100, 50);

	(void)state;
	use_up(p, &run);
	for (uint32_t i = 0; i < 600; i++)
		udp_to(p, &run, i);
	look(p, S);
	/* The one that used the budget up is named by Connect records. */
	assert_int_equal(last_folded(p)->folded->n_first, 512);
	for (uint32_t i = 0; i < 600; i++)
		udp_to(p, &run, i);
	look(p, S);
	assert_int_equal(last_folded(p)->folded->n_first, 600 - 512 - 1);
	assert_int_equal(last_folded(p)->folded->n_busiest, 64);
	for (uint32_t i = 0; i < 600; i++)
		udp_to(p, &run, i);
	look(p, S);
	assert_int_equal(last_folded(p)->folded->n_first, 0);
	pipeline_free(p);
}

static void the_busiest_are_named(void **state)
{
	struct pipeline *p = limited(16 * LEDGER);
	struct proc run = begin_session(p, 100, 50);
	const Affiant__V1__Folded *f;
	uint64_t sum = 0;

	(void)state;
	use_up(p, &run);
	look(p, S);
	for (uint32_t i = 0; i < 400; i++)
		udp_to(p, &run, i);
	look(p, S);
	for (uint32_t i = 0; i < 200; i++)
		for (uint32_t n = 0; n < (i < 64 ? 2 + i : 1); n++)
			udp_to(p, &run, 199 - i);
	look(p, S);
	f = last_folded(p)->folded;
	assert_int_equal(f->n_first, 0);
	assert_int_equal(f->n_busiest, 64);
	assert_int_equal(f->busiest[0]->count, 65);
	assert_int_equal(f->busiest[63]->count, 2);
	assert_int_equal(f->busiest[0]->destination->address.data[3], 199 - 63);
	for (size_t i = 0; i < 64; i++)
		sum += f->busiest[i]->count;
	assert_int_equal(f->others[0]->count, 136);
	assert_int_equal(f->others[0]->distinct, 136);
	assert_int_equal(sum + 136, folded_total(f));
	pipeline_free(p);
}

/* ---- connections across windows ---- */

static void outcomes_follow_their_attempts(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	struct event_connect told_one = do_connect(p, &run, 79), one, two, three;
	const Affiant__V1__Folded *f;

	(void)state;
	use_up(p, &run);
	one = do_connect(p, &run, 80);
	two = do_connect(p, &run, 81);
	three = do_connect(p, &run, 82);
	do_outcome(p, &one, 0);
	do_outcome(p, &two, ECONNREFUSED);
	skip_all(p);
	/* That it was told has to be completed. */
	do_outcome(p, &told_one, 0);
	assert_int_equal(NEXT(p, PART_OUTCOME, CONNECT)->connect->reached->port, 79);
	/* Nothing pends of what is folded. */
	attribute_tick(p->attribute, p->now + 10 * S);
	no_more(p);
	assert_true(look(p, S));
	f = last_folded(p)->folded;
	assert_int_equal(f->n_first, 3);
	assert_int_equal(f->first[0]->destination->port, 82);
	assert_int_equal(f->first[0]->outcome, AFFIANT__V1__OUTCOME__PENDING);
	assert_int_equal(f->first[1]->destination->port, 80);
	assert_int_equal(f->first[1]->outcome, AFFIANT__V1__OUTCOME__ESTABLISHED);
	assert_int_equal(f->first[2]->destination->port, 81);
	assert_int_equal(f->first[2]->outcome, AFFIANT__V1__OUTCOME__REFUSED);
	/* The third's outcome comes in another window: it was counted before. */
	do_outcome(p, &three, 0);
	do_close(p, &three);
	do_close(p, &one);
	assert_true(look(p, S));
	f = last_folded(p)->folded;
	assert_int_equal(f->n_first, 0);
	assert_int_equal(f->n_busiest, 3);
	assert_int_equal(f->busiest[0]->outcome, AFFIANT__V1__OUTCOME__ESTABLISHED);
	assert_int_equal(f->busiest[0]->again, 1);
	assert_int_equal(f->busiest[1]->kind, FOLD_KIND(CLOSE));
	assert_int_equal(f->busiest[1]->bytes_sent, 100);
	assert_int_equal(f->busiest[1]->bytes_received, 200);
	assert_int_equal(folded_count(f, FOLD_KIND(CONNECT)), 0);
	assert_int_equal(folded_count(f, FOLD_KIND(CLOSE)), 2);
	assert_int_equal(TOLD(p, CONNECT) + folded(p, FOLD_KIND(CONNECT)),
			 session_find(&p->attribute->table, 100)->connections);
	/* Of one that is told the end is told or not by the rule of then. */
	skip_all(p);
	do_close(p, &told_one);
	no_more(p);
	pipeline_free(p);
}

static void a_session_s_end_tells_what_is_counted(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	struct event_connect late;
	const Affiant__V1__Record *r;

	(void)state;
	use_up(p, &run);
	late = do_connect(p, &run, 80);
	skip_all(p);
	do_exit(p, &run, 0);
	r = next_part(p, PART_FOLDED, AFFIANT__V1__RECORD__BODY_FOLDED);
	assert_int_equal(folded_count(r->folded, FOLD_KIND(EXIT)), 1);
	assert_int_equal(folded_count(r->folded, FOLD_KIND(CONNECT)), 2);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(p);
	/* Its sockets end after it. */
	do_close(p, &late);
	assert_true(look(p, S));
	r = next_part(p, PART_FOLDED + 1, AFFIANT__V1__RECORD__BODY_FOLDED);
	assert_int_equal(folded_count(r->folded, FOLD_KIND(CONNECT)), 0);
	assert_int_equal(folded_count(r->folded, FOLD_KIND(CLOSE)), 1);
	no_more(p);
	assert_null(p->attribute->folding);
	pipeline_free(p);
}

static void ended_by_a_note_and_by_a_reboot(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	Affiant__V1__NoteEnd end = AFFIANT__V1__NOTE_END__INIT;

	(void)state;
	use_up(p, &run);
	skip_all(p);
	SET(&end, key, 100);
	do_note(p, NOTE_END, &end.base);
	next_part(p, PART_FOLDED, AFFIANT__V1__RECORD__BODY_FOLDED);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	udp_to(p, &run, 9);
	no_more(p);
	attribute_finish(p->attribute, true);
	next_part(p, PART_FOLDED + 1, AFFIANT__V1__RECORD__BODY_FOLDED);
	no_more(p);
	pipeline_free(p);
}

/* ---- what is told longer ---- */

static void a_first_run_is_told_on_credit(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50), child;
	union exec_buffer b;
	const Affiant__V1__Folded *f;
	char exe[64];
	uint64_t execs;

	(void)state;
	use_up(p, &run);
	child = do_fork(p, &run, 51);
	skip_all(p);
	do_exec(p, &child, &run, "/bin/new");
	NEXT(p, PART_MAIN, EXEC);
	do_exec(p, &child, &run, "/bin/new");
	do_exec(p, &child, &run, "/usr/bin/agent");
	no_more(p);
	/* The same name, another file. */
	child.exec_seq++;
	exec_fill(p, &b, EVENT_EXEC, &child, &run, "/bin/new");
	b.e.exe.ctime_ns = 1;
	give(p, &b);
	NEXT(p, PART_MAIN, EXEC);
	/* Another user's power: never for ordinary. */
	child.exec_seq++;
	exec_fill(p, &b, EVENT_EXEC, &child, &run, "/bin/new");
	b.e.flags |= EXEC_SETUID;
	give(p, &b);
	NEXT(p, PART_MAIN, EXEC);
	/* A script, by its interpreter, that ran before. */
	child.exec_seq++;
	exec_fill(p, &b, EVENT_EXEC, &child, &run, "/bin/new");
	b.e.data[b.e.exe_len + b.e.cwd_len] = 'X';
	give(p, &b);
	NEXT(p, PART_MAIN, EXEC);
	no_more(p);
	assert_int_equal(session_find(&p->attribute->table, 100)->execs, 7);
	/* Until a quarter of the bucket is owed; then they are named, as long as there is room. */
	for (int i = 0; i < 200; i++) {
		snprintf(exe, sizeof(exe), "/tmp/made/%d", i);
		do_exec(p, &child, &run, exe);
	}
	execs = TOLD(p, EXEC);
	assert_in_range(execs, 5 + 5, 5 + 40);
	look(p, 3600 * S);
	assert_int_equal(TOLD(p, EXEC) + folded(p, FOLD_KIND(EXEC)), 207);
	f = last_folded(p)->folded;
	assert_true(f->n_first > 10);
	assert_int_equal(f->first[f->n_first - 1]->kind, FOLD_KIND(EXEC));
	assert_memory_equal(f->first[f->n_first - 1]->path.data, "/tmp/made/", 10);
	/* What ran before is no news. */
	for (size_t i = 0; i < f->n_first; i++)
		assert_false(f->first[i]->path.len == 8);
	pipeline_free(p);
}

static void other_sessions_sockets_are_told_on_credit(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50), other;
	struct event_connect e;
	const Affiant__V1__Record *r;

	(void)state;
	do_session(p, 200, "quiet");
	other = (struct proc){.session = 200, .start = p->now, .tgid = 60, .exec_seq = 1};
	do_exec(p, &other, NULL, "/usr/bin/agent");
	use_up(p, &run);
	skip_all(p);
	e = connect_event(p, &run, IPPROTO_UDP, 99);
	e.flags |= CONNECT_SENDMSG;
	e.opener.session = 200;
	e.opener.tgid = 60;
	e.opener.start_boottime = other.start;
	give(p, &e);
	r = NEXT(p, PART_MAIN, CONNECT);
	assert_int_equal(r->connect->opener->process->tgid, 60);
	e = connect_event(p, &run, IPPROTO_UDP, 99);
	e.flags |= CONNECT_SENDMSG;
	e.header.actor = (struct event_actor){.tgid = 7, .start_boottime = 7, .exec_seq = 7};
	e.flags |= CONNECT_FOREIGN;
	give(p, &e);
	assert_true(NEXT(p, PART_MAIN, CONNECT)->connect->foreign);
	no_more(p);
	pipeline_free(p);
}

static void unix_untracked_and_listening(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	struct event_unix x = {.path_len = 5, .path = "\0name", .flags = CONNECT_OPENER};
	struct event_untracked u = {.family = 16, .sock_type = SOCK_RAW, .protocol = 9};
	struct event_listen l = {.local = {.family = AF_INET6, .port = 443},
				 .sock_type = SOCK_STREAM,
				 .protocol = IPPROTO_TCP};
	const Affiant__V1__Folded *f;
	struct process *process;

	(void)state;
	use_up(p, &run);
	look(p, S);
	skip_all(p);
	for (int i = 0; i < 3; i++) {
		head_fill(p, &x.header, 1, EVENT_UNIX, sizeof(x), &run);
		x.connection = event_source(&x.header);
		x.opener = x.header.actor;
		give(p, &x);
		head_fill(p, &u.header, 1, EVENT_UNTRACKED, sizeof(u), &run);
		give(p, &u);
	}
	process = process_find(&p->attribute->table, run.tgid, run.start);
	/* On credit, for a while. */
	for (int i = 0; i < 100; i++) {
		head_fill(p, &l.header, 1, EVENT_LISTEN, sizeof(l), &run);
		if (fold_listen(p->attribute, process->actor, &l))
			break;
		assert_true(i < 99);
	}
	no_more(p);
	look(p, 3600 * S);
	f = last_folded(p)->folded;
	assert_int_equal(f->n_first, 2);
	assert_int_equal(f->first[0]->destination->path.len, 5);
	assert_memory_equal(f->first[0]->destination->path.data, "\0name", 5);
	assert_int_equal(f->first[0]->count, 3);
	assert_int_equal(f->first[1]->kind, FOLD_KIND(LISTENING));
	assert_int_equal(f->first[1]->destination->port, 443);
	assert_int_equal(f->first[1]->destination->address.len, 16);
	assert_int_equal(f->n_busiest, 1);
	assert_int_equal(f->busiest[0]->kind, FOLD_KIND(UNTRACKED_SOCKET));
	assert_int_equal(f->busiest[0]->family, 16);
	assert_int_equal(f->busiest[0]->type, SOCK_RAW);
	assert_int_equal(f->busiest[0]->protocol_number, 9);
	assert_int_equal(f->busiest[0]->count, 3);
	pipeline_free(p);
}

/* ---- bounds ---- */

static void a_record_holds_what_it_can(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	struct event_unix x = {.path_len = 108, .flags = CONNECT_OPENER};
	const Affiant__V1__Folded *f;

	(void)state;
	memset(x.path, 'x', sizeof(x.path));
	use_up(p, &run);
	look(p, S);
	for (uint32_t i = 0; i < 60000; i++) {
		memcpy(x.path, &i, sizeof(i));
		head_fill(p, &x.header, 1, EVENT_UNIX, sizeof(x), &run);
		x.connection = event_source(&x.header);
		x.opener = x.header.actor;
		give(p, &x);
	}
	assert_true(p->attribute->fold_room->bytes <= FOLD_WINDOW_MAX);
	assert_true(p->attribute->fold_room->bytes > FOLD_WINDOW_MAX / 2);
	look(p, 3600 * S);
	f = last_folded(p)->folded;
	assert_true(p->records[p->count - 1].len < TELL_RECORD_MAX);
	assert_in_range(f->n_first, 250, 512);
	assert_int_equal(f->n_others, 1);
	assert_true(f->others[0]->distinct_at_least);
	assert_true(f->others[0]->distinct < 60000);
	assert_int_equal(folded_count(f, FOLD_KIND(CONNECT)), 60000);
	assert_int_equal(p->attribute->fold_room->bytes, 0);
	pipeline_free(p);
}

/* What was counted without room for its own place stays exact. */
static void outcomes_beyond_the_window_s_room(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	struct event_connect attempts[20];

	(void)state;
	p->attribute->config.connections_max = 100;
	use_up(p, &run);
	for (uint32_t i = 0; i < 30000; i++)
		udp_to(p, &run, i);
	for (int i = 0; i < 20; i++)
		attempts[i] = do_connect(p, &run, 1000 + i);
	for (int i = 0; i < 10; i++)
		do_outcome(p, &attempts[i], i % 2 ? ECONNREFUSED : 0);
	look(p, 3600 * S);
	for (int i = 10; i < 20; i++)
		do_outcome(p, &attempts[i], i % 2 ? ECONNREFUSED : 0);
	look(p, 3600 * S);
	assert_int_equal(TOLD(p, CONNECT) + folded(p, FOLD_KIND(CONNECT)),
			 session_find(&p->attribute->table, 100)->connections);
	pipeline_free(p);
}

static void remembers_no_more_than_it_may(void **state)
{
	struct pipeline *p = limited(64 << 20);
	struct proc run = begin_session(p, 100, 50);
	const struct fold *f;

	(void)state;
	use_up(p, &run);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 512; i++)
			udp_to(p, &run, 1000 + round * 512 + i);
		look(p, S);
	}
	f = session_find(&p->attribute->table, 100)->fold;
	assert_int_equal(f->named.count, FOLD_KEYS_MAX);
	/* It may have been named before, or not: then it is named, and said to be unsure. */
	udp_to(p, &run, 1000 + 20 * 512 - 1);
	look(p, S);
	assert_int_equal(last_folded(p)->folded->n_first, 1);
	assert_true(last_folded(p)->folded->first_unsure);
	pipeline_free(p);
}

/* ---- when ---- */

static void a_second_and_then_longer(void **state)
{
	struct pipeline *p = limited(LEDGER);
	struct proc run = begin_session(p, 100, 50);
	uint64_t records, bytes = 0;

	(void)state;
	use_up(p, &run);
	assert_false(look(p, S / 2));
	assert_true(look(p, S));
	/* All day, new destinations: what is told of them is no more than runs in. */
	for (uint32_t second = 0; second < 86400; second += 5) {
		for (uint32_t i = 0; i < 10; i++)
			udp_to(p, &run, 100 + second * 10 + i);
		look(p, 5 * S);
	}
	records = TOLD(p, FOLDED);
	for (size_t i = 0; i < p->count; i++)
		bytes += p->records[i].len + 40;
	print_message("%llu Folded records, %llu bytes\n", (unsigned long long)records,
		      (unsigned long long)bytes);
	assert_in_range(records, 24, 300);
	assert_true(bytes < LEDGER / 4 + LEDGER / 16 + LEDGER / 8 + LEDGER / 16);
	look(p, 3600 * S);
	assert_int_equal(TOLD(p, CONNECT) + folded(p, FOLD_KIND(CONNECT)),
			 session_find(&p->attribute->table, 100)->connections);
	pipeline_free(p);
}

/* A thousand sessions of an agent at once: what they take together is bounded, too. */
static void many_sessions_at_once(void **state)
{
	struct pipeline *p = limited(1 << 20);
	struct proc runs[1000];
	uint64_t before, bytes = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		runs[i] = begin_session(p, 1000 + i, 5000 + i);
	for (uint32_t i = 0; i < 1000; i++)
		use_up(p, &runs[i]);
	before = p->count;
	for (uint32_t second = 0; second < 3500; second += 50) {
		for (uint32_t i = 0; i < 1000; i++)
			udp_to(p, &runs[i], second);
		while (look(p, 25 * S))
			if (p->now > 1000000 * S)
				break;
	}
	for (size_t i = before; i < p->count; i++)
		bytes += p->records[i].len + 40;
	/* Each has its say once an hour at least. */
	assert_true(bytes < 3 * 1000 * 900);
	pipeline_free(p);
}

/* Records that took more than their events' prices are charged all the same. */
static void what_prices_do_not_know(void **state)
{
	struct pipeline *p = limited(LEDGER * 16);
	struct proc run = begin_session(p, 100, 50);
	struct budget *b = budget_find(&p->attribute->budgets, "research");
	int64_t level;

	(void)state;
	assert_non_null(b);
	assert_false(look(p, S));
	level = b->bucket.level;
	for (int i = 0; i < 100; i++)
		fold_emitted(p->attribute, session_find(&p->attribute->table, 100), 1000);
	assert_true(look(p, S));
	assert_in_range(level - b->bucket.level, 100 * 1000, 100 * 1100);
	assert_false(look(p, S));
	(void)run;
	pipeline_free(p);
}

/* A price is about what the records take. */
static void prices_are_about_right(void **state)
{
	struct pipeline *p = limited(1 << 30);
	struct proc run = begin_session(p, 100, 50), child;
	struct budget *b = budget_find(&p->attribute->budgets, "research");
	uint64_t bytes = 0;
	int64_t before = b->bucket.level;
	size_t from = p->count;

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct event_connect e;

		child = do_fork(p, &run, 1000 + i);
		do_exec(p, &child, &run, "/usr/lib/gcc/x86_64-linux-gnu/12/cc1");
		e = do_connect(p, &child, 80);
		do_outcome(p, &e, 0);
		do_close(p, &e);
		do_exit(p, &child, 0);
	}
	for (size_t i = from; i < p->count; i++)
		bytes += (p->records[i].len + 4 + 32 + 7) / 8 * 8;
	print_message("price %lld, bytes %llu\n", (long long)(before - b->bucket.level),
		      (unsigned long long)bytes);
	assert_in_range(before - b->bucket.level, bytes * 9 / 10, bytes * 3 / 2);
	pipeline_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_limit_everything_is_told),
		cmocka_unit_test(a_flood_is_counted),
		cmocka_unit_test(names_each_destination_once),
		cmocka_unit_test(the_busiest_are_named),
		cmocka_unit_test(outcomes_follow_their_attempts),
		cmocka_unit_test(a_session_s_end_tells_what_is_counted),
		cmocka_unit_test(ended_by_a_note_and_by_a_reboot),
		cmocka_unit_test(a_first_run_is_told_on_credit),
		cmocka_unit_test(other_sessions_sockets_are_told_on_credit),
		cmocka_unit_test(unix_untracked_and_listening),
		cmocka_unit_test(a_record_holds_what_it_can),
		cmocka_unit_test(outcomes_beyond_the_window_s_room),
		cmocka_unit_test(remembers_no_more_than_it_may),
		cmocka_unit_test(a_second_and_then_longer),
		cmocka_unit_test(many_sessions_at_once),
		cmocka_unit_test(what_prices_do_not_know),
		cmocka_unit_test(prices_are_about_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
