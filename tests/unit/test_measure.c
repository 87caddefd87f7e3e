/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "scratch.h"

static char root_path[64];
static int root;

static void put(const char *path, const void *data, size_t len)
{
	char part[256];
	int fd;

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		assert_true(mkdirat(root, part, 0755) == 0 || errno == EEXIST);
	}
	fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root_path, "/tmp/affiant-measure-XXXXXX");
	assert_non_null(mkdtemp(root_path));
	root = open(root_path, O_RDONLY | O_DIRECTORY);
	return root < 0;
}

static int remove_root(void **state)
{
	(void)state;
	close(root);
	return scratch_remove(root_path);
}

/* A machine like a container: nothing is there, and that is said. */
static void nothing_is_stated_as_nothing(void **state)
{
	struct measure_host h;
	struct utsname u;

	(void)state;
	memset(&h, 0xaa, sizeof(h));
	assert_int_equal(measure_host(root, &h), 0);
	assert_int_equal(uname(&u), 0);
	assert_string_equal(h.kernel, u.release);
	assert_string_equal(h.cmdline, "");
	assert_int_equal(h.lockdown, LOCKDOWN_UNAVAILABLE);
	assert_int_equal(h.secure_boot, SECURE_BOOT_UNAVAILABLE);
	for (int log = 0; log < MEASURE_LOGS; log++)
		assert_int_equal(measure_open(root, log), -ENOENT);
}

static void reads_what_there_is(void **state)
{
	static const uint8_t on[] = {6, 0, 0, 0, 1}, off[] = {6, 0, 0, 0, 0};
	static const char efi[] =
		"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
	static const struct {
		const char *text;
		enum measure_lockdown lockdown;
	} lockdowns[] = {
		{"[none] integrity confidentiality\n", LOCKDOWN_NONE},
		{"none [integrity] confidentiality\n", LOCKDOWN_INTEGRITY},
		{"none integrity [confidentiality]\n", LOCKDOWN_CONFIDENTIALITY},
		{"none\n", LOCKDOWN_UNAVAILABLE},
	};
	_cleanup_close_ int fd = -1;
	struct measure_host h;
	struct sha256 digest;
	char text[8];

	(void)state;
	put_text("proc/cmdline", "root=/dev/vda quiet\n");
	for (size_t i = 0; i < sizeof(lockdowns) / sizeof(*lockdowns); i++) {
		put_text("sys/kernel/security/lockdown", lockdowns[i].text);
		put(efi, i & 1 ? on : off, sizeof(on));
		assert_int_equal(measure_host(root, &h), 0);
		assert_int_equal(h.lockdown, lockdowns[i].lockdown);
		assert_int_equal(h.secure_boot, i & 1 ? SECURE_BOOT_ON : SECURE_BOOT_OFF);
	}
	assert_string_equal(h.cmdline, "root=/dev/vda quiet");
	assert_int_equal(sha256_of("root=/dev/vda quiet", 19, &digest), 0);
	assert_memory_equal(&h.cmdline_digest, &digest, sizeof(digest));
	put(efi, on, 4);
	assert_int_equal(measure_host(root, &h), 0);
	assert_int_equal(h.secure_boot, SECURE_BOOT_UNAVAILABLE);

	put_text("sys/kernel/security/tpm0/binary_bios_measurements", "log");
	fd = measure_open(root, MEASURE_BOOT);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	assert_memory_equal(text, "log", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_stated_as_nothing, make_root,
						remove_root),
		cmocka_unit_test_setup_teardown(reads_what_there_is, make_root, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
