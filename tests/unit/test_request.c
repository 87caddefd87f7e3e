/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/bounds.h"
#include "base/cleanup.h"

static uint8_t challenge[32];
static char long_text[5000];

static struct {
	Affiant__V1__Request request;
	Affiant__V1__OpenSession open;
	Affiant__V1__Task task;
	Affiant__V1__EndSession end;
	Affiant__V1__Match match;
	Affiant__V1__GetEvidence evidence;
	Affiant__V1__SignProof proof;
	Affiant__V1__Dpop dpop;
	Affiant__V1__Wpt wpt;
	Affiant__V1__ActivateCredential activate;
	Affiant__V1__InstallCertificate install;
	ProtobufCBinaryData measures[65];
	char *scopes[65];
} r;

/* A request that is good; each test breaks one thing. */
static void reset(Affiant__V1__Request__CallCase call)
{
	affiant__v1__request__init(&r.request);
	affiant__v1__open_session__init(&r.open);
	affiant__v1__task__init(&r.task);
	affiant__v1__end_session__init(&r.end);
	affiant__v1__match__init(&r.match);
	r.request.has_challenge = true;
	r.request.challenge = (ProtobufCBinaryData){32, challenge};
	r.request.call_case = call;
	r.open.agent = (char *)"agent";
	r.open.task = &r.task;
	r.task.id = (char *)"t-1";
	r.open.principal = (char *)"j\xc3\xbcrgen@example.org";
	for (size_t i = 0; i < 65; i++) {
		r.measures[i] = (ProtobufCBinaryData){2, (uint8_t *)"/x"};
		r.scopes[i] = (char *)"s";
	}
	r.open.measure = r.measures;
	r.task.scope = r.scopes;
	r.end.has_session = true;
	r.end.session = (ProtobufCBinaryData){16, challenge};
	r.match.has_pid = true;
	r.match.pid = 1;
	r.request.open_session = &r.open;
	if (call == AFFIANT__V1__REQUEST__CALL_END_SESSION)
		r.request.end_session = &r.end;
	if (call == AFFIANT__V1__REQUEST__CALL_MATCH)
		r.request.match = &r.match;
}

static void reset_open(void)
{
	reset(AFFIANT__V1__REQUEST__CALL_OPEN_SESSION);
}

/* @want NULL: it is taken. */
static void expect(size_t fds_count, const char *want)
{
	Affiant__V1__Request *got = (void *)0x5a5a;
	_cleanup_free_ uint8_t *data =
		malloc(affiant__v1__request__get_packed_size(&r.request) + 1);
	size_t len = affiant__v1__request__pack(&r.request, data);
	const char *why = NULL;
	int err = request_decode(data, len, fds_count, &got, &why);

	if (!want) {
		assert_int_equal(err, 0);
		assert_int_equal(got->call_case, r.request.call_case);
		affiant__v1__request__free_unpacked(got, NULL);
		return;
	}
	assert_int_equal(err, -EBADMSG);
	assert_ptr_equal(got, (void *)0x5a5a);
	assert_string_equal(why, want);
}

static void reset_evidence(void)
{
	reset(AFFIANT__V1__REQUEST__CALL_GET_EVIDENCE);
	affiant__v1__get_evidence__init(&r.evidence);
	r.evidence.nonce = (char *)"12345678";
	r.evidence.audience = (char *)"https://sts.example";
	r.request.get_evidence = &r.evidence;
}

static void test_evidence(void **state)
{
	static const char nonce[] =
		"nonce: 8 to 88 characters of ASCII are needed, without spaces, '\"' and '\\'";
	static const char audience[] =
		"audience: 1 to 512 bytes of UTF-8 without control characters are needed";
	static const char *const bad[] = {"1234567",   "1234 678",    "1234\"678",
					  "1234\\678", "1234567\x7f", "1234567\xc3\xbc",
					  ""};
	static uint8_t signature[64];
	char longest[90] = "";

	(void)state;
	reset_evidence();
	expect(0, NULL);
	expect(1, "descriptors come with OpenSession only");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		r.evidence.nonce = (char *)bad[i];
		expect(0, nonce);
	}
	r.evidence.nonce = NULL;
	expect(0, nonce);
	memset(longest, 'n', 88);
	r.evidence.nonce = longest;
	expect(0, NULL);
	longest[88] = 'n';
	expect(0, nonce);

	reset_evidence();
	r.evidence.audience = NULL;
	expect(0, audience);
	r.evidence.audience = (char *)"";
	expect(0, audience);
	r.evidence.audience = (char *)"a\nb";
	expect(0, audience);
	r.evidence.audience = long_text;
	expect(0, audience);

	reset_evidence();
	r.evidence.has_cnf = true;
	r.evidence.cnf = (ProtobufCBinaryData){2, (uint8_t *)"{}"};
	expect(0, "cnf_signature: 64 bytes go with cnf");
	r.evidence.has_cnf_signature = true;
	r.evidence.cnf_signature = (ProtobufCBinaryData){63, signature};
	expect(0, "cnf_signature: 64 bytes go with cnf");
	r.evidence.cnf_signature.len = 64;
	expect(0, NULL);
	r.evidence.cnf.len = 0;
	expect(0, "cnf: a JWK of at most 1024 bytes");
	r.evidence.has_cnf = false;
	expect(0, "cnf_signature: 64 bytes go with cnf");
}

