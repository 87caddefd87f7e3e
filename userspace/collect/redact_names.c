/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact_names.h"

#include <ctype.h>
#include <string.h>

/* A longer name is known by its end. */
#define NAME_MAX_LEN 64
#define PARTS_MAX 16

/* A part that says it by itself. */
static const char secrets[] = "password passwd passphrase passcode pass pwd pw psk secret token "
			      "apikey credential credentials jwt bearer otp totp authtoken sas";
/* Ends of a part, as in PGPASSWORD, accesstoken, keyStorePass. */
static const char *const ends[] = {"password",   "passwd",  "passphrase", "token",
				   "secret",     "apikey",  "accesskey",  "secretkey",
				   "privatekey", "authkey", "pass",       "pwd"};
static const char no_ends[] = "bypass compass overpass encompass surpass trespass subpass oldpwd "
			      "cwd multipass onepass";
/* Before "key" they make a secret of it, beyond any doubt. */
static const char of_keys[] = "api access secret private auth encryption signing account master "
			      "shared license subscription";
/* Before "key" it is none. */
static const char of_public_keys[] = "public primary foreign sort cache partition group host index "
				     "unique row object range hash map dict json registry s3 pub "
				     "routing idempotency";
/* At its end the name is of something about a secret. */
static const char about[] =
	"file files path paths dir directory url uri name names id ids type types length len min max "
	"count limit limits policy expiry expires expiration ttl age hint prompt stdin fd command cmd "
	"program helper env var field header headers format algorithm alg method mode manager store "
	"budget size usage server endpoint host provider rotation version ref arn selector required "
	"enabled disabled scope scopes audience issuer timeout lifetime description label check "
	"location source backend service index per";
/* At its beginning the flag asks for something else than a value. */
static const char asks[] = "no ask prompt without show skip generate rotate reset allow require "
			   "disable enable list revoke print max min num use forget";
static const char *const plain[] = {"pwd", "oldpwd", "auth-user-pass"};

struct parts {
	char text[NAME_MAX_LEN + PARTS_MAX + 1];
	const char *list[PARTS_MAX];
	size_t count;
};

bool redact_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool among(const char *part, const char *list)
{
	size_t n = strlen(part);

	for (; *list; list += strcspn(list, " "), list += strspn(list, " "))
		if (strcspn(list, " ") == n && !memcmp(list, part, n))
			return true;
	return false;
}

static bool is_separator(char c)
{
	return c == '_' || c == '-' || c == '.';
}

/* "apiKey", "APIKey", "api_key": a capital begins a part behind a small one, or before one. */
static bool begins_part(const struct word *w, size_t i, size_t from, size_t to)
{
	char c = *w->at[i], before = i > from ? *w->at[i - 1] : '_';
	char behind = i + 1 < to ? *w->at[i + 1] : '_';

	if (!isupper((unsigned char)c))
		return false;
	return islower((unsigned char)before) || isdigit((unsigned char)before) ||
	       (isupper((unsigned char)before) && islower((unsigned char)behind));
}

static void take_apart(const struct word *w, size_t from, size_t to, struct parts *p)
{
	char *out = p->text;
	bool inside = false;

	p->count = 0;
	for (size_t i = from; i < to; i++) {
		char c = *w->at[i];

		if (inside && (is_separator(c) || begins_part(w, i, from, to))) {
			*out++ = '\0';
			inside = false;
		}
		if (is_separator(c))
			continue;
		if (!inside) {
			if (p->count == PARTS_MAX)
				break;
			p->list[p->count++] = out;
			inside = true;
		}
		*out++ = tolower((unsigned char)c);
	}
	*out = '\0';
}

static bool says_it(const char *part)
{
	size_t len = strlen(part);

	if (among(part, secrets))
		return true;
	if (among(part, no_ends))
		return false;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		size_t n = strlen(ends[i]);

		if (len > n && !strcmp(part + len - n, ends[i]))
			return true;
	}
	return strstr(part, "password") || strstr(part, "passphrase");
}

static bool is_plain(const struct word *w, size_t from, size_t to)
{
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		size_t n = strlen(plain[i]), k = 0;

		while (k < n && k < to - from &&
		       tolower((unsigned char)*w->at[from + k]) == plain[i][k])
			k++;
		if (k == n && to - from == n)
			return true;
	}
	return false;
}

static enum redact_name kind_of_key(const struct parts *p)
{
	if (p->count < 2 || strcmp(p->list[p->count - 1], "key"))
		return REDACT_PLAIN;
	if (among(p->list[p->count - 2], of_keys))
		return REDACT_SECRET;
	return among(p->list[p->count - 2], of_public_keys) ? REDACT_PLAIN : REDACT_KEY;
}

enum redact_name redact_name(const struct word *w, size_t from, size_t to)
{
	struct parts p;
	const char *last;

	if (to - from > NAME_MAX_LEN)
		from = to - NAME_MAX_LEN;
	if (to - from < 2 || is_plain(w, from, to))
		return REDACT_PLAIN;
	take_apart(w, from, to, &p);
	if (!p.count || among(p.list[0], asks))
		return REDACT_PLAIN;
	last = p.list[p.count - 1];
	/* Vault's is a secret; AWS's "--secret-id NAME" is none. */
	if (p.count > 1 && !strcmp(last, "id") && !strcmp(p.list[p.count - 2], "secret"))
		return REDACT_KEY;
	if (!strcmp(last, "authorization") || !strcmp(last, "cookie") || !strcmp(last, "cookie2"))
		return REDACT_HEADER;
	if (among(last, about))
		return REDACT_PLAIN;
	for (size_t i = 0; i < p.count; i++)
		if (says_it(p.list[i]))
			return REDACT_SECRET;
	if (!strcmp(last, "auth") && *w->at[from] == '_') /* npm's */
		return REDACT_SECRET;
	return kind_of_key(&p);
}
