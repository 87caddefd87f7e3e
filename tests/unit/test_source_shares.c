// SPDX-License-Identifier: Apache-2.0
/* A session has its share of the tags, and who finds no room is not lost from sight. */
#include "source_bed.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>

#define TAGS 64
#define SHARE SHARE_OF(TAGS)
#define OTHER_SESSION (BED_SESSION + 1)
#define RING (256 << 10)

static void open_small(struct bed *b, struct bed *all)
{
	b->buffer = all->buffer;
	snprintf(b->pin_dir, sizeof(b->pin_dir), "/sys/fs/bpf/affiant-test-share-%d", getpid());
	b->config = (struct source_config){
		.pin_dir = b->pin_dir, .ring_bytes = RING, .max_tags = TAGS};
	bed_open(b);
}

static void close_small(struct bed *b)
{
	int err, tries = 0;

	bed_close(b);
	/* A child that was killed holds the lock of the pins until its files are closed. */
	while ((err = source_uninstall(b->pin_dir, b->why, sizeof(b->why))) == -EBUSY &&
	       tries++ < 1000)
		usleep(10000);
	assert_int_equal(err, 0);
}

static uint32_t held(struct bed *b, uint64_t session)
{
	struct share share = {};

	(void)source_share(b->source, session, &share);
	return share.tags;
}

static uint64_t lost_tags(struct bed *b)
{
	uint64_t losses[LOSS_KINDS], missed;

	assert_int_equal(source_losses(b->source, losses, &missed), 0);
	return losses[LOSS_TAG];
}

static bool has_tag(struct bed *b, pid_t pid)
{
	return source_tag_of(b->source, pid, &(struct tag){}) == 0;
}

static struct actor start_tagged(struct bed *b, uint64_t session, int (*play)(void *), void *data)
{
	struct tag tag = {.session = session, .task = 7};
	struct actor a = actor_start(play, data);

	assert_int_equal(source_tag(b->source, a.pidfd, &tag), 0);
	actor_go(&a);
	return a;
}

/* An actor stops where the test is to look, and goes on. */
static void await_stop(const struct actor *a)
{
	int status;

	assert_int_equal(waitpid(a->pid, &status, WUNTRACED), a->pid);
	assert_true(WIFSTOPPED(status));
}

static void go_on(const struct actor *a)
{
	assert_int_equal(kill(a->pid, SIGCONT), 0);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (true)
			pause();
	}
	return pid;
}

static int end_sleepers(pid_t *pids, int count)
{
	for (int i = 0; i < count; i++)
		if (kill(pids[i], SIGKILL) || waitpid(pids[i], NULL, 0) != pids[i])
			return 1;
	return 0;
}

static int play_crowd(void *data)
{
	int count = *(int *)data;
	pid_t pids[4 * TAGS];

	for (int i = 0; i < count; i++)
		pids[i] = sleeper();
	raise(SIGSTOP);
	return end_sleepers(pids, count);
}

static void a_session_holds_a_quarter(void **state)
{
	struct bed *all = bed_get(state), b = {};
	int many = 40, few = 10;
	struct actor a, other;

	open_small(&b, all);
	a = start_tagged(&b, BED_SESSION, play_crowd, &many);
	await_stop(&a);
	other = start_tagged(&b, OTHER_SESSION, play_crowd, &few);
	await_stop(&other);
	bed_drain(&b);
	assert_int_equal(held(&b, BED_SESSION), SHARE);
	assert_int_equal(held(&b, OTHER_SESSION), few + 1);
	assert_int_equal(bed_count(&b, EVENT_FORK, 0), SHARE - 1 + few);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), many - (SHARE - 1));
	assert_int_equal(lost_tags(&b), many - (SHARE - 1));
	for (int i = 0; i < many - (int)(SHARE - 1); i++) {
		const struct event_untagged *e = bed_find(&b, EVENT_TAG_LOST, 0, i);

		assert_int_equal(e->header.actor.session, BED_SESSION);
		assert_int_equal(e->parent_tgid, a.pid);
		assert_false(has_tag(&b, e->header.actor.tgid));
	}
	assert_true(source_untagged(b.source, BED_SESSION));
	assert_true(source_unseen(b.source, BED_SESSION));
	assert_false(source_untagged(b.source, OTHER_SESSION));
	assert_true(source_any_untagged(b.source));

	go_on(&a), go_on(&other);
	assert_int_equal(actor_wait(&a), 0);
	assert_int_equal(actor_wait(&other), 0);
	bed_drain(&b);
	/* Also of those without a tag, each once. */
	assert_int_equal(bed_count(&b, EVENT_EXIT, 0), many + few + 2);
	assert_int_equal(held(&b, BED_SESSION), 0);
	assert_int_equal(held(&b, OTHER_SESSION), 0);
	assert_int_equal(source_tag_untagged(b.source), 0);
	assert_false(source_any_untagged(b.source));
	close_small(&b);
}

