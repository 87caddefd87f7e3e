/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pattern.h"

#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "match.h"

/*
 * How many bytes of @path the pattern takes, 0 for none. A cgroup that ends with '!' was made where
 * others than root may; the '!' is no part of its name.
 */
static size_t takes(const struct pattern *p, const char *path)
{
	struct pattern_step s = {.from = pattern_start(p)};
	const char *at = path;

	while (*at) {
		size_t len = strcspn(++at, "/");

		s.by_root = at[len - 1] != '!';
		s.len = len - !s.by_root;
		memcpy(s.name, at, s.len);
		at += len;
		pattern_step(p, &s);
		if (pattern_matched(p, &s))
			return at - path;
		s.from = s.to;
	}
	return 0;
}

/* ---- one component ---- */

static bool name_taken(const char *text, const char *name)
{
	static struct pattern p;
	char path[1 + PATTERN_NAME_MAX + 1] = "/";

	strcat(path, text);
	assert_null(pattern_of_path(path, &p));
	strcpy(path + 1, name);
	return takes(&p, path) > 0;
}

static void random_bytes(char *to, size_t len, const char *alphabet)
{
	for (size_t i = 0; i < len; i++)
		to[i] = alphabet[rand() % strlen(alphabet)];
	to[len] = '\0';
}

/* fnmatch(3) is another's implementation of what a '*' means. */
static void takes_what_fnmatch_takes(void **state)
{
	unsigned int taken = 0;

	(void)state;
	srand(7);
	for (int i = 0; i < 300000; i++) {
		char parts[3][8], text[32], name[40];
		int stars = rand() % 3;

		for (int k = 0; k < 3; k++)
			random_bytes(parts[k], rand() % 4, "ab\\.");
		snprintf(text, sizeof(text), "%s%s%s%s%s", parts[0], stars ? "*" : "",
			 stars ? parts[1] : "", stars > 1 ? "*" : "", stars > 1 ? parts[2] : "");
		random_bytes(name, 1 + rand() % 12, "ab\\.");
		if (!*text || strstr(text, "**") || !strcmp(text, ".") || !strcmp(text, ".."))
			continue;
		if (name_taken(text, name) != !fnmatch(text, name, FNM_NOESCAPE))
			fail_msg("'%s' and '%s'", text, name);
		taken += name_taken(text, name);
	}
	assert_true(taken > 1000);
}

static void takes_long_names(void **state)
{
	char text[PATTERN_NAME_MAX + 1], name[PATTERN_NAME_MAX + 1];

	(void)state;
	memset(text, 'x', PATTERN_NAME_MAX);
	text[PATTERN_NAME_MAX] = '\0';
	assert_true(name_taken(text, text));
	strcpy(name, text);
	name[254] = 'y';
	assert_false(name_taken(text, name));
	name[254] = '\0';
	assert_false(name_taken(text, name));

	/* 127 bytes, '*', 127 bytes: no name that is shorter than these */
	text[127] = '*';
	memset(name, 'x', 255);
	assert_true(name_taken(text, name));
	name[254] = '\0';
	assert_true(name_taken(text, name));
	name[253] = '\0';
	assert_false(name_taken(text, name));

	/* a middle of 64 bytes at each place of a name of 255 */
	text[0] = '*';
	memset(text + 1, 'a', 63);
	text[64] = 'b';
	strcpy(text + 65, "*");
	for (size_t at = 0; at + 64 <= 255; at++) {
		memset(name, 'a', 255);
		name[255] = '\0';
		name[at + 63] = 'b';
		assert_true(name_taken(text, name) == (at + 63 >= 63));
		name[at + 63] = 'c';
		assert_false(name_taken(text, name));
	}
}

static void takes_any_bytes(void **state)
{
	char text[16], name[16];

	(void)state;
	for (int b = 1; b < 256; b++) {
		if (strchr("/*?[.", b))
			continue;
		snprintf(text, sizeof(text), "*%c%c*", b, b);
		snprintf(name, sizeof(name), "-%c%c-", b, b);
		assert_true(name_taken(text, name));
		snprintf(name, sizeof(name), "-%c-%c", b, b);
		assert_int_equal(name_taken(text, name), b == '-');
	}
	assert_true(name_taken("*", "\n"));
	assert_true(name_taken("*", ".hidden"));
	assert_true(name_taken("a*", "a*"));
	assert_true(name_taken("*]*", "a]b"));
}

