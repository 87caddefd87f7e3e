/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/attester.h"

#include "handed.h"
#include "softtpm.h"

#include "attest/jose.h"
#include "attest/ossl.h"
#include "attest/parts.h"
#include "base/cleanup.h"

#define IMA "sys/kernel/security/ima"
#define BOOT "sys/kernel/security/tpm0"

struct bed {
	struct softtpm *tpm;
	char tcti[128];
	struct handout *handout;
	int root; /* a file system of the test's own */
	struct attester *attester;
};

/* @tcti NULL: none is configured. */
static struct attester *attester_on(const struct bed *b, const char *tcti)
{
	const struct attester_config config = {
		.tcti = tcti,
		.tpm = {.timeout_ns = 10000000000ull, .pcrs = DEFAULT_PCRS},
		.state_dir = b->tpm->keys,
		.root = b->root,
		.host_id = "host",
		.boot_id = "boot",
		.bpf = "object",
		.bpf_len = 6,
	};
	struct attester *a = NULL;
	char *why = NULL;

	assert_int_equal(attester_new(&config, &a, &why), 0);
	assert_null(why);
	return a;
}

static int bed_new(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	tpm_new((void **)&b->tpm);
	snprintf(b->tcti, sizeof(b->tcti), "swtpm:path=%s", b->tpm->socket);
	assert_int_equal(run("mkdir -p %s/root/%s %s/root/%s", b->tpm->dir, IMA, b->tpm->dir, BOOT),
			 0);
	snprintf(b->tpm->socket, sizeof(b->tpm->socket), "%s/root", b->tpm->dir);
	b->root = open(b->tpm->socket, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->root >= 0);
	snprintf(b->tpm->socket, sizeof(b->tpm->socket), "%s/tpm.sock", b->tpm->dir);
	*state = b;
	return 0;
}

static int bed_free(void **state)
{
	struct bed *b = *state;

	handout_free(b->handout);
	attester_free(b->attester);
	close(b->root);
	tpm_remove((void **)&b->tpm);
	free(b);
	return 0;
}

static struct attester *ready(struct bed *b)
{
	char why[256] = "";

	b->attester = attester_on(b, b->tcti);
	assert_null(attester_identity(b->attester));
	wait_state(attester_tpm(b->attester), TPM_READY);
	assert_true(attester_ready(b->attester, why, sizeof(why)));
	assert_non_null(attester_identity(b->attester));
	return b->attester;
}

static void test_without_tpm(void **state)
{
	struct bed *b = *state;
	char why[256] = "";

	b->attester = attester_on(b, NULL);
	assert_null(attester_tpm(b->attester));
	assert_false(attester_ready(b->attester, why, sizeof(why)));
	assert_non_null(strstr(why, "no TPM is configured"));
	assert_null(attester_identity(b->attester));
	assert_int_equal(attester_install(b->attester, "x", 1), -EBADMSG);
}

/* The header names the key that signs; another daemon has another. */
static void test_signs(void **state)
{
	struct bed *b = *state;
	struct attester *a = attester_on(b, NULL), *other = attester_on(b, NULL);
	_cleanup_json_ json_t *claims = json_pack("{ss}", "sub", "somebody");
	_cleanup_free_ char *input = NULL, *jws = NULL, *input_other = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	struct jose_parsed p;

	assert_int_equal(attester_signing_input(a, claims, &input), 0);
	assert_int_equal(attester_signing_input(other, claims, &input_other), 0);
	assert_string_not_equal(input, input_other);
	assert_int_equal(attester_sign(a, input, &jws), 0);
	assert_int_equal(jose_parse(jws, strlen(jws), 8, &p), 0);
	assert_string_equal(json_string_value(json_object_get(p.header, "typ")), "eat+jwt");
	assert_null(json_object_get(json_object_get(p.header, "jwk"), "d"));
	assert_int_equal(jose_key_of_jwk(json_object_get(p.header, "jwk"), &key), 0);
	assert_int_equal(jose_verify(key, jws, p.signing_input_len, p.signature, p.signature_len),
			 0);
	assert_int_equal(p.signing_input_len, strlen(input));
	jose_parsed_clear(&p);
	attester_free(a);
	attester_free(other);
}

/* ---- host evidence ---- */

/* As evidence has it: what the attester says, and the logs. */
static int hand_out(struct bed *b, uint64_t from, struct handed *ret)
{
	_cleanup_buffer_ struct buffer text = {0};

	assert_int_equal(attester_put_host(b->attester, &text), 0);
	buffer_add_char(&text, '\0');
	assert_int_equal(buffer_error(&text), 0);
	if (!b->handout)
		assert_int_equal(handout_new(b->root, 0, &b->handout), 0);
	assert_int_equal(handed_begin(b->handout, 1, (const char *)text.data, from, ret), 0);
	assert_true(handed_wait(b->handout, ret, 5000));
	return ret->err;
}

/* To be cleared by clear_host(). */
static void take_host(struct bed *b, uint64_t from, struct cmw_item items[static HOST_MEMBERS])
{
	_cleanup_free_ char *text = NULL;
	struct cmw_fault fault;
	struct handed handed;
	struct parts p;
	size_t len;

	assert_int_equal(hand_out(b, from, &handed), 0);
	text = handed_read(&handed, &len);
	assert_int_equal(len, handed.size);
	parts_init(&p);
	assert_int_equal(cmw_read(text, len, &p.host, &fault), 0);
	for (size_t i = 0; i < HOST_MEMBERS; i++)
		assert_int_equal(cmw_decode(&p.host_items[i]), 0);
	memcpy(items, p.host_items, sizeof(p.host_items));
}