/* No session holds too much, and still there is no room: for all of them alike. */
static void a_full_table_takes_nobody(void **state)
{
	struct bed *all = bed_get(state), b = {};
	struct tag tag = {.session = BED_SESSION + 9};
	int count = SHARE - 1;
	struct actor a[TAGS / SHARE], late;

	open_small(&b, all);
	for (size_t i = 0; i < TAGS / SHARE; i++) {
		a[i] = start_tagged(&b, BED_SESSION + i, play_crowd, &count);
		await_stop(&a[i]);
	}
	assert_int_equal(lost_tags(&b), 0);
	late = actor_start(play_crowd, &count);
	assert_int_equal(source_tag(b.source, late.pidfd, &tag), -ENOSPC);
	assert_int_equal(held(&b, tag.session), 0);
	/* It is told by the answer: nothing was lost. */
	assert_int_equal(lost_tags(&b), 0);
	assert_false(source_any_untagged(b.source));
	for (size_t i = 0; i < TAGS / SHARE; i++) {
		go_on(&a[i]);
		assert_int_equal(actor_wait(&a[i]), 0);
	}
	assert_int_equal(source_tag(b.source, late.pidfd, &tag), 0);
	actor_go(&late);
	await_stop(&late);
	assert_int_equal(held(&b, tag.session), SHARE);
	go_on(&late);
	assert_int_equal(actor_wait(&late), 0);
	close_small(&b);
}

#define GAMES 5 /* a user that nothing runs as */

static int play_crowd_of_games(void *data)
{
	return setresuid(GAMES, GAMES, GAMES) ? 1 : play_crowd(data);
}

static int play_exec_of_games(void *data)
{
	(void)data;
	if (setresuid(GAMES, GAMES, GAMES))
		return 1;
	execl("/bin/sh", "sh", "-c", "kill -STOP $$", (char *)NULL);
	return 2;
}

/* What a selector takes: of what runs already, and at an exec. */
static void a_match_without_room_is_told(void **state)
{
	struct bed *all = bed_get(state), b = {};
	const struct selector selector = {.id = 77, .session = 4711};
	const struct event_untagged *lost;
	int count = SHARE + 1; /* and itself */
	uint32_t left_alone;
	struct actor a, late;

	open_small(&b, all);
	a = actor_start(play_crowd_of_games, &count);
	actor_go(&a);
	await_stop(&a);
	assert_int_equal(source_select_uid(b.source, GAMES, &selector), 0);
	assert_int_equal(source_select_running(b.source, &left_alone), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_ADOPT, 0), SHARE);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), 2);
	assert_int_equal(lost_tags(&b), 2);

	late = actor_start(play_exec_of_games, NULL);
	actor_go(&late);
	await_stop(&late);
	bed_drain(&b);
	lost = bed_find(&b, EVENT_TAG_LOST, late.pid, 0);
	assert_non_null(lost);
	assert_int_equal(lost->header.actor.session, 4711);
	assert_int_equal(lost->selector, 77);
	assert_int_equal(lost->parent_tgid, getpid());
	assert_int_equal(lost_tags(&b), 3);

	go_on(&a);
	assert_int_equal(actor_wait(&a), 0);
	assert_int_equal(source_tag_untagged(b.source), 0);
	assert_true(has_tag(&b, late.pid));
	go_on(&late);
	assert_int_equal(actor_wait(&late), 0);
	assert_int_equal(held(&b, 4711), 0);
	close_small(&b);
}