/* ---- whole patterns ---- */

static void refuses(void **state)
{
	static struct pattern p;
	char text[600] = "/";

	(void)state;
	assert_non_null(pattern_of_path("", &p));
	assert_non_null(pattern_of_path("/", &p));
	assert_non_null(pattern_of_path("a", &p));
	assert_non_null(pattern_of_path("/a/", &p));
	assert_non_null(pattern_of_path("//a", &p));
	assert_non_null(pattern_of_path("/a/../b", &p));
	assert_non_null(pattern_of_path("/./b", &p));
	assert_non_null(pattern_of_path("/a/**", &p));
	assert_non_null(pattern_of_path("/a/b**/c", &p));
	assert_non_null(pattern_of_path("/a/***/c", &p));
	assert_non_null(pattern_of_path("/*a*b*", &p));
	assert_non_null(pattern_of_path("/a?", &p));
	assert_non_null(pattern_of_path("/[a]", &p));
	assert_null(pattern_of_path("/..a/...", &p));
	memset(text + 1, 'a', 256);
	assert_non_null(pattern_of_path(text, &p));
	strcpy(text + 256, "/b");
	assert_null(pattern_of_path(text, &p));
	memset(text + 1, 'a', 67);
	text[1] = text[67] = '*';
	text[68] = '\0';
	assert_non_null(pattern_of_path(text, &p)); /* a middle of 65 */
	strcpy(text + 66, "*");
	assert_null(pattern_of_path(text, &p));
	assert_null(pattern_of_path("/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g", &p));
	assert_non_null(pattern_of_path("/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h", &p));
	assert_non_null(pattern_of_unit("a", &p));
	assert_non_null(pattern_of_unit(".service", &p));
	assert_non_null(pattern_of_unit("a/b.service", &p));
	assert_non_null(pattern_of_unit("a*b*c*.service", &p));
	assert_non_null(pattern_of_user_unit(1, "a.mount", &p));
}

#define USER "/user.slice/user-1000.slice/user@1000.service"
#define ID "aaefb9d8feed2d453b543f6d928cede7a4dbefa6a0ae7c9b990dd234c56e93b9"
#define UID "2fc932ce_fdcc_454b_97bd_aadfdeb4c340"

enum { PATH, UNIT, USER_UNIT };

