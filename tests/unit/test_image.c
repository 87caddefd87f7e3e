/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collect/decode.h"
#include "collect/redact.h"

static union {
	struct event_exec e;
	uint8_t bytes[EVENT_SIZE_MAX];
	uint64_t aligned;
} event;

static struct table table;
static const struct image_context context = {.argv_max = 2048};

static int set_up(void **state)
{
	(void)state;
	memset(&event, 0, sizeof(event));
	event.e.header.type = EVENT_EXEC;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_null(table.paths);
	table_clear(&table);
	return 0;
}

static void set_strings(const char *exe, size_t exe_len, const char *cwd, size_t cwd_len,
			const char *argv, size_t argv_len)
{
	event.e.exe_len = exe_len;
	event.e.cwd_len = cwd_len;
	event.e.argv_len = argv_len;
	memcpy(event.e.data, exe, exe_len);
	memcpy(event.e.data + exe_len, cwd, cwd_len);
	memcpy(event.e.data + exe_len + cwd_len, argv, argv_len);
	event.e.header.size = (sizeof(event.e) + exe_len + cwd_len + argv_len + 7) / 8 * 8;
}

#define LITERAL(x) x, sizeof(x)

static void assert_bytes(ProtobufCBinaryData b, const char *want)
{
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data, want, b.len);
}

/* What others will read: the bytes of the finished image. */
static Affiant__V1__Process *finish(struct image *i)
{
	Affiant__V1__Process *p;

	image_finish(i);
	assert_null(i->draft);
	p = affiant__v1__process__unpack(NULL, i->packed_len, i->packed);
	assert_non_null(p);
	return p;
}

static void done(struct image *i, Affiant__V1__Process *p)
{
	affiant__v1__process__free_unpacked(p, NULL);
	image_unref(i);
}

static void tells_all_of_an_exec(void **state)
{
	struct file_digest d = {.state = HASH_STATE_OBSERVED,
				.sha256 = {{1, 2, 3}},
				.build_id_len = 2,
				.build_id = {0xab, 0xcd},
				.package = "{\"name\":\"x\"}"};
	Affiant__V1__Process *p;
	struct image *i;

	(void)state;
	set_strings(LITERAL("agent\0bin"), LITERAL("work\0home"), LITERAL("agent\0--fast\0\0end"));
	event.e.uid = 1;
	event.e.gid = 2;
	event.e.euid = 3;
	event.e.egid = 4;
	event.e.cap_effective = 5;
	event.e.cap_permitted = 1ull << 40;
	event.e.cgroup = 77;
	event.e.exe = (struct object_id){.inode = 11, .size = 12, .device = 13};
	event.e.argc = 4;
	event.e.flags = EXEC_SETUID | EXEC_MEMFD | EXEC_DELETED | EXEC_ENVIRONMENT_CUT;
	event.e.environment[0] = 1;
	event.e.environment[1] = UINT64_C(1) << 63; /* nobody's yet: of another version */
	for (unsigned int n = 0; n < NS_COUNT; n++)
		event.e.ns[n] = 100 + n;
	memcpy(event.e.comm, "sixteen-letters!", 16);
	i = image_from_exec(&table, &event.e, &context);
	assert_true(i->known);
	assert_string_equal(i->exe->text, "/bin/agent");
	assert_int_equal(i->awaited, 1);
	image_set_digest(i, IMAGE_EXE, &d);
	assert_int_equal(i->awaited, 0);
	p = finish(i);

	assert_null(p->id);
	assert_int_equal(p->uid, 1);
	assert_int_equal(p->gid, 2);
	assert_int_equal(p->euid, 3);
	assert_int_equal(p->egid, 4);
	assert_int_equal(p->cap_effective, 5);
	assert_int_equal(p->cap_permitted, 1ull << 40);
	assert_int_equal(p->cgroup_id, 77);
	assert_false(p->has_cgroup);
	assert_true(p->setuid);
	assert_int_equal(p->n_environment, 1);
	assert_string_equal(p->environment[0], "LD_PRELOAD");
	assert_true(p->environment_cut);
	assert_false(p->has_late);
	assert_bytes(p->comm, "sixteen-letters!");
	assert_bytes(p->cwd, "/home/work");
	assert_int_equal(p->namespaces->mnt, 100);
	assert_int_equal(p->namespaces->time, 107);
	assert_int_equal(p->argc, 4);
	assert_int_equal(p->n_argv, 4);
	assert_bytes(p->argv[1], "--fast");
	assert_bytes(p->argv[2], "");
	assert_false(p->argv_cut);
	assert_false(p->has_redacted);
	assert_bytes(p->executable->path, "/bin/agent");
	assert_int_equal(p->executable->device, 13);
	assert_int_equal(p->executable->inode, 11);
	assert_int_equal(p->executable->size, 12);
	assert_true(p->executable->memfd);
	assert_true(p->executable->deleted);
	assert_int_equal(p->executable->build_id.len, 2);
	assert_string_equal(p->executable->package, "{\"name\":\"x\"}");
	assert_int_equal(p->executable->digest->state, AFFIANT__V1__HASH_STATE__HASH_OBSERVED);
	assert_memory_equal(p->executable->digest->sha256.data, d.sha256.bytes, 32);
	done(i, p);
}

