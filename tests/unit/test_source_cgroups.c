/* SPDX-License-Identifier: Apache-2.0 */
/* States of cgroups as the kernel's programs make them. */
#include "source_bed.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/pattern.h"
#include "match.h"

#define ROOT_ID 1
#define GENERATION 0x9e4e

static struct pattern patterns[2];

static int hierarchy(const struct bed *b)
{
	return source_cgroup_fd(b->source);
}

/* Below a cgroup of this process's own, whose path begins every path here. */
static const char *path_of(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "affiant-test-%d.slice%s", getpid(), name);
	return path;
}

static uint64_t make(const struct bed *b, const char *name)
{
	struct stat st;

	if (mkdirat(hierarchy(b), path_of(name), 0755))
		fail_msg("mkdir %s: %s", path_of(name), strerror(errno));
	assert_int_equal(fstatat(hierarchy(b), path_of(name), &st, 0), 0);
	return st.st_ino;
}

static void drop(const struct bed *b, const char *name)
{
	assert_int_equal(unlinkat(hierarchy(b), path_of(name), AT_REMOVEDIR), 0);
}

/* Selectors 11, a path to "agent-*", and 12, the unit "x@*.service"; and the root's state. */
static void begin(struct bed *b)
{
	const struct pattern *const list[] = {&patterns[0], &patterns[1]};
	struct cgroup_state root = {.generation = GENERATION, .alive = 3};

	assert_null(pattern_of_path("/affiant-test-*.slice/**/agent-*", &patterns[0]));
	assert_null(pattern_of_unit("x@*.service", &patterns[1]));
	patterns[0].selector = 11;
	patterns[1].selector = 12;
	for (size_t i = 0; i < 2; i++)
		root.at[i] = pattern_start(&patterns[i]);
	assert_int_equal(source_patterns_set(b->source, list, 2, GENERATION), 0);
	(void)source_cgroup_drop(b->source, ROOT_ID);
	assert_int_equal(source_cgroup_put(b->source, ROOT_ID, &root, false), 0);
	(void)source_patterns_walked(b->source);
	assert_int_equal(source_patterns(b->source), GENERATION);
}

static void end(struct bed *b)
{
	assert_int_equal(source_patterns_set(b->source, NULL, 0, 0), 0);
	assert_int_equal(source_patterns_walked(b->source) != 0, 1);
	assert_int_equal(source_patterns(b->source), 0);
}

/* 0: it has no state; 1: it has one, and no match. */
static uint64_t session(const struct bed *b, uint64_t id, uint32_t *ret_selector)
{
	struct cgroup_state s;

	*ret_selector = 0;
	if (source_cgroup_get(b->source, id, &s))
		return 0;
	assert_int_equal(s.generation, GENERATION);
	*ret_selector = s.selector.id;
	return s.selector.session ?: 1;
}

static void follows_from_the_parents(void **state)
{
	struct bed *b = bed_get(state);
	uint64_t top, agent, below, other, unit, in_unit, session_id;
	uint32_t selector;

	begin(b);
	top = make(b, "");
	agent = make(b, "/agent-1");
	below = make(b, "/agent-1/agent-2");
	other = make(b, "/bagent-1");
	unit = make(b, "/x@1.service");
	in_unit = make(b, "/x@1.service/agent-1");
	assert_int_equal(session(b, top, &selector), 1);
	session_id = session(b, agent, &selector);
	assert_true(session_id > 1);
	assert_int_equal(selector, 11);
	assert_int_equal(session(b, below, &selector), session_id);
	assert_int_equal(session(b, other, &selector), 1); /* "**" goes on below it */
	assert_true(session(b, unit, &selector) > 1);
	assert_int_equal(selector, 12);
	assert_int_equal(session(b, in_unit, &selector), session(b, unit, &selector));

	drop(b, "/x@1.service/agent-1");
	drop(b, "/x@1.service");
	drop(b, "/bagent-1");
	drop(b, "/agent-1/agent-2");
	drop(b, "/agent-1");
	assert_int_equal(session(b, agent, &selector), 0);
	assert_int_equal(session(b, below, &selector), 0);
	/* Made again, it is another instance. */
	agent = make(b, "/agent-1");
	assert_true(session(b, agent, &selector) > 1);
	assert_int_not_equal(session(b, agent, &selector), session_id);
	drop(b, "/agent-1");
	drop(b, "");
	end(b);
}

