/* SPDX-License-Identifier: Apache-2.0 */
/* Who could change what a path names: owners, modes, groups, links, at each place above it. */
#include "base/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

#define OTHER 12345 /* a user, and a group, of nobody's */

static char place[] = "/tmp/affiant-trusted-XXXXXX", path[PATH_MAX];

/* ---- accounts: the test's own ---- */

static const struct account {
	const char *name;
	uid_t uid;
	gid_t gid;
} *users;
static size_t users_count, next_user;
static char *members[4];

static struct passwd *shown(const struct account *a)
{
	static struct passwd p;

	p = (struct passwd){.pw_name = (char *)a->name, .pw_uid = a->uid, .pw_gid = a->gid};
	return &p;
}

struct passwd *getpwuid(uid_t uid)
{
	for (size_t i = 0; i < users_count; i++)
		if (users[i].uid == uid)
			return shown(&users[i]);
	return NULL;
}

struct passwd *getpwnam(const char *name)
{
	for (size_t i = 0; i < users_count; i++)
		if (!strcmp(users[i].name, name))
			return shown(&users[i]);
	return NULL;
}

void setpwent(void)
{
	next_user = 0;
}

void endpwent(void)
{
}

struct passwd *getpwent(void)
{
	return next_user < users_count ? shown(&users[next_user++]) : NULL;
}

struct group *getgrgid(gid_t gid)
{
	static struct group g;

	g = (struct group){.gr_name = (char *)"own", .gr_gid = gid, .gr_mem = members};
	return &g;
}

/* ---- a tree ---- */

static const char *in(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static int make_tree(void **state)
{
	static const char *const directories[] = {"a", "a/b", "a/b/c", "other"};
	int fd;

	(void)state;
	strcpy(strrchr(place, '-'), "-XXXXXX");
	assert_non_null(mkdtemp(place));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(mkdir(in(directories[i]), 0755), 0);
	fd = creat(in("a/b/c/file"), 0644);
	assert_int_equal(write(fd, "content", 7), 7);
	close(fd);
	users = NULL;
	users_count = 0;
	members[0] = NULL;
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	return scratch_remove(place);
}

static void takes(const char *name)
{
	char why[512] = "x", text[8] = "";
	int fd = trusted_open(AT_FDCWD, in(name), O_RDONLY, why, sizeof(why));

	if (fd < 0)
		fail_msg("%s", why);
	assert_string_equal(why, "");
	assert_int_equal(read(fd, text, 7), 7);
	assert_string_equal(text, "content");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

/* @where: the path that is told, below the place. */
static void refuses(const char *name, const char *where, const char *what)
{
	char why[512] = "", begin[512];
	int err = trusted_open(AT_FDCWD, in(name), O_RDONLY, why, sizeof(why));

	assert_int_equal(err, -EPERM);
	snprintf(begin, sizeof(begin), "%s%s%s: %s", place, *where ? "/" : "", where, what);
	if (strncmp(why, begin, strlen(begin)))
		fail_msg("%s, not %s", why, begin);
}

static const char *const places[] = {"a/b/c/file", "a/b/c", "a/b", "a"};

/* Each mode that lets others in, at each place. */
static void test_modes(void **state)
{
	static const mode_t modes[] = {0664, 0646, 0666, 0777, 0620, 0602};

	(void)state;
	takes("a/b/c/file");
	for (size_t i = 0; i < 4; i++)
		for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
			struct stat st;

			assert_int_equal(stat(in(places[i]), &st), 0);
			assert_int_equal(chmod(in(places[i]), modes[m] | (i ? 0111 : 0)), 0);
			refuses("a/b/c/file", places[i], "can be written by others");
			assert_int_equal(chmod(in(places[i]), st.st_mode & 07777), 0);
		}
	takes("a/b/c/file");
}

static void test_sticky(void **state)
{
	char why[512];

	(void)state;
	assert_int_equal(chmod(in("a/b"), 01777), 0);
	takes("a/b/c/file");
	/* But not as one for files of ours: others could have theirs there before. */
	for (mode_t write = 0002; write <= 0022; write += 0020) {
		assert_int_equal(chmod(in("a/b/c"), 01755 | write), 0);
		takes("a/b/c/file");
		assert_int_equal(trusted_open(AT_FDCWD, in("a/b/c"), O_RDONLY | O_DIRECTORY, why,
					      sizeof(why)),
				 -EPERM);
		assert_non_null(strstr(why, "/a/b/c: others can put files there"));
	}
	assert_int_equal(chmod(in("a/b/c"), 01755), 0);
	assert_int_equal(close(trusted_open(AT_FDCWD, in("a/b/c"), O_RDONLY | O_DIRECTORY, why,
					    sizeof(why))),
			 0);
	assert_int_equal(chmod(in("a/b/c/file"), 01666), 0); /* of a file it means nothing */
	refuses("a/b/c/file", "a/b/c/file", "can be written by others");
}

static void test_owners(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(chown(in(places[i]), OTHER, 0), 0);
		refuses("a/b/c/file", places[i], "belongs to user 12345");
		assert_int_equal(chown(in(places[i]), 0, 0), 0);
	}
	/* Where all may write, another can have what is there. */
	assert_int_equal(chmod(in("a/b"), 01777), 0);
	assert_int_equal(chown(in("a/b/c"), OTHER, 0), 0);
	refuses("a/b/c/file", "a/b/c", "belongs to user 12345");
	/* For its own user it is its own. */
	assert_int_equal(chown(in("a/b/c/file"), OTHER, 0), 0);
	assert_int_equal(seteuid(OTHER), 0);
	assert_int_equal(chmod(place, 0755), -1);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(place, 0755), 0);
	assert_int_equal(seteuid(OTHER), 0);
	takes("a/b/c/file");
	assert_int_equal(seteuid(0), 0);
}