static void *exec_after(void *go)
{
	char c;

	if (read(*(int *)go, &c, 1) == 1)
		execl("/bin/sh", "sh", "-c", "true & wait", (char *)NULL);
	_exit(99);
}

static int play_threads_of_games(void *data)
{
	pthread_t t;

	if (setresuid(GAMES, GAMES, GAMES) || pthread_create(&t, NULL, exec_after, data))
		return 1;
	raise(SIGSTOP);
	pthread_join(t, NULL);
	return 2;
}

/* It ran before it was left without a tag, and one of its threads takes the place of the first. */
static void a_thread_that_executes_is_followed(void **state)
{
	struct bed *all = bed_get(state), b = {};
	const struct selector selector = {.id = 77, .session = 4711};
	const struct event_untagged *child;
	int count = SHARE, go[2];
	struct actor a, threads;

	open_small(&b, all);
	a = actor_start(play_crowd_of_games, &count);
	actor_go(&a);
	await_stop(&a);
	assert_int_equal(source_select_uid(b.source, GAMES, &selector), 0);
	assert_int_equal(source_select_running(b.source, NULL), 0);
	assert_int_equal(pipe(go), 0);
	/* Its own exec would be a match. */
	assert_int_equal(source_select_uid(b.source, GAMES, NULL), 0);
	threads = actor_start(play_threads_of_games, go);
	actor_go(&threads);
	await_stop(&threads);
	assert_int_equal(source_select_uid(b.source, GAMES, &selector), 0);
	assert_int_equal(source_select_running(b.source, NULL), 0);
	bed_drain(&b);
	assert_non_null(bed_find(&b, EVENT_TAG_LOST, threads.pid, 0));
	go_on(&threads);
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(actor_wait(&threads), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_EXEC, threads.pid), 0);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, threads.pid), 1);
	assert_int_equal(bed_count(&b, EVENT_EXIT, threads.pid), 1);
	/* What it makes then is followed, too. */
	child = bed_find(&b, EVENT_TAG_LOST, 0, 2);
	assert_non_null(child);
	assert_int_equal(child->parent_tgid, threads.pid);
	go_on(&a);
	assert_int_equal(actor_wait(&a), 0);
	close(go[0]), close(go[1]);
	close_small(&b);
}

static int play_make_room(void *data)
{
	pid_t pids[SHARE + 3];

	(void)data;
	for (size_t i = 0; i < SHARE + 3; i++)
		pids[i] = sleeper();
	raise(SIGSTOP);
	if (end_sleepers(pids, 3))
		return 1;
	raise(SIGSTOP);
	if (end_sleepers(pids + 3, 1))
		return 2;
	raise(SIGSTOP);
	return end_sleepers(pids + 4, SHARE - 1);
}

