/* SPDX-License-Identifier: Apache-2.0 */
/* Allowlists of a policy: which lines there are, and that any other is told with its file and line. */
#include "cli/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/tpm2.h"
#include "scratch.h"

#define H8 "0123456789abcdef"
#define H32 H8 H8 H8 H8
#define H48 H32 H8 H8
#define H64 H32 H32

static char place[] = "/tmp/affiant-allowlist-XXXXXX";

static int make_place(void **state)
{
	(void)state;
	return mkdtemp(place) ? 0 : -1;
}

static int remove_place(void **state)
{
	(void)state;
	return scratch_remove(place);
}

static int parse(const char *text, size_t len, struct policy **ret, char **ret_why)
{
	static const char policy[] = "# a policy\nima: {allowlist: [list]}\n";
	int dir = open(place, O_PATH | O_DIRECTORY), fd, err;

	assert_true(dir >= 0);
	fd = openat(dir, "list", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	err = policy_parse("p", policy, strlen(policy), dir, ret, ret_why);
	close(dir);
	return err;
}

static const struct {
	const char *line;
	uint16_t alg;
	const char *glob;
} good[] = {
	{"sha256:" H32, TPM2_SHA256, NULL},
	{"sha384:" H48 " /usr/bin/*", TPM2_SHA384, "/usr/bin/*"},
	{"sha512:" H64 "\t /a", TPM2_SHA512, "/a"},
	{"any /var/log/*", 0, "/var/log/*"},
	{"  \tany\t/a b", 0, "/a b"},
	{"sha256:" H32 " # coreutils 9.1", TPM2_SHA256, NULL},
	{"sha256:" H32 "\t#", TPM2_SHA256, NULL},
	{"sha256:" H32 " /bin/true # coreutils", TPM2_SHA256, "/bin/true"},
	{"any /a#b", 0, "/a#b"},
	{"any /a \\#b", 0, "/a \\#b"},
	{"any /a  \t", 0, "/a"},
	{"sha256:" H32 "\r", TPM2_SHA256, NULL},
	{"any /a \r", 0, "/a"},
	{"any /a\\\\", 0, "/a\\\\"},
	{"any /\xc3\xa4*", 0, "/\xc3\xa4*"},
};

static const char *const none[] = {"", " ", "\t\r", "#", "# any", " \t# any /x", "#any /x\r"};

static void test_good(void **state)
{
	struct policy *p;
	char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		const struct affiant_ima *ima;

		if (parse(good[i].line, strlen(good[i].line), &p, &why))
			fail_msg("%s", why);
		ima = &policy_rules(p)->ima;
		assert_int_equal(ima->allowed_count, 1);
		assert_int_equal(ima->allowed[0].alg, good[i].alg);
		if (!good[i].glob)
			assert_null(ima->allowed[0].glob);
		else
			assert_string_equal(ima->allowed[0].glob, good[i].glob);
		policy_free(p);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
		if (parse(none[i], strlen(none[i]), &p, &why))
			fail_msg("%s", why);
		assert_int_equal(policy_rules(p)->ima.allowed_count, 0);
		policy_free(p);
	}
}

static const struct {
	const char *line, *why;
} bad[] = {
	{"any", "'any' needs a glob"},
	{"any ", "'any' needs a glob"},
	{"any # all", "'any' needs a glob"},
	{"any *", "the glob does not begin with '/'"},
	{"any bin/*", "the glob does not begin with '/'"},
	{"sha256:" H32 " coreutils", "the glob does not begin with '/'"},
	{"sha256:" H32 " sha256:" H32, "the glob does not begin with '/'"},
	{"sha256:" H32 " // coreutils\x01", "the glob has a control character"},
	{"any /a\rany /b", "the glob has a control character"},
	{"any /a\\", "the glob ends in a backslash"},
	{"any /a\\\\\\", "the glob ends in a backslash"},
	{"sha256:" H32 "0", "the digest is not as many"},
	{"sha256:" H8, "the digest is not as many"},
	{"sha256:", "the digest is not as many"},
	{"sha256: " H32, "the digest is not as many"},
	{"sha384:" H32, "the digest is not as many"},
	{"sha512:" H48, "the digest is not as many"},
	{"sha256:" H48 H8 "ABCDEF", "the digest is not as many"},
	{"sha256:" H32 "#", "the digest is not as many"},
	{"sha256:" H32 "\v", "the digest is not as many"},
	{"SHA256:" H32, "a line is"},
	{"sha1:" H8, "a line is"},
	{H32 "  /bin/true", "a line is"},
	{"Any /a", "a line is"},
	{"anything /a", "a line is"},
	{"\"any /a\"", "a line is"},
	{"// any /a", "a line is"},
	{"; any /a", "a line is"},
	{"\xef\xbb\xbf" "any /a", "a line is"},
};

static void check_bad(const char *text, size_t len, unsigned int line, const char *what)
{
	char begin[256], *why = NULL;
	struct policy *p;

	snprintf(begin, sizeof(begin), "p:2: ima.allowlist[0]: list:%u: %s", line, what);
	if (!parse(text, len, &p, &why))
		fail_msg("taken: %s", text);
	if (strncmp(why, begin, strlen(begin)))
		fail_msg("%s, not %s", why, begin);
	free(why);
}

static void test_bad(void **state)
{
	static const char before[] = "# a list\nany /a\n\n";
	char text[1024], glob[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		size_t len = snprintf(text, sizeof(text), "%s%s\nany /b\n", before, bad[i].line);

		check_bad(text, len, 4, bad[i].why);
	}
	check_bad("\xef\xbb\xbf# a list\n", 12, 1, "there is a byte order mark");
	check_bad("any /a\nany /b\0*\nany /c\n", 23, 2, "there is a NUL");
	check_bad("any /a\n\0", 8, 2, "there is a NUL");
	check_bad("a\0n\0y\0 \0", 8, 1, "there is a NUL");
	snprintf(glob, sizeof(glob), "any /%04096d", 0);
	check_bad(glob, strlen(glob), 1, "the glob is longer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
