/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/cgroup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde0"

static void finds_containers(void **state)
{
	static const struct {
		const char *path, *id;
	} cases[] = {
		{"/", ""},
		{"", ""},
		{"/system.slice/cron.service", ""},
		{"/docker/" ID, ID},
		{"/system.slice/docker-" ID ".scope", ID},
		{"/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", ID},
		{"/docker/" ID "/init.scope", ID},
		{"/docker/" ID "/docker/" ID2, ID}, /* what a container makes is its own */
		{"/docker/" ID2 "-" ID, ID},
		{"/" ID2 "/" ID, ID2},
		{"/" ID2, ID2},
		{"/x/0123456789abcdef", ""},
		{"/x/" ID "0", ""}, /* 65 digits are something else */
		{"/x/" ID ID, ""},
		{"/x/0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", ""},
		{ID, ID},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char id[CONTAINER_ID_SIZE];

		memset(id, 'x', sizeof(id));
		cgroup_container(cases[i].path, id);
		assert_string_equal(id, cases[i].id);
	}
}

static void says_why_there_is_no_hierarchy(void **state)
{
	struct cgroup_names *c = (void *)1;

	(void)state;
	assert_int_equal(cgroup_names_new("/nonexistent", &c), -ENOENT);
	assert_int_equal(cgroup_names_new("/proc/self/status", &c), -ENOTDIR);
	assert_ptr_equal(c, (void *)1);
	cgroup_names_free(NULL);
}

/* ---- with a hierarchy ---- */

static char root[4096];

static bool find_root(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[8192];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " - cgroup2 ") &&
		    sscanf(line, "%*s %*s %*s %*s %4095s", root) == 1)
			return true;
	return false;
}

static bool make(const char *path, uint64_t *ret_id)
{
	char full[8192];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", root, path);
	if ((mkdir(full, 0755) < 0 && errno != EEXIST) || stat(full, &st) < 0)
		return false;
	*ret_id = st.st_ino;
	return true;
}

static void drop(const char *path)
{
	char full[8192];

	snprintf(full, sizeof(full), "%s%s", root, path);
	rmdir(full);
}

static const char *path_of(struct cgroup_names *c, uint64_t id)
{
	const struct cgroup_name *n = cgroup_name(c, id);

	return n ? n->path : NULL;
}

/* Who may make cgroups somewhere may name them after anybody's container. */
static void knows_who_made_containers(void **state)
{
	static const struct {
		const char *names[3]; /* each below the one before */
		int owner;            /* whose the one before the container's is */
		mode_t mode;
		bool root;
	} cases[] = {
		{{"", "/docker-" ID ".scope"}, 0, 0755, true},
		{{"", "/docker-" ID ".scope", "/init"}, 0, 0755, true},
		{{"", "/docker-" ID ".scope"}, 65534, 0755, false},
		{{"", "/docker-" ID ".scope"}, 0, 0775, false},
		{{"", "/docker-" ID ".scope"}, 0, 0757, false},
		{{"", "/x", "/docker-" ID ".scope"}, 65534, 0755, false},
	};
	char paths[3][512], full[8192], top[64];
	struct cgroup_names *c = NULL;
	uint64_t ids[3];

	(void)state;
	if (geteuid() || !find_root()) {
		print_message("skipped: takes root and a cgroup2 hierarchy\n");
		skip();
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct cgroup_name *n;
		int count = 0;

		snprintf(top, sizeof(top), "/affiant-test-%d", getpid());
		for (; count < 3 && cases[i].names[count]; count++) {
			snprintf(paths[count], sizeof(paths[count]), "%s%s",
				 count ? paths[count - 1] : top, cases[i].names[count]);
			assert_true(make(paths[count], &ids[count]));
		}
		snprintf(full, sizeof(full), "%s%s", root, paths[0]);
		assert_int_equal(chown(full, cases[i].owner, 0), 0);
		assert_int_equal(chmod(full, cases[i].mode), 0);
		assert_int_equal(cgroup_names_new(root, &c), 0);
		n = cgroup_name(c, ids[count - 1]);
		assert_non_null(n);
		assert_int_equal(n->container_root, cases[i].root);
		cgroup_names_free(c);
		while (count--)
			drop(paths[count]);
	}
}

static void names_cgroups(void **state)
{
	char path[64], below[128];
	struct cgroup_names *c = NULL;
	uint64_t id = 0, below_id, root_id;

	(void)state;
	snprintf(path, sizeof(path), "/affiant-test-%d", getpid());
	snprintf(below, sizeof(below), "%s/b c", path);
	if (!find_root() || !make(path, &id)) {
		print_message(
			"skipped: no cgroup2 hierarchy in which this user may make cgroups\n");
		skip();
	}
	assert_true(make(below, &below_id));
	assert_true(make("", &root_id));
	assert_int_equal(cgroup_names_new(root, &c), 0);
	if (!path_of(c, root_id)) {
		drop(below);
		drop(path);
		cgroup_names_free(c);
		print_message("skipped: open_by_handle_at(2) takes CAP_DAC_READ_SEARCH\n");
		skip();
	}
	assert_string_equal(path_of(c, root_id), "/");
	assert_string_equal(path_of(c, id), path);
	assert_string_equal(path_of(c, below_id), below);
	assert_null(path_of(c, 0));
	assert_null(path_of(c, UINT64_MAX));
	drop(below);
	drop(path);
	/* Gone, but asked for before: its last records still have a name. */
	assert_string_equal(path_of(c, below_id), below);
	cgroup_names_free(c);
	assert_int_equal(cgroup_names_new(root, &c), 0);
	assert_null(path_of(c, below_id));
	cgroup_names_free(c);
}

/* A process can make cgroups without end: what is remembered of them is bounded, the oldest go. */
static void remembers_so_many(void **state)
{
	enum { MANY = 1030 };
	static uint64_t ids[MANY];
	struct cgroup_names *c = NULL;
	char path[64];
	uint64_t top = 0;

	(void)state;
	snprintf(path, sizeof(path), "/affiant-test-%d", getpid());
	if (!find_root() || !make(path, &top)) {
		print_message(
			"skipped: no cgroup2 hierarchy in which this user may make cgroups\n");
		skip();
	}
	assert_int_equal(cgroup_names_new(root, &c), 0);
	if (!path_of(c, top)) {
		drop(path);
		cgroup_names_free(c);
		print_message("skipped: open_by_handle_at(2) takes CAP_DAC_READ_SEARCH\n");
		skip();
	}
	for (int i = 0; i < MANY; i++) {
		char below[128];

		snprintf(below, sizeof(below), "%s/%d", path, i);
		assert_true(make(below, &ids[i]));
		assert_string_equal(path_of(c, ids[i]), below);
		/* This one is asked for all the time. */
		assert_string_equal(path_of(c, ids[0]) + strlen(path), "/0");
		drop(below);
	}
	assert_non_null(path_of(c, ids[0]));
	assert_non_null(path_of(c, ids[MANY - 1]));
	assert_null(path_of(c, ids[1]));
	drop(path);
	cgroup_names_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_containers),
		cmocka_unit_test(says_why_there_is_no_hierarchy),
		cmocka_unit_test(names_cgroups),
		cmocka_unit_test(knows_who_made_containers),
		cmocka_unit_test(remembers_so_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
