/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/location.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char place[] = "/tmp/affiant-test-location-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[4][PATH_MAX];
	static int i;
	char *to = path[i++ % 4];

	snprintf(to, PATH_MAX, "%s/%s", place, name);
	return to;
}

static void make(const char *name)
{
	int fd = open(path_of(name), O_CREAT | O_EXCL | O_WRONLY, 0755);

	assert_true(fd >= 0);
	close(fd);
}

/* What was looked up below the test's own directory. */
struct seen {
	int names, missing, directories;
	const char *rename_from, *rename_to; /* done once, while it looks */
};

static void see(void *data, int dir, int fd, bool is_dir)
{
	struct seen *s = data;

	assert_true(dir >= 0);
	s->names++;
	s->missing += fd < 0;
	s->directories += is_dir;
	if (s->rename_from && fd >= 0 && !is_dir) {
		assert_int_equal(rename(s->rename_from, s->rename_to), 0);
		s->rename_from = NULL;
	}
}

static void assert_same(int fd, const char *path)
{
	struct stat a, b;

	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(lstat(path, &b), 0);
	assert_int_equal(a.st_dev, b.st_dev);
	assert_int_equal(a.st_ino, b.st_ino);
}

static void assert_leads(const char *path, const char *dir, const char *name, const char *file)
{
	struct location l = {-2, -2, "poison"};
	struct seen s = {0};

	assert_int_equal(location_find(path, NULL, see, &s, &l), 0);
	assert_string_equal(l.name, name);
	assert_same(l.dir, dir);
	if (file)
		assert_same(l.file, file);
	else
		assert_int_equal(l.file, -1);
	location_clear(&l);
}

static void assert_fails(const char *path, int err)
{
	struct location l = {-2, -2, "poison"};
	struct seen s = {0};

	assert_int_equal(location_find(path, NULL, see, &s, &l), err);
	assert_int_equal(l.dir, -2);
	assert_string_equal(l.name, "poison");
}

static void follows_paths(void **state)
{
	(void)state;
	assert_leads(path_of("d/file"), path_of("d"), "file", path_of("d/file"));
	assert_leads(path_of("d//./../d/file"), path_of("d"), "file", path_of("d/file"));
	assert_leads(path_of("d/none"), path_of("d"), "none", NULL);
	assert_leads(path_of("relative/file"), path_of("d"), "file", path_of("d/file"));
	assert_leads(path_of("absolute"), path_of("d"), "file", path_of("d/file"));
	assert_leads(path_of("twice"), path_of("d"), "file", path_of("d/file"));
	assert_leads(path_of("dangling"), path_of("d"), "absent", NULL);
}

static void says_why_not(void **state)
{
	char longest[PATH_MAX + 2], name[NAME_MAX + 3] = "/";

	(void)state;
	assert_fails(path_of("none/file"), -ENOENT);
	assert_fails(path_of("d/file/below"), -ENOTDIR);
	assert_fails(path_of("d"), -EISDIR);
	assert_fails("/", -EISDIR);
	assert_fails(path_of("loop"), -ELOOP);
	memset(name + 1, 'x', NAME_MAX + 1);
	assert_fails(name, -ENAMETOOLONG);
	memset(longest, '/', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_fails(longest, -ENAMETOOLONG);
}

/* Links, and directories on both ways, and what is not there. */
static void shows_every_name(void **state)
{
	struct seen whole = {0}, s = {0};
	struct location l;

	(void)state;
	assert_int_equal(location_find(path_of("d/file"), NULL, see, &whole, &l), 0);
	location_clear(&l);
	assert_int_equal(whole.names, whole.directories + 1);
	assert_int_equal(location_find(path_of("relative/none"), NULL, see, &s, &l), 0);
	location_clear(&l);
	assert_int_equal(s.names, whole.names + 1);
	assert_int_equal(s.missing, 1);
	s = (struct seen){0};
	assert_int_equal(location_find(path_of("none/file"), NULL, see, &s, &l), -ENOENT);
	assert_int_equal(s.missing, 1);
}

/* Who watches what it is shown hears of changes from then on: what changed is looked at again. */
static void looks_again(void **state)
{
	struct seen s = {.rename_from = path_of("d/other"), .rename_to = path_of("d/changing")};
	struct location l;

	(void)state;
	assert_int_equal(location_find(path_of("d/changing"), NULL, see, &s, &l), 0);
	assert_null(s.rename_from);
	assert_same(l.file, path_of("d/changing"));
	location_clear(&l);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(place));
	assert_int_equal(mkdir(path_of("d"), 0755), 0);
	make("d/file");
	make("d/changing");
	make("d/other");
	assert_int_equal(symlink("d", path_of("relative")), 0);
	assert_int_equal(symlink(path_of("d/file"), path_of("absolute")), 0);
	assert_int_equal(symlink("absolute", path_of("twice")), 0);
	assert_int_equal(symlink("d/absent", path_of("dangling")), 0);
	assert_int_equal(symlink("loop", path_of("loop")), 0);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"d/file", "d/changing", "relative", "absolute",
					    "twice",  "dangling",   "loop"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(path_of("d")) ?: rmdir(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_paths),
		cmocka_unit_test(says_why_not),
		cmocka_unit_test(shows_every_name),
		cmocka_unit_test(looks_again),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
