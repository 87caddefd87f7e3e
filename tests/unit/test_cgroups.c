/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a tree of directories that stands for the hierarchy, and a map for the kernel's. */
#include "daemon/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/loss.h"
#include "daemon/core.h"
#include "daemon/pattern.h"
#include "scratch.h"

#define SOURCE_CGROUPS
#define SOURCE_NO_RING
#define SOURCE_NO_TAGS
#include "source_none.h"

#define NOBODY 65534

/* ---- the kernel's side ---- */

struct source {
	int fd;
	uint64_t generation, walked;
	unsigned int gets, barriers;
	size_t count, max;
	uint64_t ids[512];
	struct cgroup_state states[512];
	void (*meanwhile)(void); /* once, when the walk waits for the first time */
	bool lost;
};

static struct source source;

size_t source_ring_used(const struct source *s)
{
	(void)s;
	return 0;
}

int source_cgroup_fd(const struct source *s)
{
	return s->fd;
}

uint64_t source_patterns(const struct source *s)
{
	return s->walked;
}

int source_patterns_set(struct source *s, const struct pattern *const *patterns, uint32_t count,
			uint64_t generation)
{
	(void)patterns;
	assert_int_equal(!count, !generation);
	s->generation = generation;
	s->walked = 0;
	return 0;
}

uint64_t source_patterns_walked(struct source *s)
{
	s->walked = s->generation;
	return 0;
}

static struct cgroup_state *find(uint64_t id)
{
	for (size_t i = 0; i < source.count; i++)
		if (source.ids[i] == id)
			return &source.states[i];
	return NULL;
}

int source_cgroup_get(struct source *s, uint64_t id, struct cgroup_state *ret)
{
	struct cgroup_state *found = find(id);

	s->gets++;
	if (!found)
		return -ENOENT;
	*ret = *found;
	return 0;
}

int source_cgroup_put(struct source *s, uint64_t id, const struct cgroup_state *state, bool replace)
{
	struct cgroup_state *found = find(id);

	if (!replace == (found != NULL))
		return replace ? -ENOENT : -EEXIST;
	if (!found && s->count == s->max)
		return -E2BIG;
	if (!found) {
		s->ids[s->count] = id;
		found = &s->states[s->count++];
	}
	*found = *state;
	return 0;
}

int source_cgroup_drop(struct source *s, uint64_t id)
{
	struct cgroup_state *found = find(id);
	size_t at = found - s->states;

	if (!found)
		return -ENOENT;
	s->count--;
	s->states[at] = s->states[s->count];
	s->ids[at] = s->ids[s->count];
	return 0;
}

int source_cgroup_barrier(struct source *s)
{
	void (*meanwhile)(void) = s->meanwhile;

	s->barriers++;
	s->meanwhile = NULL;
	if (meanwhile)
		meanwhile();
	return 0;
}

bool source_cgroups_lost(struct source *s)
{
	bool lost = s->lost;

	s->lost = false;
	return lost;
}

/* ---- the hierarchy ---- */

static char top[] = "/tmp/affiant-test-cgroups-XXXXXX";

static const char *full(const char *path)
{
	static char text[8192];

	snprintf(text, sizeof(text), "%s%s", top, path);
	return text;
}

/* Each directory has the file that every cgroup has. */
static void make(const char *path)
{
	char file[4096];

	assert_int_equal(mkdir(full(path), 0755), 0);
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	assert_int_equal(close(open(full(file), O_CREAT | O_WRONLY, 0644)), 0);
}

static uint64_t id_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(full(path), &st), 0);
	return st.st_ino;
}

static const struct cgroup_state *state_of(const char *path)
{
	return find(id_of(path));
}

static uint64_t key_of(const char *path)
{
	const struct cgroup_state *s = state_of(path);

	return s ? s->selector.session : 0;
}

/* ---- a daemon with selectors 11, 12, … ---- */

static struct pattern patterns[4];
static struct config_selector selectors[4];
static struct config_agent agent = {.name = (char *)"agent", .selectors = selectors};
static struct config config = {.agents = &agent, .agents_count = 1};
static struct attribute attribute;
static struct core core = {.config = &config, .source = &source, .attribute = &attribute};

static struct cgroups *with(const char *first, const char *second)
{
	const char *const texts[] = {first, second};
	struct cgroups *g;

	agent.selectors_count = 0;
	for (size_t i = 0; i < 2 && texts[i]; i++) {
		const char *wrong = *texts[i] == '/' ? pattern_of_path(texts[i], &patterns[i])
						     : pattern_of_unit(texts[i], &patterns[i]);

		assert_null(wrong);
		selectors[i] = (struct config_selector){.id = 11 + i, .pattern = &patterns[i]};
		patterns[i].selector = 11 + i;
		agent.selectors_count++;
	}
	assert_int_equal(cgroups_new(&core, &g), 0);
	return g;
}

