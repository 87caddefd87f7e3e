/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that listen, and those that another program refused. */
#include "pipeline_session.h"

static struct event_listen listen_event(struct pipeline *p, const struct proc *by)
{
	struct event_listen e = {
		.cookie = 77,
		.local = {.family = AF_INET, .port = 8080, .bytes = {127, 0, 0, 1}},
		.uid = 1000,
		.gid = 1001,
		.sock_type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
	};

	head_fill(p, &e.header, 2, EVENT_LISTEN, sizeof(e), by);
	e.opener = e.header.actor;
	return e;
}

static void tells_where_it_listens(void **state)
{
	struct fixture *f = *state;
	struct event_listen e = listen_event(f->p, &f->run);
	const Affiant__V1__Record *r;

	give(f->p, &e);
	r = NEXT(f->p, PART_MAIN, LISTENING);
	assert_int_equal(r->process->id->tgid, 100);
	assert_int_equal(r->listening->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP);
	assert_int_equal(r->listening->local->port, 8080);
	assert_memory_equal(r->listening->local->address.data, "\x7f\x00\x00\x01", 4);
	assert_int_equal(r->listening->cookie, 77);
	assert_int_equal(r->listening->uid, 1000);
	assert_int_equal(r->listening->gid, 1001);
	assert_null(r->listening->opener);
	/* Once, however often the journal is read. */
	assert_int_equal(attribute_event(f->p->attribute, &e.header), 0);
	no_more(f->p);
}

static void names_who_made_the_socket(void **state)
{
	struct fixture *f = *state;
	struct proc child = do_fork(f->p, &f->run, 101);
	struct event_listen e;
	const Affiant__V1__Opener *opener;

	skip_all(f->p);
	e = listen_event(f->p, &child);
	e.opener = (struct event_actor){.session = f->run.session,
					.start_boottime = f->run.start,
					.tgid = f->run.tgid,
					.exec_seq = f->run.exec_seq};
	give(f->p, &e);
	opener = NEXT(f->p, PART_MAIN, LISTENING)->listening->opener;
	assert_non_null(opener);
	assert_int_equal(opener->process->tgid, 100);
	assert_int_equal(opener->session.len, UUID_SIZE);
	/* It was there before, or came from elsewhere. */
	e = listen_event(f->p, &child);
	memset(&e.opener, 0, sizeof(e.opener));
	give(f->p, &e);
	opener = NEXT(f->p, PART_MAIN, LISTENING)->listening->opener;
	assert_non_null(opener);
	assert_true(opener->unknown);
}

static void zero_is_no_port(void **state)
{
	struct fixture *f = *state;
	struct event_listen e = listen_event(f->p, &f->run);
	const Affiant__V1__Endpoint *local;

	e.local = (struct event_address){.family = AF_INET6};
	give(f->p, &e);
	local = NEXT(f->p, PART_MAIN, LISTENING)->listening->local;
	assert_non_null(local);
	assert_int_equal(local->address.len, 16);
	assert_false(local->has_port);
}

static void tells_a_refused_socket(void **state)
{
	struct fixture *f = *state;
	struct event_untracked e = {.cookie = 5,
				    .family = AF_INET,
				    .sock_type = SOCK_STREAM,
				    .protocol = IPPROTO_TCP,
				    .flags = CONNECT_DENIED};
	const Affiant__V1__UntrackedSocket *m;

	head_fill(f->p, &e.header, 1, EVENT_UNTRACKED, sizeof(e), &f->run);
	give(f->p, &e);
	m = NEXT(f->p, PART_MAIN, UNTRACKED_SOCKET)->untracked_socket;
	assert_int_equal(m->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP);
	assert_true(m->denied && !m->has_denied_unsure);
	e.flags = CONNECT_BEHIND;
	head_fill(f->p, &e.header, 1, EVENT_UNTRACKED, sizeof(e), &f->run);
	give(f->p, &e);
	m = NEXT(f->p, PART_MAIN, UNTRACKED_SOCKET)->untracked_socket;
	assert_true(!m->has_denied && m->denied_unsure);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tells_where_it_listens),
		TEST(names_who_made_the_socket),
		TEST(zero_is_no_port),
		TEST(tells_a_refused_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