static void knows_who_may_make(void **state)
{
	static const struct {
		uid_t owner;
		mode_t mode;
		bool passed;
	} cases[] = {
		{0, 0755, true},      {65534, 0755, false}, {0, 0775, false},
		{0, 0757, false},     {0, 0700, true},      {65534, 0700, false},
		{0, 0755 | 01000, true},
	};
	struct bed *b = bed_get(state);
	uint32_t selector;

	begin(b);
	make(b, "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t middle, agent, unit;

		make(b, "/d.slice");
		assert_int_equal(fchownat(hierarchy(b), path_of("/d.slice"), cases[i].owner, 0, 0),
				 0);
		assert_int_equal(fchmodat(hierarchy(b), path_of("/d.slice"), cases[i].mode, 0), 0);
		middle = make(b, "/d.slice/m");
		agent = make(b, "/d.slice/m/agent-1");
		unit = make(b, "/d.slice/x@2.service");
		assert_int_equal(session(b, middle, &selector), cases[i].passed);
		assert_int_equal(session(b, agent, &selector) > 1, cases[i].passed);
		assert_int_equal(session(b, unit, &selector) > 1, cases[i].passed);
		drop(b, "/d.slice/x@2.service");
		drop(b, "/d.slice/m/agent-1");
		drop(b, "/d.slice/m");
		drop(b, "/d.slice");
	}
	drop(b, "");
	end(b);
}

static void takes_names_as_they_are(void **state)
{
	struct bed *b = bed_get(state);
	char name[1 + 255 + 1] = "/agent-";
	uint32_t selector;
	uint64_t id;

	begin(b);
	make(b, "");
	memset(name + 7, '*', sizeof(name) - 8);
	id = make(b, name);
	assert_true(session(b, id, &selector) > 1);
	drop(b, name);
	name[1] = '*';
	id = make(b, name);
	assert_int_equal(session(b, id, &selector), 1);
	drop(b, name);
	id = make(b, "/agent-\xff\x01 \\");
	assert_true(session(b, id, &selector) > 1);
	drop(b, "/agent-\xff\x01 \\");
	drop(b, "");
	end(b);
}

static const char v1[] = "/sys/fs/cgroup/pids";