static void clear_host(struct cmw_item items[static HOST_MEMBERS])
{
	cmw_clear(&(struct cmw){.items = items, .count = HOST_MEMBERS});
}

static const char *claimed(const struct cmw_item *items, const char *name)
{
	static char text[64];
	_cleanup_json_ json_t *claims = NULL;

	assert_int_equal(jose_json(items[HOST_CLAIMS].content, items[HOST_CLAIMS].len, 8, &claims),
			 0);
	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(claims, name)) ?: "");
	return text;
}

/* What is missing is said to be. */
static void test_host_without_logs(void **state)
{
	struct bed *b = *state;
	struct cmw_item items[HOST_MEMBERS];
	struct handed handed;

	ready(b);
	take_host(b, 0, items);
	assert_string_equal(claimed(items, "ima_log"), "missing");
	assert_string_equal(claimed(items, "boot_log"), "missing");
	assert_string_equal(claimed(items, "secure_boot"), "unavailable");
	assert_string_equal(claimed(items, "lockdown"), "unavailable");
	assert_null(items[IMA_LOG].content);
	assert_null(items[IMA_RANGE].content);
	assert_null(items[BOOT_LOG].content);
	assert_null(items[AK_CHAIN].content);
	assert_non_null(items[EK_CHAIN].content);
	clear_host(items);
	assert_int_equal(hand_out(b, 1, &handed), -ERANGE);
}

/* From any entry on; one behind the last is an empty list, the next is none. */
static void test_host_with_logs(void **state)
{
	struct bed *b = *state;
	const char *boot = TEST_DATA "/attest/boots/ovmf-ima-sig";
	struct cmw_item whole[HOST_MEMBERS], part[HOST_MEMBERS];
	_cleanup_json_ json_t *range = NULL;
	struct handed handed;
	json_int_t entries;

	assert_int_equal(run("cp %s/%s %s/root/%s/binary_runtime_measurements && cp %s/%s "
			     "%s/root/%s/binary_bios_measurements",
			     boot, "binary_runtime_measurements", b->tpm->dir, IMA, boot,
			     "binary_bios_measurements", b->tpm->dir, BOOT),
			 0);
	ready(b);
	take_host(b, 0, whole);
	assert_string_equal(claimed(whole, "ima_log"), "present");
	assert_string_equal(claimed(whole, "boot_log"), "present");
	assert_string_equal(claimed(whole, "systemd_log"), "missing");
	assert_int_equal(jose_json(whole[IMA_RANGE].content, whole[IMA_RANGE].len, 2, &range), 0);
	assert_int_equal(json_integer_value(json_object_get(range, "from")), 0);
	entries = json_integer_value(json_object_get(range, "entries"));
	assert_true(entries > 2);
	for (json_int_t from = 1; from <= entries; from++) {
		_cleanup_json_ json_t *rest = NULL;

		take_host(b, from, part);
		assert_int_equal(jose_json(part[IMA_RANGE].content, part[IMA_RANGE].len, 2, &rest),
				 0);
		assert_int_equal(json_integer_value(json_object_get(rest, "from")), from);
		assert_int_equal(json_integer_value(json_object_get(rest, "entries")),
				 entries - from);
		assert_true(part[IMA_LOG].len < whole[IMA_LOG].len);
		assert_memory_equal(part[IMA_LOG].content,
				    whole[IMA_LOG].content + whole[IMA_LOG].len - part[IMA_LOG].len,
				    part[IMA_LOG].len);
		clear_host(part);
	}
	clear_host(whole);
	assert_int_equal(hand_out(b, entries + 1, &handed), -ERANGE);
}

/* ---- the AK's certificate ---- */

static void test_installs_its_own_alone(void **state)
{
	static const char *const bad[] = {
		"", "nothing", "-----BEGIN CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
	struct bed *b = *state;
	struct attester *a = ready(b);
	uint8_t pem[8192];
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(attester_install(a, bad[i], strlen(bad[i])), -EBADMSG);
	assert_int_equal(run("cd %s && openssl req -x509 -newkey ec -pkeyopt "
			     "ec_paramgen_curve:P-256 -nodes -keyout k.pem -subj /CN=ak -out c.pem "
			     "2>/dev/null",
			     b->tpm->dir),
			 0);
	len = load(b->tpm, "c.pem", pem, sizeof(pem));
	assert_int_equal(attester_install(a, pem, len), -EBADMSG);
	assert_null(attester_ak_chain(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_tpm, bed_new, bed_free),
		cmocka_unit_test_setup_teardown(test_signs, bed_new, bed_free),
		cmocka_unit_test_setup_teardown(test_host_without_logs, bed_new, bed_free),
		cmocka_unit_test_setup_teardown(test_host_with_logs, bed_new, bed_free),
		cmocka_unit_test_setup_teardown(test_installs_its_own_alone, bed_new, bed_free),
	};

	return softtpm_there() ? cmocka_run_group_tests(tests, NULL, NULL) : SOFTTPM_SKIP;
}
