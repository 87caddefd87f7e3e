/* SPDX-License-Identifier: Apache-2.0 */
/* What records of a real session become is in tests/e2e/test_evidence.py; here is what one seldom has. */
#include "daemon/workload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/environment.h"
#include "base/pb.h"

static Affiant__V1__Agent agent = AFFIANT__V1__AGENT__INIT;
static Affiant__V1__Session session_message = AFFIANT__V1__SESSION__INIT;
static Affiant__V1__SessionStarted started = AFFIANT__V1__SESSION_STARTED__INIT;
static Affiant__V1__Record head = AFFIANT__V1__RECORD__INIT;
static struct session session;
static struct claims *claims;

static int begin(void **state)
{
	(void)state;
	agent.name = (char *)"tester";
	agent.spiffe_id = (char *)"spiffe://example.org/agent/tester";
	affiant__v1__session_started__init(&started);
	affiant__v1__record__init(&head);
	head.agent = &agent;
	head.session = &session_message;
	head.session_started = &started;
	session = (struct session){.head = &head, .execs = 3};
	claims = calloc(1, sizeof(*claims));
	return !claims;
}

static int end(void **state)
{
	(void)state;
	claims_clear(claims);
	free(claims);
	return 0;
}

/* An image whose executable has this path, and a digest in this state. */
static struct image image_of(const char *path, Affiant__V1__HashState hash_state,
			     const ProtobufCBinaryData *sha256, const ProtobufCBinaryData *verity)
{
	Affiant__V1__Process p = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__Executable exe = AFFIANT__V1__EXECUTABLE__INIT;
	Affiant__V1__Digest digest = AFFIANT__V1__DIGEST__INIT;
	struct image i = {.known = true};

	SET(&digest, state, hash_state);
	if (sha256)
		SET(&digest, sha256, *sha256);
	if (verity)
		SET(&digest, verity, *verity);
	SET(&exe, path, pb_bytes(path, strlen(path)));
	exe.digest = &digest;
	p.executable = &exe;
	SET(&p, euid, 1000);
	SET(&p, egid, 100);
	i.packed = malloc(affiant__v1__process__get_packed_size(&p));
	assert_non_null(i.packed);
	i.packed_len = affiant__v1__process__pack(&p, i.packed);
	return i;
}

static const ProtobufCBinaryData some = {32, (uint8_t *)"................................"};

/* Adds what was read of an unproven executable. */
static void unprove(struct image *i, const ProtobufCBinaryData *sha256)
{
	Affiant__V1__Process *p = affiant__v1__process__unpack(NULL, i->packed_len, i->packed);

	assert_non_null(p);
	SET(p->executable->digest, unproven_sha256, *sha256);
	free(i->packed);
	i->packed = malloc(affiant__v1__process__get_packed_size(p));
	assert_non_null(i->packed);
	i->packed_len = affiant__v1__process__pack(p, i->packed);
	SET(p->executable->digest, unproven_sha256, pb_bytes(NULL, 0)); /* borrowed */
	affiant__v1__process__free_unpacked(p, NULL);
}

static void test_process(void **state)
{
	struct image image =
		image_of("/opt/100%\xff", AFFIANT__V1__HASH_STATE__HASH_OBSERVED, &some, NULL);
	struct actor actor = {.session = &session, .image = &image, .key.tgid = 7};

	(void)state;
	assert_int_equal(workload_claims(&actor, 0, claims), 0);
	assert_int_equal(claims->workload.process.pid, 7);
	assert_int_equal(claims->workload.process.uid, 1000);
	assert_int_equal(claims->workload.process.gid, 100);
	assert_int_equal(claims->files_count, 1);
	assert_string_equal(claims->files[0].path, "/opt/100%25%FF");
	assert_int_equal(claims->files[0].state, CLAIMS_OBSERVED);
	assert_memory_equal(claims->files[0].digest, some.data, 32);
	assert_int_equal(claims->workload.execs, 3);
	assert_false(claims->workload.task.present);
	assert_null(claims->workload.principal);
	assert_false(claims->workload.ancestors_cut);
	assert_false(claims->workload.programs_cut);
	free(image.packed);
}