static void who_found_none_is_tagged_when_there_is_room(void **state)
{
	struct bed *all = bed_get(state), b = {};
	const struct event_exec *adopt;
	struct actor a;

	open_small(&b, all);
	a = start_tagged(&b, BED_SESSION, play_make_room, NULL);
	await_stop(&a);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), 4);
	assert_int_equal(source_tag_untagged(b.source), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_ADOPT, 0), 1); /* the actor's own */
	assert_true(source_any_untagged(b.source));

	go_on(&a);
	await_stop(&a);
	assert_int_equal(source_tag_untagged(b.source), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_ADOPT, 0), 4);
	assert_int_equal(held(&b, BED_SESSION), SHARE);
	for (int i = 1; i < 4; i++) {
		adopt = bed_find(&b, EVENT_ADOPT, 0, i);
		assert_int_equal(adopt->header.actor.session, BED_SESSION);
		assert_int_equal(adopt->header.actor.task, 7);
		assert_int_equal(adopt->parent_tgid, a.pid);
		assert_true(has_tag(&b, adopt->header.actor.tgid));
	}
	/* One is left, and looking for it is not told again. */
	assert_true(source_any_untagged(b.source));
	assert_int_equal(lost_tags(&b), 4);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), 4);

	go_on(&a);
	await_stop(&a);
	assert_int_equal(source_tag_untagged(b.source), 0);
	assert_int_equal(source_tag_untagged(b.source), 0);
	assert_false(source_any_untagged(b.source));
	go_on(&a);
	assert_int_equal(actor_wait(&a), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_ADOPT, 0), 5);
	assert_int_equal(bed_count(&b, EVENT_EXIT, 0), SHARE + 3 + 1);
	assert_int_equal(held(&b, BED_SESSION), 0);
	close_small(&b);
}

/* Child and grandchild end, and leave one behind of a session and process group of its own. */
static pid_t leave_orphan(int to)
{
	pid_t child = fork();

	if (child)
		return child;
	if (!fork()) {
		setsid();
		if (!fork()) {
			pid_t self = getpid();

			prctl(PR_SET_PDEATHSIG, 0);
			if (write(to, &self, sizeof(self)) != sizeof(self))
				_exit(1);
			while (true)
				pause();
		}
		_exit(0);
	}
	_exit(wait(NULL) < 0);
}

static int play_orphan(void *data)
{
	const int *to = data;
	pid_t pids[SHARE - 1], child;

	for (size_t i = 0; i < SHARE - 1; i++)
		pids[i] = sleeper();
	child = leave_orphan(to[1]);
	if (waitpid(child, NULL, 0) != child)
		return 1;
	raise(SIGSTOP);
	return end_sleepers(pids, SHARE - 1);
}

/* Wherever its parents end: nothing of the process says any more whose it is. */
static void an_orphan_is_followed(void **state)
{
	struct bed *all = bed_get(state), b = {};
	const struct event_untagged *lost, *parent;
	pid_t orphan;
	struct actor a;
	int from[2];

	open_small(&b, all);
	assert_int_equal(pipe(from), 0);
	a = start_tagged(&b, BED_SESSION, play_orphan, from);
	assert_int_equal(read(from[0], &orphan, sizeof(orphan)), sizeof(orphan));
	await_stop(&a);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), 3);
	lost = bed_find(&b, EVENT_TAG_LOST, orphan, 0);
	assert_non_null(lost);
	parent = bed_find(&b, EVENT_TAG_LOST, 0, 1);
	assert_int_equal(lost->parent_tgid, parent->header.actor.tgid);
	assert_int_equal(bed_count(&b, EVENT_EXIT, 0), 2);
	go_on(&a);
	assert_int_equal(actor_wait(&a), 0);
	assert_false(has_tag(&b, orphan));
	assert_int_equal(source_tag_untagged(b.source), 0);
	assert_true(has_tag(&b, orphan));
	assert_false(source_any_untagged(b.source));
	assert_int_equal(kill(orphan, SIGKILL), 0);
	bed_await(&b, EVENT_EXIT, orphan, 0);
	assert_int_equal(held(&b, BED_SESSION), 0);
	close(from[0]), close(from[1]);
	close_small(&b);
}

static void *exec_true(void *unused)
{
	(void)unused;
	execl("/bin/true", "true", (char *)NULL);
	return NULL;
}

static void *nap(void *unused)
{
	usleep(20000);
	return unused;
}