static int setup(void **state)
{
	(void)state;
	strcpy(top + strlen(top) - 6, "XXXXXX");
	source = (struct source){.fd = -1, .max = 512};
	memset(&attribute, 0, sizeof(attribute));
	if (!mkdtemp(top) || chmod(top, 0755))
		return -1;
	source.fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(open(full("/cgroup.procs"), O_CREAT | O_WRONLY, 0644));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	closep(&source.fd);
	return scratch_remove(top);
}

static void needs_root(void)
{
	if (geteuid()) {
		print_message("skipped: takes root, whose cgroups these are\n");
		skip();
	}
}

static void begin(struct cgroups *g)
{
	assert_int_equal(cgroups_start(g), 0);
	cgroups_started(g);
	assert_int_equal(source.walked, source.generation);
}

static void gives_each_its_state(void **state)
{
	struct cgroups *g = with("a@*.service", "/x/*/c");

	(void)state;
	needs_root();
	make("/system.slice");
	make("/system.slice/a@1.service");
	make("/system.slice/a@1.service/w");
	make("/system.slice/a@1.service/w/a@3.service");
	make("/system.slice/a@2.service");
	make("/system.slice/b.service");
	make("/system.slice/b.service/a@1.service");
	make("/x");
	make("/x/y");
	make("/x/y/c");
	begin(g);
	assert_true(key_of("/system.slice/a@1.service"));
	assert_int_equal(key_of("/system.slice/a@1.service/w"),
			 key_of("/system.slice/a@1.service"));
	assert_int_equal(key_of("/system.slice/a@1.service/w/a@3.service"),
			 key_of("/system.slice/a@1.service"));
	assert_true(key_of("/system.slice/a@2.service"));
	assert_int_not_equal(key_of("/system.slice/a@2.service"),
			     key_of("/system.slice/a@1.service"));
	assert_int_equal(state_of("/system.slice/a@1.service/w")->selector.id, 11);
	assert_true(key_of("/x/y/c"));
	assert_int_equal(state_of("/x/y/c")->selector.id, 12);
	assert_int_equal(key_of("/x/y"), 0);
	assert_non_null(state_of("/x/y"));
	/* What nothing can match below has none. */
	assert_null(state_of("/system.slice/b.service"));
	assert_null(state_of("/system.slice/b.service/a@1.service"));
	cgroups_free(g);
}

static void note_found(void *any)
{
	*(bool *)any = true;
}

static bool repairs(struct cgroups *g, uint64_t now_ns)
{
	bool any = false;

	cgroups_repair(g, now_ns, note_found, &any);
	return any;
}

/* The patterns of the one before, whose walk came to its end: the kernel has gone on by itself. */
static void leaves_alone_what_holds(void **state)
{
	struct cgroups *g = with("/a", NULL);
	unsigned int gets;

	(void)state;
	make("/a");
	begin(g);
	cgroups_free(g);
	gets = source.gets;
	g = with("/a", NULL);
	begin(g);
	assert_false(repairs(g, 1));
	assert_int_equal(source.gets, gets);
	cgroups_free(g);
}

/* Nothing is taken for done before what runs was taken. */
static void ends_what_another_began(void **state)
{
	struct cgroups *g = with("/a", NULL);

	(void)state;
	make("/a");
	assert_int_equal(cgroups_start(g), 0);
	cgroups_free(g); /* killed */
	assert_int_equal(source.walked, 0);
	g = with("/a", NULL);
	begin(g);
	cgroups_free(g);
}

static void keeps_the_sessions_of_a_selector(void **state)
{
	struct cgroups *g = with("/a", "/b");
	uint64_t a, b;

	(void)state;
	make("/a");
	make("/a/w");
	make("/b");
	begin(g);
	cgroups_free(g);
	a = key_of("/a");
	b = key_of("/b");
	g = with("/a", "/*");
	selectors[1].id = patterns[1].selector = 77;
	patterns[1].flags = SELECTOR_EXEC_ONLY;
	cgroups_free(g);
	assert_int_equal(cgroups_new(&core, &g), 0);
	begin(g);
	assert_int_equal(key_of("/a"), a);
	assert_int_equal(key_of("/a/w"), a);
	assert_int_not_equal(key_of("/b"), b); /* another agent's now */
	assert_int_equal(state_of("/b")->selector.id, 77);
	assert_int_equal(state_of("/b")->selector.flags, SELECTOR_EXEC_ONLY);
	cgroups_free(g);

	/* And when nothing selects any more. */
	g = with(NULL, NULL);
	begin(g);
	assert_int_equal(source.walked, 0);
	cgroups_free(g);
}