static void group(const struct account *list, size_t count, const char *member, bool taken)
{
	users = list;
	users_count = count;
	members[0] = (char *)member;
	members[1] = NULL;
	if (taken)
		takes("a/b/c/file");
	else
		refuses("a/b/c/file", "a/b", "can be written by others");
}

static void test_groups(void **state)
{
	const struct account own[] = {{"me", geteuid(), OTHER}, {"also", geteuid(), OTHER}};
	const struct account others[] = {{"me", geteuid(), OTHER}, {"you", 7, 7}, {"they", 8, OTHER}};
	const struct account elsewhere[] = {{"me", geteuid(), 7}};

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chown(in("a/b"), -1, OTHER), 0);
	assert_int_equal(chmod(in("a/b"), 0775), 0);
	group(own, 1, NULL, true);
	group(own, 2, NULL, true);
	group(own, 1, "me", true);
	group(own, 2, "also", true);
	group(own, 1, "you", false); /* whom nobody knows */
	group(others, 2, NULL, true);
	group(others, 2, "you", false);
	group(others, 3, NULL, false);
	group(elsewhere, 1, NULL, false);
	group(NULL, 0, NULL, false);
	assert_int_equal(chmod(in("a/b"), 0777), 0);
	group(own, 1, NULL, false);
}

/* The group's bits are those of an access list, which names another. */
static void test_access_list(void **state)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, bits;
			uint32_t id;
		} entries[5];
	} list = {2,
		  {{0x01, 7, -1}, {0x02, 7, OTHER}, {0x04, 7, -1}, {0x10, 7, -1}, {0x20, 5, -1}}};
	const struct account own[] = {{"me", geteuid(), OTHER}};

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chown(in("a/b"), -1, OTHER), 0);
	if (setxattr(in("a/b"), "system.posix_acl_access", &list, sizeof(list), 0) < 0) {
		print_message("no access lists on this file system: %s\n", strerror(errno));
		skip();
	}
	group(own, 1, NULL, false);
}