/* Of a process without a tag: threads, one of which executes something; and what is made by it. */
static int play_threads(void *data)
{
	pid_t pids[SHARE - 1], child;
	pthread_t threads[8];
	int status;

	(void)data;
	for (size_t i = 0; i < SHARE - 1; i++)
		pids[i] = sleeper();
	child = fork();
	if (!child) {
		for (size_t i = 0; i < 8; i++)
			pthread_create(&threads[i], NULL, nap, NULL);
		for (size_t i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		pthread_create(&threads[0], NULL, exec_true, NULL);
		pthread_join(threads[0], NULL);
		_exit(98);
	}
	if (waitpid(child, &status, 0) != child || status)
		return 1;
	child = fork();
	if (!child) { /* all threads end at once */
		for (size_t i = 0; i < 8; i++)
			pthread_create(&threads[i], NULL, nap, NULL);
		usleep(15000);
		syscall(SYS_exit_group, 7);
	}
	if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7)
		return 2;
	return end_sleepers(pids, SHARE - 1);
}

static void its_exit_is_told_once(void **state)
{
	struct bed *all = bed_get(state), b = {};
	struct actor a;

	open_small(&b, all);
	a = start_tagged(&b, BED_SESSION, play_threads, NULL);
	assert_int_equal(actor_wait(&a), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), 2);
	for (unsigned int i = 0; i < 2; i++) {
		const struct event_untagged *lost = bed_find(&b, EVENT_TAG_LOST, 0, i);
		const struct event_exit *end =
			bed_find(&b, EVENT_EXIT, lost->header.actor.tgid, 0);

		assert_int_equal(bed_count(&b, EVENT_EXIT, lost->header.actor.tgid), 1);
		assert_int_equal(end->header.actor.start_boottime,
				 lost->header.actor.start_boottime);
		assert_int_equal(WEXITSTATUS(end->status), i ? 7 : 0);
		/* The first one executed something, unseen. */
		assert_int_equal(end->header.actor.exec_seq - lost->header.actor.exec_seq, !i);
		assert_int_equal(bed_count(&b, EVENT_EXEC, lost->header.actor.tgid), 0);
	}
	close_small(&b);
}

static int play_exec(void *data)
{
	pid_t pids[SHARE - 1], child;
	int go[2], status;

	(void)data;
	for (size_t i = 0; i < SHARE - 1; i++)
		pids[i] = sleeper();
	if (pipe2(go, O_CLOEXEC))
		return 1;
	child = fork();
	if (!child) {
		char c;

		close(go[1]);
		if (read(go[0], &c, 1))
			_exit(97);
		execl("/bin/sh", "sh", "-c", "/bin/true; exit 3", (char *)NULL);
		_exit(98);
	}
	if (end_sleepers(pids, SHARE - 1))
		return 2;
	close(go[1]);
	return waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3 ? 0 : 3;
}

/* Without anybody looking: the next exec finds the room. */
static void an_exec_finds_room(void **state)
{
	struct bed *all = bed_get(state), b = {};
	const struct event_untagged *lost;
	struct actor a;

	open_small(&b, all);
	a = start_tagged(&b, BED_SESSION, play_exec, NULL);
	assert_int_equal(actor_wait(&a), 0);
	bed_drain(&b);
	assert_int_equal(bed_count(&b, EVENT_TAG_LOST, 0), 1);
	lost = bed_find(&b, EVENT_TAG_LOST, 0, 0);
	assert_int_equal(bed_count(&b, EVENT_EXEC, lost->header.actor.tgid), 1);
	assert_int_equal(bed_count(&b, EVENT_EXIT, lost->header.actor.tgid), 1);
	/* Its own child is an ordinary one. */
	assert_int_equal(bed_count(&b, EVENT_EXEC, 0), 2);
	assert_int_equal(bed_count(&b, EVENT_FORK, 0), SHARE - 1 + 1);
	assert_int_equal(held(&b, BED_SESSION), 0);
	close_small(&b);
}

static int play_one_too_many(void *data)
{
	pid_t pids[SHARE];

	(void)data;
	for (size_t i = 0; i < SHARE; i++)
		pids[i] = sleeper();
	raise(SIGSTOP);
	return end_sleepers(pids, SHARE);
}