static void make_a_cgroup(void)
{
	struct cgroup_state made = {
		.generation = source.generation, .selector = {.session = 4711, .id = 11}};

	make("/new");
	assert_int_equal(source_cgroup_put(&source, id_of("/new"), &made, false), 0);
	make("/new/below");
}

/* One that is made while the walk is under way: the kernel's word holds. */
static void meets_the_kernel(void **state)
{
	struct cgroups *g = with("/*", NULL);

	(void)state;
	source.meanwhile = make_a_cgroup;
	begin(g);
	assert_int_equal(key_of("/new"), 4711);
	assert_int_equal(key_of("/new/below"), 4711);
	cgroups_free(g);
}

static void remove_a_cgroup(void)
{
	assert_int_equal(unlink(full("/a/cgroup.procs")), 0);
}

static void forgets_what_went_meanwhile(void **state)
{
	struct cgroups *g = with("/a", NULL);

	(void)state;
	make("/a");
	source.meanwhile = remove_a_cgroup;
	begin(g);
	assert_null(state_of("/a"));
	cgroups_free(g);
}

static void passes_only_what_root_made(void **state)
{
	struct cgroups *g = with("/**/agent-*", "bank@*.service");

	(void)state;
	needs_root();
	make("/system.slice");
	make("/system.slice/agent-1");
	make("/system.slice/bank@1.service");
	make("/user.slice");
	make("/user.slice/user@65534.service");
	make("/user.slice/user@65534.service/agent-2");
	make("/user.slice/user@65534.service/bank@2.service");
	make("/user.slice/user@65534.service/below");
	make("/user.slice/user@65534.service/below/agent-3");
	make("/open.slice");
	make("/open.slice/bank@4.service");
	make("/open.slice/sub");
	make("/open.slice/sub/agent-5");
	assert_int_equal(chown(full("/user.slice/user@65534.service"), NOBODY, NOBODY), 0);
	assert_int_equal(chmod(full("/open.slice"), 0775), 0);
	begin(g);
	assert_true(key_of("/system.slice/agent-1"));
	assert_true(key_of("/system.slice/bank@1.service"));
	assert_true(key_of("/user.slice/user@65534.service/agent-2"));
	assert_false(key_of("/user.slice/user@65534.service/bank@2.service"));
	assert_false(key_of("/user.slice/user@65534.service/below/agent-3"));
	assert_false(key_of("/open.slice/bank@4.service"));
	assert_false(key_of("/open.slice/sub/agent-5"));
	cgroups_free(g);
}

static void takes_hostile_names(void **state)
{
	struct cgroups *g = with("/*/*/*", NULL);
	char path[1024] = "/.h/*/";

	(void)state;
	make("/.h");
	make("/.h/*");
	memset(path + 6, '*', 255);
	make(path);
	begin(g);
	assert_true(key_of(path));
	cgroups_free(g);
}

/* What finds no room is counted and said, and looked for again, not all the time. */
static void tells_that_there_is_no_room(void **state)
{
	struct cgroups *g = with("/*", NULL);

	(void)state;
	make("/a");
	make("/b");
	source.max = 2; /* the root, and one of them */
	begin(g);
	assert_int_equal(!key_of("/a") + !key_of("/b"), 1);
	assert_int_equal(attribute.dropped[LOSS_CGROUP], 1);
	assert_false(repairs(g, 1000 * CORE_SECOND_NS));
	source.max = 512;
	assert_false(repairs(g, 1059 * CORE_SECOND_NS));
	assert_true(repairs(g, 1061 * CORE_SECOND_NS));
	assert_true(key_of("/a") && key_of("/b"));
	assert_int_equal(attribute.dropped[LOSS_CGROUP], 1);
	assert_false(repairs(g, 2000 * CORE_SECOND_NS));

	/* The kernel found none for one that was made. */
	make("/c");
	source.lost = true;
	assert_true(repairs(g, 3000 * CORE_SECOND_NS));
	assert_true(key_of("/c"));
	cgroups_free(g);
}

static void goes_as_deep_as_it_says(void **state)
{
	struct cgroups *g = with("/d", NULL);
	char path[1024] = "";

	(void)state;
	for (int i = 0; i < 300; i++) {
		strcat(path, "/d");
		make(path);
	}
	begin(g);
	path[2 * 256] = '\0';
	assert_int_equal(key_of(path), key_of("/d"));
	strcat(path, "/d");
	assert_int_equal(key_of(path), 0);
	assert_int_equal(attribute.dropped[LOSS_CGROUP], 1);
	cgroups_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gives_each_its_state, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_alone_what_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_what_another_began, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_sessions_of_a_selector, setup, teardown),
		cmocka_unit_test_setup_teardown(meets_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(forgets_what_went_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(passes_only_what_root_made, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_hostile_names, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_that_there_is_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_as_deep_as_it_says, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