static void test_links(void **state)
{
	char to[PATH_MAX], why[512];

	(void)state;
	assert_int_equal(symlink("../a/b", in("other/relative")), 0);
	takes("other/relative/c/file");
	snprintf(to, sizeof(to), "%s/a/b/c/file", place);
	assert_int_equal(symlink(to, in("other/absolute")), 0);
	takes("other/absolute");
	assert_int_equal(symlink("absolute", in("other/twice")), 0);
	takes("other/twice");
	takes("other/../a/./b//c/../c/file");
	/* Where a link lies, and where it leads. */
	assert_int_equal(chmod(in("a/b"), 0777), 0);
	refuses("other/relative/c/file", "a/b", "can be written by others");
	refuses("other/twice", "a/b", "can be written by others");
	assert_int_equal(chmod(in("a/b"), 0755), 0);
	assert_int_equal(chmod(in("other"), 0777), 0);
	refuses("other/twice", "other", "can be written by others");
	assert_int_equal(chmod(in("other"), 01777), 0);
	takes("other/twice");
	if (geteuid() == 0) {
		assert_int_equal(lchown(in("other/absolute"), OTHER, OTHER), 0);
		refuses("other/twice", "other/absolute", "belongs to user 12345");
	}
	assert_int_equal(symlink("circle", in("other/circle")), 0);
	assert_int_equal(trusted_open(AT_FDCWD, in("other/circle"), O_RDONLY, why, sizeof(why)),
			 -ELOOP);
	assert_non_null(strstr(why, "symbolic links"));
}

/* A name that is relative to a directory: what is above that counts, too. */
static void test_relative(void **state)
{
	char why[512];
	int dir = open(in("a/b"), O_PATH | O_DIRECTORY), fd;

	(void)state;
	fd = trusted_open(dir, "c/file", O_RDONLY, why, sizeof(why));
	assert_true(fd >= 0);
	close(fd);
	fd = trusted_open(dir, "../b/c", O_RDONLY | O_DIRECTORY, why, sizeof(why));
	assert_true(fd >= 0);
	close(fd);
	fd = trusted_open(dir, "c/", O_RDONLY | O_DIRECTORY, why, sizeof(why));
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chmod(in("a"), 0777), 0);
	assert_int_equal(trusted_open(dir, "c/file", O_RDONLY, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "/a: can be written by others"));
	assert_int_equal(trusted_open(dir, "nothing", O_RDONLY, why, sizeof(why)), -EPERM);
	close(dir);
}

static void test_errors(void **state)
{
	char why[512], name[PATH_MAX + 16];

	(void)state;
	assert_int_equal(trusted_open(AT_FDCWD, in("a/x"), O_RDONLY, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "a/x: No such file"));
	assert_int_equal(trusted_open(AT_FDCWD, "", O_RDONLY, why, sizeof(why)), -ENOENT);
	assert_int_equal(trusted_open(AT_FDCWD, in("a/b/c/file/x"), O_RDONLY, why, sizeof(why)),
			 -ENOTDIR);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(trusted_open(AT_FDCWD, name, O_RDONLY, why, sizeof(why)), -ENAMETOOLONG);
	name[300] = '\0';
	assert_int_equal(trusted_open(AT_FDCWD, name, O_RDONLY, why, sizeof(why)), -ENAMETOOLONG);
}

/* As a shell hands a program what another one writes. */
static void test_own_descriptor(void **state)
{
	char name[64], why[512], text[8] = "";
	int ends[2], fd;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "content", 7), 7);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", ends[0]);
	fd = trusted_open(AT_FDCWD, name, O_RDONLY, why, sizeof(why));
	if (fd < 0)
		fail_msg("%s", why);
	assert_int_equal(read(fd, text, 7), 7);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_modes),	 TEST(test_sticky), TEST(test_owners), TEST(test_groups),
		TEST(test_access_list), TEST(test_links),  TEST(test_relative), TEST(test_errors),
		TEST(test_own_descriptor),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