/* Hierarchies of version 1 fire the same tracepoints, with ids that others have here. */
static void leaves_version_1_alone(void **state)
{
	struct bed *b = bed_get(state);
	struct cgroup_state planted = {.generation = GENERATION, .alive = 1}, found;
	char path[128], below[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/affiant-test-%d.slice", v1, getpid());
	snprintf(below, sizeof(below), "%s/agent-1", path);
	if (mkdir(path, 0755)) {
		print_message("skipped: no version 1 hierarchy at %s\n", v1);
		skip();
	}
	begin(b);
	/* As if a cgroup here had that one's id. */
	assert_int_equal(stat(path, &st), 0);
	planted.at[0] = pattern_start(&patterns[0]) | 6;
	(void)source_cgroup_drop(b->source, st.st_ino);
	assert_int_equal(source_cgroup_put(b->source, st.st_ino, &planted, false), 0);
	assert_int_equal(mkdir(below, 0755), 0);
	assert_int_equal(rmdir(below), 0);
	assert_int_equal(mkdir(below, 0755), 0);
	assert_int_equal(rmdir(path) == -1 && errno == EBUSY, 1);
	{
		struct stat child;

		assert_int_equal(stat(below, &child), 0);
		assert_int_equal(source_cgroup_get(b->source, child.st_ino, &found), -ENOENT);
	}
	assert_int_equal(rmdir(below), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(source_cgroup_get(b->source, st.st_ino, &found), 0);
	assert_int_equal(source_cgroup_drop(b->source, st.st_ino), 0);
	end(b);
}

static void counts_what_finds_no_room(void **state)
{
	struct cgroup_state filling = {.generation = GENERATION, .alive = 1};
	struct bed *b = bed_get(state);
	uint64_t before[LOSS_KINDS], after[LOSS_KINDS], missed, id = 1ull << 60;
	uint32_t selector;

	begin(b);
	make(b, "");
	assert_false(source_cgroups_lost(b->source));
	assert_int_equal(source_losses(b->source, before, &missed), 0);
	while (!source_cgroup_put(b->source, id, &filling, false))
		id++;
	assert_true(id - (1ull << 60) > 60000);
	assert_int_equal(session(b, make(b, "/agent-1"), &selector), 0);
	assert_int_equal(source_losses(b->source, after, &missed), 0);
	assert_int_equal(after[LOSS_CGROUP] - before[LOSS_CGROUP], 1);
	assert_true(source_cgroups_lost(b->source));
	assert_false(source_cgroups_lost(b->source));
	drop(b, "/agent-1");
	/* Other patterns: what these left goes. */
	end(b);
	assert_int_equal(source_cgroup_put(b->source, id, &filling, false), 0);
	assert_int_equal(source_cgroup_drop(b->source, id), 0);
	drop(b, "");
}

/* A user's cgroups leave half of the room to what root makes. */
static void leaves_room_for_roots(void **state)
{
	struct cgroup_state filling = {.generation = GENERATION, .alive = 1, .by_others = 1};
	struct bed *b = bed_get(state);
	uint64_t before[LOSS_KINDS], after[LOSS_KINDS], missed, id = 1ull << 60;
	uint32_t selector;

	begin(b);
	make(b, "");
	make(b, "/agent-1");
	assert_int_equal(fchownat(hierarchy(b), path_of("/agent-1"), 65534, 0, 0), 0);
	assert_true(session(b, make(b, "/agent-1/w"), &selector) > 1);
	drop(b, "/agent-1/w");
	while (!source_cgroup_put(b->source, id, &filling, false))
		id++;
	assert_int_equal(id - (1ull << 60), CGROUPS_OF_OTHERS_MAX);
	assert_int_equal(source_losses(b->source, before, &missed), 0);
	assert_int_equal(session(b, make(b, "/agent-1/w"), &selector), 0);
	assert_int_equal(source_losses(b->source, after, &missed), 0);
	assert_int_equal(after[LOSS_CGROUP] - before[LOSS_CGROUP], 1);
	assert_true(source_cgroups_lost(b->source));
	assert_true(session(b, make(b, "/agent-2"), &selector) > 1);
	drop(b, "/agent-1/w");
	/* What goes makes room. */
	assert_int_equal(source_cgroup_drop(b->source, --id), 0);
	assert_true(session(b, make(b, "/agent-1/w"), &selector) > 1);
	drop(b, "/agent-1/w");
	assert_true(session(b, make(b, "/agent-1/w"), &selector) > 1);
	drop(b, "/agent-1/w");
	drop(b, "/agent-1");
	drop(b, "/agent-2");
	drop(b, "");
	end(b);
}

static void selects_at_the_first_exec(void **state)
{
	struct bed *b = bed_get(state);
	const struct event_exec *e;
	struct cgroup_state s;
	char procs[64];
	uint64_t id;
	pid_t pid;
	int fd;

	begin(b);
	make(b, "");
	id = make(b, "/agent-1");
	snprintf(procs, sizeof(procs), "%s", "/agent-1/cgroup.procs");
	fd = openat(hierarchy(b), path_of(procs), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	pid = fork();
	if (!pid) {
		if (write(fd, "0", 1) != 1)
			_exit(98);
		execl("/bin/true", "true", (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
	close(fd);
	bed_drain(b);
	e = bed_find(b, EVENT_EXEC, pid, 0);
	assert_non_null(e);
	assert_int_equal(e->selector, 11);
	assert_int_equal(e->cgroup, id);
	assert_int_equal(source_cgroup_get(b->source, id, &s), 0);
	assert_int_equal(e->header.actor.session, s.selector.session);
	while (unlinkat(hierarchy(b), path_of("/agent-1"), AT_REMOVEDIR))
		bed_nap();
	drop(b, "");
	end(b);
}

static void waits_for_what_is_half_made(void **state)
{
	struct bed *b = bed_get(state);

	assert_int_equal(source_cgroup_barrier(b->source), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_from_the_parents),
		cmocka_unit_test(knows_who_may_make),
		cmocka_unit_test(takes_names_as_they_are),
		cmocka_unit_test(leaves_version_1_alone),
		cmocka_unit_test(counts_what_finds_no_room),
		cmocka_unit_test(leaves_room_for_roots),
		cmocka_unit_test(selects_at_the_first_exec),
		cmocka_unit_test(waits_for_what_is_half_made),
	};

	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