static void test_verity(void **state)
{
	static const ProtobufCBinaryData long_one = {
		64, (uint8_t *)"................................................................"};
	struct image image = image_of("/a", AFFIANT__V1__HASH_STATE__HASH_VERITY, NULL, &long_one);
	struct actor actor = {.session = &session, .image = &image};

	(void)state;
	assert_int_equal(workload_claims(&actor, 0, claims), 0);
	assert_int_equal(claims->files[0].state, CLAIMS_VERITY);
	assert_int_equal(claims->files[0].digest_len, 64);
	free(image.packed);
}

/* Where a proven digest stands, no other one ever does. */
static void test_unproven(void **state)
{
	static const struct {
		Affiant__V1__HashState state;
		bool digest, unproven;
	} cases[] = {
		{AFFIANT__V1__HASH_STATE__HASH_OBSERVED, true, false},
		{AFFIANT__V1__HASH_STATE__HASH_UNPROVEN, false, true},
		{AFFIANT__V1__HASH_STATE__HASH_CLAIMED, false, false},
		{AFFIANT__V1__HASH_STATE__HASH_CHANGED, false, false},
	};
	struct image image;
	struct actor actor = {.session = &session, .image = &image};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		/* With everything that can be there. */
		image = image_of("/a", cases[i].state, &some, &some);
		unprove(&image, &some);
		assert_int_equal(workload_claims(&actor, 0, claims), 0);
		assert_int_equal(claims->files[0].state, (int)cases[i].state);
		assert_int_equal(claims->files[0].digest_len, cases[i].digest ? 32 : 0);
		assert_int_equal(claims->files[0].has_unproven, cases[i].unproven);
		free(image.packed);
		claims_clear(claims);
		memset(claims, 0, sizeof(*claims));
	}
}

/* Two files of one path and state are one only if what was read of them is one, too. */
static void test_unproven_apart(void **state)
{
	static const ProtobufCBinaryData digests[] = {
		{32, (uint8_t *)"................................"},
		{32, (uint8_t *)"................................"},
		{32, (uint8_t *)"...............................!"},
	};
	struct image images[3];
	struct lineage lineage = {.count = 2};
	struct actor actor = {.session = &session, .image = &images[0], .lineage = &lineage};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		images[i] = image_of("/a", AFFIANT__V1__HASH_STATE__HASH_UNPROVEN, NULL, NULL);
		unprove(&images[i], &digests[i]);
	}
	lineage.up[0].image = &images[1];
	lineage.up[1].image = &images[2];
	assert_int_equal(workload_claims(&actor, 0, claims), 0);
	assert_int_equal(claims->files_count, 2);
	assert_int_equal(claims->workload.ancestors[0].files[0], 0);
	assert_int_equal(claims->workload.ancestors[1].files[0], 1);
	for (size_t i = 0; i < 3; i++)
		free(images[i].packed);
}

/* Sixteen are told of; who executes the same file names the same one; what is not known is not made up. */
static void test_ancestors(void **state)
{
	struct image own = image_of("/a", AFFIANT__V1__HASH_STATE__HASH_OBSERVED, &some, NULL);
	struct image other = image_of("/b", AFFIANT__V1__HASH_STATE__HASH_TOO_LATE, NULL, NULL);
	struct lineage lineage = {.count = LINEAGE_MAX, .cut = true};
	struct actor actor = {.session = &session, .image = &own, .lineage = &lineage};

	(void)state;
	for (unsigned int i = 0; i < LINEAGE_MAX; i++) {
		lineage.up[i].key = (struct process_key){.tgid = 100 + i};
		lineage.up[i].image = i == 3 ? NULL : i % 2 ? &own : &other;
	}
	assert_int_equal(workload_claims(&actor, 0, claims), 0);
	assert_true(claims->workload.ancestors_cut);
	assert_int_equal(claims->workload.ancestors_count, LINEAGE_MAX);
	assert_int_equal(claims->files_count, 2);
	assert_int_equal(claims->workload.ancestors[3].files_count, 0);
	assert_true(claims->workload.ancestors[3].environment_cut);
	assert_false(claims->workload.ancestors[4].environment_cut);
	assert_int_equal(claims->workload.ancestors[1].files[0], 0);
	assert_int_equal(claims->workload.ancestors[2].files[0], 1);
	assert_int_equal(claims->workload.ancestors[15].pid, 115);
	assert_int_equal(claims->files[1].state, CLAIMS_TOO_LATE);
	free(own.packed);
	free(other.packed);
}