static void test_proof(void **state)
{
	static const char dpop[] = "dpop: htm and htu are needed; too long, or control characters";
	static const char wpt[] = "wpt: aud and wit are needed; too long, or control characters";

	(void)state;
	reset(AFFIANT__V1__REQUEST__CALL_SIGN_PROOF);
	affiant__v1__sign_proof__init(&r.proof);
	affiant__v1__dpop__init(&r.dpop);
	affiant__v1__wpt__init(&r.wpt);
	r.request.sign_proof = &r.proof;
	expect(0, "a proof is dpop or wpt");
	r.proof.proof_case = AFFIANT__V1__SIGN_PROOF__PROOF_DPOP;
	r.proof.dpop = &r.dpop;
	expect(0, dpop);
	r.dpop.htm = (char *)"POST";
	expect(0, dpop);
	r.dpop.htu = (char *)"https://sts.example/token";
	expect(0, NULL);
	r.dpop.nonce = long_text;
	expect(0, dpop);
	r.proof.proof_case = AFFIANT__V1__SIGN_PROOF__PROOF_WPT;
	r.proof.wpt = &r.wpt;
	expect(0, wpt);
	r.wpt.aud = (char *)"https://tool.example";
	r.wpt.wit = (char *)"a.b.c";
	expect(0, NULL);
	r.wpt.wit = (char *)"";
	expect(0, wpt);
}

static void test_enrolment(void **state)
{
	static const char credential[] =
		"credential and secret are needed, at most 1024 bytes each";
	static const char chain[] = "chain: 1 to 32768 bytes of PEM are needed";

	(void)state;
	reset(AFFIANT__V1__REQUEST__CALL_ACTIVATE_CREDENTIAL);
	affiant__v1__activate_credential__init(&r.activate);
	r.request.activate_credential = &r.activate;
	expect(0, credential);
	r.activate.has_credential = r.activate.has_secret = true;
	r.activate.credential = r.activate.secret =
		(ProtobufCBinaryData){1024, (uint8_t *)long_text};
	expect(0, NULL);
	r.activate.secret.len = 1025;
	expect(0, credential);
	r.activate.secret.len = 0;
	expect(0, credential);

	reset(AFFIANT__V1__REQUEST__CALL_INSTALL_CERTIFICATE);
	affiant__v1__install_certificate__init(&r.install);
	r.request.install_certificate = &r.install;
	expect(0, chain);
	r.install.has_chain = true;
	r.install.chain = (ProtobufCBinaryData){1, (uint8_t *)"-"};
	expect(0, NULL);
}

static void test_challenge(void **state)
{
	(void)state;
	reset_open();
	r.request.has_challenge = false;
	expect(0, "a challenge of 32 bytes is needed");
	reset_open();
	r.request.challenge.len = 31;
	expect(0, "a challenge of 32 bytes is needed");
}

/* The longest that evidence has room for passes, and nothing longer. */
static void check_edge(char **text, const char *why)
{
	char *was = *text, longest[TASK_TEXT_MAX + 2];

	memset(longest, 'x', sizeof(longest));
	*text = longest;
	longest[TASK_TEXT_MAX] = '\0';
	expect(0, NULL);
	longest[TASK_TEXT_MAX] = 'x';
	longest[TASK_TEXT_MAX + 1] = '\0';
	expect(0, why);
	*text = was;
}

static void check_sum(void)
{
	char longest[TASK_TEXT_MAX + 1] = "";

	memset(longest, 'x', TASK_TEXT_MAX);
	r.task.n_scope = 6;
	for (size_t i = 0; i < 6; i++)
		r.scopes[i] = longest;
	r.task.id = r.task.purpose = longest;
	r.open.principal = NULL;
	expect(0, NULL);
	r.open.principal = (char *)"x";
	expect(0, "task and principal: more than 8192 bytes in all");
	reset_open();
}

