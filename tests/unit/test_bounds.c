/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stranger's body costs a verifier: counted in bytes held at once and in allocations, each at
 * two sizes. Whatever is refused before the quote's signature was good costs the same at both.
 */
#include "attest/bounds.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

static struct forge f;

#define SMALL (4u << 20)
#define LARGE (4 * SMALL)

/* Whatever was sent: of a verification that ends before the logs are decoded. */
#define HELD_MAX (8u << 20)
#define CALLS_MAX 100000u

/* ---- counting ---- */

#ifndef __has_feature
#define __has_feature(f) 0 /* clang's way to tell */
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTED false /* the sanitizer has an allocator of its own */
#else
#define COUNTED true
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);
#endif

static struct {
	bool on;
	size_t held, most, calls;
} cost;

#if COUNTED
static void *took(void *p)
{
	if (!cost.on || !p)
		return p;
	cost.calls++;
	cost.held += malloc_usable_size(p);
	if (cost.held > cost.most)
		cost.most = cost.held;
	return p;
}

static void gave(void *p)
{
	const size_t size = cost.on && p ? malloc_usable_size(p) : 0;

	/* What was there before, and is let go now, is not counted. */
	cost.held -= size < cost.held ? size : cost.held;
}

void *malloc(size_t size)
{
	return took(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return took(__libc_calloc(count, size));
}

void *realloc(void *p, size_t size)
{
	gave(p);
	return took(__libc_realloc(p, size));
}

void free(void *p)
{
	gave(p);
	__libc_free(p);
}
#endif

/* ---- bodies ---- */

#define TYPE "\"__cmwc_t\":\"" CMW_TYPE_EVIDENCE "\""

static void fill(struct buffer *b, size_t size, const char *part)
{
	const size_t len = strlen(part);

	while (b->len + len < size)
		buffer_add(b, part, len);
}

static void brackets(struct buffer *b, size_t size)
{
	fill(b, size, "[");
}
static void lists(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{" TYPE ",\"x\":[");
	fill(b, size, "[],");
	buffer_add_text(b, "[]]}");
}
static void members(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{" TYPE);
	while (b->len < size)
		buffer_print(b, ",\"member %zu\":0", b->len);
	buffer_add_char(b, '}');
}
static void types(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{" TYPE);
	fill(b, size, "," TYPE);
	buffer_add_char(b, '}');
}
static void spaces(struct buffer *b, size_t size)
{
	buffer_add_char(b, '{');
	fill(b, size, " ");
	buffer_add_text(b, TYPE "}");
}
static void name(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{\"");
	fill(b, size, "n");
	buffer_add_text(b, "\":0}");
}
static void backslashes(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{\"");
	fill(b, size, "\\\\");
	buffer_add_text(b, "\":0}");
}
static void escaped_quotes(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{\"");
	fill(b, size, "\\\"");
	buffer_add_text(b, "\":0}");
}
static void nothing_ends(struct buffer *b, size_t size)
{
	buffer_add_text(b, "{" TYPE ",\"eat\":[\"" CMW_EAT "\",\"");
	fill(b, size, "A");
}

static void eat_begins(struct buffer *b)
{
	buffer_add_text(b, "{" TYPE ",\"eat\":[\"" CMW_EAT "\",\"");
}
static void eat_ends(struct buffer *b)
{
	buffer_add_text(b, "\",4]");
	for (const char *const *m =
		     (const char *const[]){"quote\":[\"" CMW_TPMS_ATTEST,
					   "signature\":[\"" CMW_TPMT_SIGNATURE,
					   "pcrs\":[\"" CMW_PCRS, "path\":[\"" CMW_PATH, NULL};
	     *m; m++)
		buffer_print(b, ",\"%s\",\"AAAA\",4]", *m);
	buffer_add_char(b, '}');
}
static void long_eat(struct buffer *b, size_t size)
{
	eat_begins(b);
	fill(b, size, "eyJh");
	eat_ends(b);
}

/* As long as a token may be, and all of it values, of which one is too many. */
static void eat_of(struct buffer *b, const char *begin, const char *part)
{
	_cleanup_buffer_ struct buffer json = {}, token = {};
	_cleanup_free_ char *text = NULL, *whole = NULL;

	buffer_add_text(&json, begin);
	buffer_add_text(&token, "e30.");
	fill(&json, BOUNDS_TOKEN / 4 * 3 - 4096, part);
	text = base64url_new(json.data, json.len);
	buffer_print(&token, "%s.", text);
	fill(&token, token.len + BASE64URL_LEN(64) + 1, "A");
	whole = base64url_new(token.data, token.len);
	eat_begins(b);
	buffer_add_text(b, whole);
	eat_ends(b);
}
static void eat_of_values(struct buffer *b, size_t size)
{
	(void)size;
	eat_of(b, "{\"a\":[0", ",0");
}
static void eat_of_lists(struct buffer *b, size_t size)
{
	(void)size;
	eat_of(b, "{\"a\":[[]", ",[]");
}
static void eat_of_objects(struct buffer *b, size_t size)
{
	(void)size;
	eat_of(b, "{\"a\":[{}", ",{}");
}
static void eat_of_texts(struct buffer *b, size_t size)
{
	(void)size;
	eat_of(b, "{\"a\":[ \"\\u0041\"", ",\"b\"");
}

/* What is genuine but for one thing, with an IMA list that goes on behind the quoted value. */
static void genuine(struct buffer *b, size_t size)
{
	_cleanup_buffer_ struct buffer list = {};
	_cleanup_free_ char *text = NULL, *ima = NULL;
	const size_t had = f.ima.entries, was = f.ima.len;
	size_t one;
	char *at;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	one = f.ima.len - was;
	buffer_add(&list, f.ima.data, was);
	while (list.len < size / 4 * 3 - 8192)
		buffer_add(&list, f.ima.data + was, one);
	f.ima.len = was;
	f.ima.entries = had;
	ima = base64url_new(list.data, list.len);
	json_object_set_new(f.host, "ima_log",
			    json_pack("[ssi]", CMW_IMA_LOG, "IMA", CMW_EVIDENCE));
	text = json_dumps(f.collection, JSON_COMPACT);
	at = strstr(text, "\"IMA\"");
	assert_non_null(at);
	buffer_add(b, text, at + 1 - text);
	buffer_add_text(b, ima);
	buffer_add_text(b, at + 4);
}

static void flip(json_t *o, const char *member, size_t byte)
{
	const json_t *record = json_object_get(o, member);
	_cleanup_free_ char *again = NULL;
	uint8_t *bytes;
	size_t len;
	const json_t *text = json_array_get(record, 1);

	assert_int_equal(base64url_decode_new(json_string_value(text), json_string_length(text),
					      &bytes, &len),
			 0);
	bytes[byte] ^= 1;
	again = base64url_new(bytes, len);
	json_array_set_new((json_t *)record, 1, json_string(again));
	free(bytes);
}

/* ---- what it costs ---- */

struct measured {
	size_t most, calls, len;
	enum verify_code code;
};

static struct measured measure(void (*make)(struct buffer *b, size_t size), size_t size)
{
	_cleanup_buffer_ struct buffer b = {};
	struct verify_request q = {.nonce = f.nonce, .audience = f.audience, .now = f.now};
	struct measured m = {};
	struct verify_result *r;
	struct verifier *v;
	const char *why;

	make(&b, size);
	assert_int_equal(buffer_error(&b), 0);
	assert_int_equal(verifier_new(&f.policy, &v, &why), 0);
	q.evidence = b.data;
	q.len = b.len;
	/* OpenSSL sets itself up once. */
	for (int i = 0; i < 2; i++) {
		memset(&cost, 0, sizeof(cost));
		cost.on = true;
		assert_int_equal(verify(v, &q, &r), 0);
		cost.on = false;
		m = (struct measured){cost.most, cost.calls, b.len, r->code};
		verify_result_free(r);
	}
	verifier_free(v);
	return m;
}

static void check_constant(const char *what, void (*make)(struct buffer *b, size_t size),
			   enum verify_code code)
{
	const struct measured small = measure(make, SMALL), large = measure(make, LARGE);

	if (small.code != code || large.code != code)
		fail_msg("%s: %s, %s", what, verify_code_name(small.code),
			 verify_code_name(large.code));
	if (small.most > HELD_MAX || small.calls > CALLS_MAX)
		fail_msg("%s: %zu bytes at once, %zu allocations", what, small.most, small.calls);
	/* OpenSSL's signatures differ by a few bytes. */
	if (large.most > small.most + 4096 || large.calls > small.calls + 100)
		fail_msg("%s: %zu bytes at once and %zu allocations for %zu bytes, %zu and %zu for "
			 "%zu",
			 what, small.most, small.calls, small.len, large.most, large.calls,
			 large.len);
}

static void begin(void)
{
	if (!COUNTED)
		skip(); /* a sanitizer's allocator can't be counted */
	forge_begin(&f);
	forge_build(&f);
}

#define CHECK(make, code) check_constant(#make, make, VERIFY_##code)

static void test_strangers(void **state)
{
	(void)state;
	begin();
	CHECK(brackets, malformed_evidence);
	CHECK(lists, malformed_evidence);
	CHECK(members, malformed_evidence);
	CHECK(types, malformed_evidence);
	CHECK(spaces, malformed_evidence);
	CHECK(name, malformed_evidence);
	CHECK(backslashes, malformed_evidence);
	CHECK(escaped_quotes, malformed_evidence);
	CHECK(nothing_ends, malformed_evidence);
	CHECK(long_eat, malformed_evidence);
	CHECK(eat_of_values, malformed_token);
	CHECK(eat_of_lists, malformed_token);
	CHECK(eat_of_objects, malformed_token);
	CHECK(eat_of_texts, malformed_token);
	forge_end(&f);
}

/* Logs are not decoded for whoever has no good quote, however long they are. */
static void test_unsigned(void **state)
{
	(void)state;
	begin();
	f.nonce = "another-nonce-than-that";
	CHECK(genuine, nonce);
	f.nonce = FORGE_NONCE;
	f.now += 100000;
	CHECK(genuine, expired);
	f.now = FORGE_NOW;
	f.hosts[0].ueid[4] ^= 1;
	CHECK(genuine, host_unknown);
	f.hosts[0].ueid[4] ^= 1;
	flip(f.host, "ek_chain", 100);
	CHECK(genuine, ek_chain);
	flip(f.host, "ek_chain", 100);
	flip(f.collection, "quote", 60);
	CHECK(genuine, quote_signature);
	forge_end(&f);
}

/* And of a host that is enrolled: its logs as bytes, once. */
static void test_enrolled(void **state)
{
	struct measured m;

	(void)state;
	begin();
	for (size_t size = SMALL; size <= LARGE; size *= 4) {
		m = measure(genuine, size);
		assert_int_equal(m.code, VERIFY_NONE);
		if (m.most > m.len + HELD_MAX || m.calls > CALLS_MAX)
			fail_msg("%zu bytes at once, %zu allocations for %zu bytes", m.most,
				 m.calls, m.len);
	}
	forge_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_enrolled),
	};

	return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