static const struct {
	int kind;
	const char *text, *path;
	const char *rest; /* of the path, below what matches; NULL: nothing does */
} cases[] = {
	{UNIT, "a.service", "/a.service", ""},
	{UNIT, "a.service", "/system.slice/a.service", ""},
	{UNIT, "a.service", "/system.slice/a.service/worker", "/worker"},
	{UNIT, "a.service", "/system.slice/system-a.slice/a.service", ""},
	{UNIT, "a.service", "/system.slice/ba.service", NULL},
	{UNIT, "a@*.service", "/system.slice/a@1.service", ""},
	{UNIT, "a\\x2db.service", "/s.slice/a\\x2db.service", ""},
	{UNIT, "session-*.scope", "/user.slice/user-1000.slice/session-4.scope", ""},
	{UNIT, "*.slice", "/a.slice/b.slice/c.service", "/b.slice/c.service"},
	{UNIT, "b.slice", "/a.slice/b.slice/c.service", "/c.service"},
	/* a unit is no unit's below another */
	{UNIT, "a.service", "/system.slice/b.service/a.service", NULL},
	{UNIT, "a.service", "/b.scope/a.service", NULL},
	{UNIT, "a.service", "/x/a.service", NULL},
	{UNIT, "a.service", USER "/app.slice!/a.service!", NULL},
	{UNIT, "*.service", USER "/app.slice!/a.service!", "/app.slice!/a.service!"},
	{UNIT, "a.service", "/docker/" ID "/system.slice/a.service", NULL},
	{UNIT, "a.service", "/.slice/a.service", NULL}, /* no name of a slice */
	/* nor what others than root could make */
	{UNIT, "a.service", "/system.slice/a.service!", NULL},
	{UNIT, "a.service", "/system.slice/x.slice!/a.service", NULL},

	{USER_UNIT, "a@*.service", USER "/app.slice!/app-a.slice!/a@1.service!", ""},
	{USER_UNIT, "a.service", USER "/a.service!/x!", "/x!"},
	{USER_UNIT, "a.service", "/user.slice/user-1001.slice/user@1001.service/a.service", NULL},
	{USER_UNIT, "a.service", USER "/b.service!/a.service!", NULL},
	{USER_UNIT, "a.service", "/user.slice/user-1000.slice/a.service", NULL},
	{USER_UNIT, "a.service", "/user.slice/user-1000.slice/user@1000.service!/a.service!", NULL},

	{PATH, "/k/*/c", "/k/p/c/d", "/d"},
	{PATH, "/k/*/c", "/k/p/q/c", NULL},
	{PATH, "/k/*/c", "/x/k/p/c", NULL},
	{PATH, "/k", "/k2", NULL},
	{PATH, "/k/**/c", "/k/c", ""},
	{PATH, "/k/**/c", "/k/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/c", ""},
	{PATH, "/k/**/c", "/k/c/c", "/c"},
	{PATH, "/**/c", "/c", ""},
	{PATH, "/**/a/**/b", "/a/x/a/y/b", ""},
	{PATH, "/**/a/**/b", "/b/a", NULL},
	{PATH, "/**/**/b", "/a/b", ""},
	/* '**' passes what root made; what is named need not be */
	{PATH, "/k/**/c", "/k/a!/c", NULL},
	{PATH, "/k/**/c", "/k/a/c!", ""},
	{PATH, "/k/*/c", "/k/a!/c!", ""},

	/* the leaves that kubelet and its runtimes make, under systemd */
	{PATH, "/kubepods.slice/**/cri-containerd-*.scope",
	 "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID
	 ".slice/cri-containerd-" ID ".scope",
	 ""},
	{PATH, "/kubepods.slice/**/cri-containerd-*.scope",
	 "/kubepods.slice/kubepods-pod" UID ".slice/cri-containerd-" ID ".scope", ""},
	{PATH, "/kubepods.slice/**/crio-*.scope",
	 "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-"
	 "pod0fb386ed7a9f3e4462d5182de8ccaa2b.slice/crio-" ID ".scope/container",
	 "/container"},
	{PATH, "/kubepods.slice/**/docker-*.scope",
	 "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID
	 ".slice/docker-" ID ".scope",
	 ""},
	/* and without: what is below them is none of these */
	{PATH, "/kubepods/*/pod*/*", "/kubepods/burstable/pod89f4f2cb511c3b0b7e5272cff5ec37bf/" ID,
	 ""},
	{PATH, "/kubepods/pod*/*", "/kubepods/pod89f4f2cb511c3b0b7e5272cff5ec37bf/" ID, ""},
	{PATH, "/kubepods/pod*/*", "/kubepods/burstable/pod89f4f2cb511c3b0b7e5272cff5ec37bf/" ID,
	 NULL},
	/* the pod of a node that is a container itself is not this kubelet's */
	{PATH, "/kubepods.slice/**/crio-*.scope",
	 "/docker/" ID "/kubepods.slice/kubepods-pod" UID ".slice/crio-" ID ".scope", NULL},

	/* Docker and Podman by themselves */
	{UNIT, "docker-*.scope", "/system.slice/docker-" ID ".scope", ""},
	{PATH, "/docker/*", "/docker/" ID, ""},
	{UNIT, "libpod-*.scope", "/machine.slice/libpod-" ID ".scope/container", "/container"},
	{USER_UNIT, "libpod-*.scope", USER "/user.slice!/libpod-" ID ".scope!/container!",
	 "/container!"},
	{USER_UNIT, "libpod-*.scope",
	 USER "/user.slice!/user-libpod_pod_" ID ".slice!/libpod-" ID ".scope!", ""},
};

static void takes_paths(void **state)
{
	static struct pattern p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *wrong = cases[i].kind == PATH   ? pattern_of_path(cases[i].text, &p)
				    : cases[i].kind == UNIT ? pattern_of_unit(cases[i].text, &p)
							    : pattern_of_user_unit(
								      1000, cases[i].text, &p);
		const char *path = cases[i].path;
		size_t taken;

		assert_null(wrong);
		taken = takes(&p, path);
		if (!taken != !cases[i].rest || (taken && strcmp(path + taken, cases[i].rest)))
			fail_msg("'%s' takes '%.*s' of '%s'", cases[i].text, (int)taken, path,
				 path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_fnmatch_takes),
		cmocka_unit_test(takes_long_names),
		cmocka_unit_test(takes_any_bytes),
		cmocka_unit_test(refuses),
		cmocka_unit_test(takes_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