static void test_open(void **state)
{
	static const char task[] =
		"task id: 1 to 1024 bytes of UTF-8 without control characters are needed";
	static const char agent[] =
		"agent: a name of letters, digits, '.', '-' and '_' is needed, and not 'unknown'";
	static const char scope[] =
		"scope: 1 to 1024 bytes of UTF-8 without control characters are needed";
	static const char purpose[] =
		"purpose: 1 to 1024 bytes of UTF-8 without control characters are needed";
	static const char principal[] =
		"principal: 1 to 1024 bytes of UTF-8 without control characters are needed";
	static const char path[] =
		"measure: a path is empty, longer than 4096 bytes, or holds a NUL";
	static const char fds[] = "not as many descriptors as the request speaks of";

	(void)state;
	reset_open();
	expect(0, NULL);
	r.open.task = NULL;
	expect(0, NULL);
	reset_open();
	r.open.agent = NULL;
	expect(0, agent);
	r.open.agent = (char *)"a/../b";
	expect(0, agent);

	reset_open();
	r.task.id = long_text;
	expect(0, task);
	r.task.id = (char *)"a\nb";
	expect(0, task);
	r.task.id = (char *)"\xff";
	expect(0, task);
	r.task.id = (char *)"a\x7f";
	expect(0, task);
	reset_open();
	r.task.purpose = long_text;
	expect(0, purpose);
	reset_open();
	r.task.purpose = (char *)"";
	expect(0, purpose);
	reset_open();
	r.task.id = (char *)"";
	expect(0, task);
	reset_open();
	r.open.principal = (char *)"";
	expect(0, principal);
	reset_open();
	r.task.n_scope = 1;
	r.scopes[0] = (char *)"";
	expect(0, scope);
	reset_open();
	check_edge(&r.task.id, task);
	check_edge(&r.task.purpose, purpose);
	check_edge(&r.open.principal, principal);
	r.task.n_scope = 1;
	check_edge(&r.scopes[0], scope);
	check_sum();
	reset_open();
	r.open.principal = (char *)"a\x1b[31m";
	expect(0, principal);
	reset_open();
	r.task.n_scope = 64;
	expect(0, NULL);
	r.task.n_scope = 65;
	expect(0, "scope: more than 64");
	r.task.n_scope = 2;
	r.scopes[1] = (char *)"\xc2\x85";
	expect(0, scope);
	reset_open();
	r.open.has_isolation = true;
	r.open.isolation = AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK;
	expect(0, NULL);
	r.open.isolation = AFFIANT__V1__ISOLATION__ISOLATION_UID;
	expect(0, "isolation: a launcher can say none or landlock");

	reset_open();
	r.open.n_measure = 64;
	expect(64, NULL);
	expect(63, fds);
	expect(65, fds);
	r.open.has_target_is_pidfd = r.open.target_is_pidfd = true;
	expect(65, NULL);
	expect(64, fds);
	r.open.n_measure = 65;
	expect(65, "measure: more than 64 paths");
	reset_open();
	r.open.n_measure = 1;
	r.measures[0].len = 0;
	expect(1, path);
	r.measures[0] = (ProtobufCBinaryData){3, (uint8_t *)"a\0b"};
	expect(1, path);
	r.measures[0] = (ProtobufCBinaryData){4097, (uint8_t *)long_text};
	expect(1, path);
	r.measures[0].len = 4096;
	expect(1, NULL);
}

static void test_others(void **state)
{
	(void)state;
	reset(AFFIANT__V1__REQUEST__CALL_END_SESSION);
	expect(0, NULL);
	expect(1, "descriptors come with OpenSession only");
	r.end.session.len = 15;
	expect(0, "session: 16 bytes are needed");
	r.end.has_session = false;
	expect(0, "session: 16 bytes are needed");
	reset(AFFIANT__V1__REQUEST__CALL_MATCH);
	expect(0, NULL);
	r.match.pid = 0;
	expect(0, "pid: a positive number is needed");
	r.match.pid = 0x80000000;
	expect(0, "pid: a positive number is needed");
	r.match.has_pid = false;
	expect(0, "pid: a positive number is needed");
	reset(AFFIANT__V1__REQUEST__CALL__NOT_SET);
	expect(0, "no call that this version knows");
}

/* Every cut of a good request is refused or taken, never more; the whole is taken. */
static void test_truncated(void **state)
{
	uint8_t data[512];
	size_t len;

	(void)state;
	reset_open();
	r.open.n_measure = 2;
	len = affiant__v1__request__pack(&r.request, data);
	for (size_t i = 0; i < len; i++) {
		Affiant__V1__Request *got = NULL;
		const char *why = NULL;
		_cleanup_free_ uint8_t *part = malloc(i + 1); /* so that a read beyond it is seen */

		memcpy(part, data, i);
		assert_int_equal(request_decode(part, i, 2, &got, &why), -EBADMSG);
		assert_null(got);
		assert_non_null(why);
	}
	expect(2, NULL);
}

int main(void)
{
	memset(long_text, 'x', sizeof(long_text) - 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenge), cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_proof),     cmocka_unit_test(test_enrolment),
		cmocka_unit_test(test_open),      cmocka_unit_test(test_others),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