static void tells_no_path_that_is_not_known(void **state)
{
	Affiant__V1__Process *p;
	struct image *i;

	(void)state;
	i = image_from_exec(&table, &event.e, &context);
	assert_null(i->exe);
	p = finish(i);
	assert_false(p->executable->has_path);
	assert_bytes(p->cwd, "/"); /* no components, and none were cut */
	assert_false(p->has_setuid);
	assert_int_equal(p->n_argv, 0);
	done(i, p);

	event.e.flags = EXEC_PATH_CUT;
	i = image_from_exec(&table, &event.e, &context);
	p = finish(i);
	assert_false(p->has_cwd);
	done(i, p);
}

static void tells_no_arguments_of_what_ran_already(void **state)
{
	Affiant__V1__Process *p;
	struct image *i;

	(void)state;
	event.e.header.type = EVENT_ADOPT;
	set_strings(LITERAL("agent"), LITERAL("home"), LITERAL("forged"));
	i = image_from_exec(&table, &event.e, &context);
	p = finish(i);
	assert_true(p->late);
	assert_false(p->has_argc);
	assert_int_equal(p->n_argv, 0);
	done(i, p);
}

static void keeps_so_much_of_the_arguments(void **state)
{
	static char argv[EVENT_ARGV_MAX];
	const struct image_context small = {.argv_max = 100};
	Affiant__V1__Process *p;
	struct image *i;

	(void)state;
	for (size_t at = 0; at < sizeof(argv); at++)
		argv[at] = at % 10 == 9 ? '\0' : 'a' + at / 10 % 26;
	set_strings(LITERAL("a"), "", 0, argv, sizeof(argv));
	event.e.argc = 410;
	i = image_from_exec(&table, &event.e, &small);
	p = finish(i);
	assert_int_equal(p->n_argv, 10);
	assert_bytes(p->argv[9], "jjjjjjjjj");
	assert_int_equal(p->argc, 410);
	assert_true(p->argv_cut);
	done(i, p);

	/* What the kernel cut, and an argument without its end. */
	set_strings(LITERAL("a"), "", 0, "one\0tw", 6);
	event.e.flags = EXEC_ARGV_CUT;
	i = image_from_exec(&table, &event.e, &context);
	p = finish(i);
	assert_int_equal(p->n_argv, 2);
	assert_bytes(p->argv[1], "tw");
	assert_true(p->argv_cut);
	done(i, p);

	/* Nothing but empty ones. */
	memset(argv, 0, sizeof(argv));
	set_strings(LITERAL("a"), "", 0, argv, sizeof(argv));
	event.e.flags = 0;
	i = image_from_exec(&table, &event.e, &context);
	p = finish(i);
	assert_int_equal(p->n_argv, 2048);
	assert_true(p->argv_cut);
	done(i, p);
}

static void shows_what_was_redacted(void **state)
{
	Affiant__V1__Process *p;
	struct image *i;

	(void)state;
	set_strings(LITERAL("a"), "", 0, LITERAL("x\0--token\0\x1a\x1a\x1a\0k=\x1a,l=\x1a\x1a"));
	i = image_from_exec(&table, &event.e, &context);
	p = finish(i);
	assert_int_equal(p->n_argv, 4);
	assert_bytes(p->argv[1], "--token");
	assert_bytes(p->argv[2], REDACTED_TEXT);
	assert_bytes(p->argv[3], "k=" REDACTED_TEXT ",l=" REDACTED_TEXT);
	assert_int_equal(p->redacted, 2);
	done(i, p);
}

/* ---- digests ---- */

static struct image *simple(void)
{
	set_strings(LITERAL("agent\0bin"), "", 0, "", 0);
	return image_from_exec(&table, &event.e, &context);
}