/* A name from a journal of another version is not dropped without a word. */
static void test_environment(void **state)
{
	static char *names[] = {(char *)"LD_PRELOAD", (char *)"BASH_FUNC_*", (char *)"TOMORROW"};
	Affiant__V1__Process p = AFFIANT__V1__PROCESS__INIT;
	struct image image = {.known = true};
	struct actor actor = {.session = &session, .image = &image};

	(void)state;
	p.environment = names;
	for (p.n_environment = 2; p.n_environment <= 3; p.n_environment++) {
		image.packed = malloc(affiant__v1__process__get_packed_size(&p));
		assert_non_null(image.packed);
		image.packed_len = affiant__v1__process__pack(&p, image.packed);
		assert_int_equal(workload_claims(&actor, 0, claims), 0);
		assert_int_equal(claims->workload.process.environment[0],
				 1 | 1 << environment_number("BASH_FUNC_*"));
		assert_int_equal(claims->workload.process.environment[1], 0);
		assert_int_equal(claims->workload.process.environment_cut, p.n_environment > 2);
		free(image.packed);
		claims_clear(claims);
	}
}

/* A manifest that has no root says why; more than are told of is no evidence, rather than half of it. */
static void test_manifests(void **state)
{
	Affiant__V1__ManifestPath paths[CLAIMS_MANIFESTS_MAX + 1], *list[CLAIMS_MANIFESTS_MAX + 1];
	struct image image = image_of("/a", AFFIANT__V1__HASH_STATE__HASH_OBSERVED, &some, NULL);
	struct actor actor = {.session = &session, .image = &image};
	Affiant__V1__Manifest manifest = AFFIANT__V1__MANIFEST__INIT;
	char names[CLAIMS_MANIFESTS_MAX + 1][16];

	(void)state;
	for (size_t i = 0; i <= CLAIMS_MANIFESTS_MAX; i++) {
		affiant__v1__manifest_path__init(&paths[i]);
		snprintf(names[i], sizeof(names[i]), "/m/%zu", i);
		SET(&paths[i], path, pb_bytes(names[i], strlen(names[i])));
		if (i != 1)
			SET(&paths[i], root, some);
		list[i] = &paths[i];
	}
	SET(&manifest, state, AFFIANT__V1__HASH_STATE__HASH_OBSERVED);
	manifest.paths = list;
	manifest.n_paths = 2;
	started.manifest = &manifest;
	assert_int_equal(workload_claims(&actor, 0, claims), 0);
	assert_int_equal(claims->workload.manifests_count, 2);
	assert_int_equal(claims->files[claims->workload.manifests[0]].state, CLAIMS_OBSERVED);
	assert_int_equal(claims->files[claims->workload.manifests[1]].state, CLAIMS_UNREADABLE);
	claims_clear(claims);
	memset(claims, 0, sizeof(*claims));
	manifest.n_paths = CLAIMS_MANIFESTS_MAX + 1;
	assert_int_equal(workload_claims(&actor, 0, claims), -EMSGSIZE);
	free(image.packed);
}

static void test_settled(void **state)
{
	Affiant__V1__Process draft = AFFIANT__V1__PROCESS__INIT;
	struct image done = {.known = true}, waits = {.known = true, .draft = &draft};
	struct lineage lineage = {.count = 2, .up = {{.image = NULL}, {.image = &done}}};
	struct actor actor = {.session = &session, .image = &done, .lineage = &lineage};

	(void)state;
	assert_true(workload_settled(&actor));
	lineage.up[1].image = &waits;
	assert_false(workload_settled(&actor));
	actor.lineage = NULL;
	assert_true(workload_settled(&actor));
	actor.image = &waits;
	assert_false(workload_settled(&actor));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_process, begin, end),
		cmocka_unit_test_setup_teardown(test_verity, begin, end),
		cmocka_unit_test_setup_teardown(test_unproven, begin, end),
		cmocka_unit_test_setup_teardown(test_unproven_apart, begin, end),
		cmocka_unit_test_setup_teardown(test_ancestors, begin, end),
		cmocka_unit_test_setup_teardown(test_environment, begin, end),
		cmocka_unit_test_setup_teardown(test_manifests, begin, end),
		cmocka_unit_test_setup_teardown(test_settled, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