/* It can't be taken to begin a session of its own, by request. */
static void who_has_no_tag_is_no_other_sessions(void **state)
{
	struct bed *all = bed_get(state), b = {};
	struct tag other = {.session = OTHER_SESSION}, own = {.session = BED_SESSION};
	const struct event_untagged *lost;
	struct actor a;
	int pidfd;

	open_small(&b, all);
	a = start_tagged(&b, BED_SESSION, play_one_too_many, NULL);
	await_stop(&a);
	bed_drain(&b);
	lost = bed_find(&b, EVENT_TAG_LOST, 0, 0);
	pidfd = syscall(SYS_pidfd_open, lost->header.actor.tgid, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(source_tag(b.source, pidfd, &other), -EEXIST);
	assert_int_equal(source_tag(b.source, pidfd, &own), -ENOSPC);
	assert_int_equal(lost_tags(&b), 1);
	assert_int_equal(held(&b, OTHER_SESSION), 0);
	assert_int_equal(held(&b, BED_SESSION), SHARE);
	close(pidfd);
	go_on(&a);
	assert_int_equal(actor_wait(&a), 0);
	close_small(&b);
}

/* ---- what user space gives back and corrects ---- */

static void a_tag_that_goes_is_given_back(void **state)
{
	struct bed *b = bed_get(state);
	const struct tag stale = {.session = OTHER_SESSION, .start_boottime = 5};
	uint32_t dead = 4194303, self = getpid();
	int tags = bed_map(b, "tags");

	/* Of a process that is no more; and one whose pid is ours by now. */
	assert_int_equal(bpf_map_update_elem(tags, &dead, &stale, BPF_NOEXIST), 0);
	assert_int_equal(bpf_map_update_elem(tags, &self, &stale, BPF_NOEXIST), 0);
	assert_int_equal(source_share_adjust(b->source, OTHER_SESSION, 2), 0);
	assert_int_equal(held(b, OTHER_SESSION), 2);

	assert_int_equal(source_untag(b->source, dead, 6), -ENOENT);
	assert_int_equal(held(b, OTHER_SESSION), 2);
	assert_int_equal(source_untag(b->source, dead, 5), 0);
	assert_int_equal(source_untag(b->source, dead, 5), -ENOENT);
	assert_int_equal(held(b, OTHER_SESSION), 1);
	assert_false(has_tag(b, dead));

	assert_int_equal(source_tag_untagged(b->source), 0);
	assert_int_equal(held(b, OTHER_SESSION), 0);
	assert_false(has_tag(b, self));
	close(tags);
}

static void a_share_is_corrected_and_forgotten(void **state)
{
	struct bed *b = bed_get(state);
	struct share share;

	assert_int_equal(source_share(b->source, 99, &share), -ENOENT);
	assert_int_equal(source_share_forget(b->source, 99), -ENOENT);
	assert_int_equal(source_share_adjust(b->source, 99, 3), 0);
	assert_int_equal(held(b, 99), 3);
	assert_int_equal(source_share_forget(b->source, 99), -ENOENT);
	assert_int_equal(source_share_adjust(b->source, 99, -3), 0);
	assert_int_equal(source_share(b->source, 99, &share), 0);
	assert_int_equal(share.tags, 0);
	assert_true(share.changes > 0);
	assert_int_equal(source_share_forget(b->source, 99), 0);
	assert_int_equal(source_share(b->source, 99, &share), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_holds_a_quarter),
		cmocka_unit_test(a_full_table_takes_nobody),
		cmocka_unit_test(a_match_without_room_is_told),
		cmocka_unit_test(a_thread_that_executes_is_followed),
		cmocka_unit_test(who_found_none_is_tagged_when_there_is_room),
		cmocka_unit_test(an_orphan_is_followed),
		cmocka_unit_test(its_exit_is_told_once),
		cmocka_unit_test(an_exec_finds_room),
		cmocka_unit_test(who_has_no_tag_is_no_other_sessions),
		cmocka_unit_test(a_tag_that_goes_is_given_back),
		cmocka_unit_test(a_share_is_corrected_and_forgotten),
	};

	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