static void carries_a_digest_only_where_there_is_one(void **state)
{
	(void)state;
	for (unsigned int s = HASH_STATE_UNKNOWN; s <= HASH_STATE_DISABLED; s++) {
		struct file_digest d = {.state = s,
					.sha256 = {{9}},
					.verity = {8},
					.verity_len = 32,
					.verity_algorithm = 1,
					.unproven = true};
		struct image *i = simple();
		Affiant__V1__Process *p;

		image_set_digest(i, IMAGE_EXE, &d);
		p = finish(i);
		assert_int_equal(p->executable->digest->state, s);
		assert_int_equal(p->executable->digest->has_sha256, s == HASH_STATE_OBSERVED ||
									    s == HASH_STATE_HELD ||
									    s == HASH_STATE_KERNEL);
		assert_int_equal(p->executable->digest->has_verity, s == HASH_STATE_VERITY);
		if (s == HASH_STATE_VERITY)
			assert_string_equal(p->executable->digest->verity_algorithm, "sha256");
		done(i, p);
	}
}

static void keeps_the_first_word(void **state)
{
	struct file_digest first = {.state = HASH_STATE_OBSERVED, .sha256 = {{1}}};
	struct file_digest second = {.state = HASH_STATE_OBSERVED, .sha256 = {{2}}};
	struct image *i = simple();
	Affiant__V1__Process *p;

	(void)state;
	image_set_digest(i, IMAGE_EXE, &first);
	image_set_digest(i, IMAGE_EXE, &second);
	image_set_digest(i, 5, &second); /* a slot that nobody asked for */
	assert_int_equal(i->awaited, 0);
	p = finish(i);
	assert_int_equal(p->executable->digest->sha256.data[0], 1);
	image_set_digest(i, IMAGE_EXE, &second); /* too late */
	done(i, p);
}

static void tells_the_chain(void **state)
{
	struct file_digest exe = {.state = HASH_STATE_OBSERVED, .sha256 = {{1}}, .build_id_len = 1};
	struct file_digest script = {.state = HASH_STATE_CHANGED};
	struct image *i = simple();
	Affiant__V1__Process *p;
	int a, b, c;

	(void)state;
	a = image_add_step(i, AFFIANT__V1__STEP_KIND__STEP_SCRIPT, "/x.sh", 5, false);
	b = image_add_step(i, AFFIANT__V1__STEP_KIND__STEP_INTERPRETER, "/bin/agent", 10, false);
	c = image_add_step(i, AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT, NULL, 0, true);
	assert_true(a > 0 && b > 0 && c > 0);
	i->twin = b;
	assert_int_equal(i->awaited, 4);
	image_set_digest(i, IMAGE_EXE, &exe);
	assert_int_equal(i->awaited, 2);
	image_set_digest(i, a, &script);
	p = finish(i);
	assert_int_equal(p->n_chain, 3);
	assert_bytes(p->chain[0]->path, "/x.sh");
	assert_int_equal(p->chain[0]->digest->state, AFFIANT__V1__HASH_STATE__HASH_CHANGED);
	assert_false(p->chain[0]->digest->has_sha256);
	assert_int_equal(p->chain[1]->digest->sha256.data[0], 1);
	assert_true(p->chain[2]->named_by_argv);
	assert_false(p->chain[2]->has_path);
	assert_int_equal(p->chain[2]->digest->state, AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
	assert_true(p->executable->has_build_id);
	done(i, p);
}

static void bounds_the_chain(void **state)
{
	static char path[8192];
	struct image *i = simple();
	Affiant__V1__Process *p;

	(void)state;
	memset(path, '/', sizeof(path));
	for (int n = 1; n < IMAGE_DIGESTS_MAX; n++)
		assert_int_equal(image_add_step(i, AFFIANT__V1__STEP_KIND__STEP_SCRIPT, path,
						sizeof(path), false),
				 n);
	assert_int_equal(image_add_step(i, AFFIANT__V1__STEP_KIND__STEP_SCRIPT, path, 1, false),
			 -ENOSPC);
	p = finish(i);
	assert_int_equal(p->n_chain, IMAGE_DIGESTS_MAX - 1);
	assert_int_equal(p->chain[0]->path.len, EVENT_PATH_MAX);
	done(i, p);
}

static void shares_paths(void **state)
{
	struct image *a = simple(), *b = simple();

	(void)state;
	assert_ptr_equal(a->exe, b->exe);
	assert_int_equal(a->exe->refs, 2);
	image_unref(a);
	assert_int_equal(b->exe->refs, 1);
	image_unref(b);
}

static void survives_its_table(void **state)
{
	struct image *i = simple();

	(void)state;
	table_clear(&table);
	assert_string_equal(i->exe->text, "/bin/agent");
	image_unref(i);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_all_of_an_exec),
		TEST(tells_no_path_that_is_not_known),
		TEST(tells_no_arguments_of_what_ran_already),
		TEST(keeps_so_much_of_the_arguments),
		TEST(shows_what_was_redacted),
		TEST(carries_a_digest_only_where_there_is_one),
		TEST(keeps_the_first_word),
		TEST(tells_the_chain),
		TEST(bounds_the_chain),
		TEST(shares_paths),
		TEST(survives_its_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
