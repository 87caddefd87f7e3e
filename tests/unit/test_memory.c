/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/memory.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "scratch.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define NONE UINT64_MAX

static void follows_the_hosts_memory(void **state)
{
	static const struct {
		uint64_t total, limit, mib;
	} cases[] = {
		{0, NONE, 8},
		{512 * MIB, NONE, 8},
		{GIB, NONE, 8},
		{2 * GIB, NONE, 16},
		{2 * GIB - 1, NONE, 8},
		{3900 * MIB, NONE, 16}, /* what "4 GiB" leave to Linux */
		{7800 * MIB, NONE, 32},
		{15700 * MIB, NONE, 64},
		{64 * GIB, NONE, 64},
		{NONE, NONE, 64},
		{64 * GIB, 256 * MIB, 64},
		{64 * GIB, 255 * MIB, 32},
		{64 * GIB, 128 * MIB, 32},
		{64 * GIB, 64 * MIB, 16},
		{64 * GIB, 32 * MIB, 8},
		{64 * GIB, 0, 8},
		{GIB, GIB, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(memory_ring_bytes(cases[i].total, cases[i].limit),
				 cases[i].mib * MIB);
}

static uint64_t total_of(const char *text)
{
	FILE *f = fmemopen((char *)text, strlen(text), "r");
	uint64_t total = memory_total(f);

	fclose(f);
	return total;
}

static void reads_the_total(void **state)
{
	(void)state;
	assert_true(total_of("MemTotal:        1024 kB\nMemFree: 3 kB\n") == MIB);
	assert_true(total_of("MemFree: 3 kB\nMemTotal: 2 kB\n") == 2048);
	assert_true(total_of("MemFree: 3 kB\n") == NONE);
	assert_true(total_of("MemTotal: many kB\n") == NONE);
	assert_true(total_of("MemTotal: 18446744073709551615 kB\n") == NONE);
	assert_true(total_of(" ") == NONE);
}

static char directory[] = "/tmp/affiant-memory-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static uint64_t limit_of(const char *membership)
{
	_cleanup_close_ int root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FILE *f = fmemopen((char *)membership, strlen(membership), "r");
	uint64_t limit = memory_limit(root, f);

	fclose(f);
	return limit;
}

static void finds_the_lowest_limit_above(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	make("a.slice");
	make("a.slice/b.service");
	make("a.slice/other");
	assert_true(limit_of("0::/a.slice/b.service\n") == NONE); /* the controller is off */
	put("a.slice/memory.max", "max\n");
	put("a.slice/memory.high", "max\n");
	put("a.slice/b.service/memory.max", "max\n");
	assert_true(limit_of("0::/a.slice/b.service\n") == NONE);
	put("a.slice/b.service/memory.max", "4096\n");
	assert_true(limit_of("0::/a.slice/b.service\n") == 4096);
	put("a.slice/b.service/memory.high", "2048\n");
	assert_true(limit_of("0::/a.slice/b.service\n") == 2048);
	put("a.slice/memory.max", "1024\n");
	assert_true(limit_of("0::/a.slice/b.service\n") == 1024);
	assert_true(limit_of("0::/a.slice/b.service") == 1024);
	put("a.slice/other/memory.max", "1\n");
	assert_true(limit_of("9:memory:/a.slice/other\n0::/a.slice/b.service\n") == 1024);
	assert_true(limit_of("0::/a.slice/gone\n") == 1024);
	assert_true(limit_of("0::/\n") == NONE);
	assert_true(limit_of("1:name=systemd:/a.slice\n") == NONE);
	assert_int_equal(scratch_remove(directory), 0);
}

/* Whatever this host is. */
static void of_this_host(void **state)
{
	_cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t bytes = memory_ring_default(root);

	(void)state;
	assert_in_range(bytes, MEMORY_RING_MIN, MEMORY_RING_MAX);
	assert_int_equal(bytes & (bytes - 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_hosts_memory),
		cmocka_unit_test(reads_the_total),
		cmocka_unit_test(finds_the_lowest_limit_above),
		cmocka_unit_test(of_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
