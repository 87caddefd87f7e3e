/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/claims_files.h"

#include <errno.h>
#include <string.h>

#include "attest/claims_words.h"
#include "attest/jose.h"
#include "attest/member.h"
#include "attest/ossl.h"
#include "base/base64url.h"

/*
 * An entry of "measurements" (RFC 9711, section 4.2.16) is a CoAP content-format and a text. A
 * digest of a file is a measured component (RFC 10013), whose flags are its profile's to define:
 * that is where role and state stand, so that nobody who does not know them may believe the digest.
 * What RFC 10013 has no form for, which is the digest of a tree, one that proves nothing, and none,
 * is a type of our own: who reads measured components alone is not told of what did not run.
 */
enum { FLAGS_SIZE = 8, FLAGS_ROLE = 6, FLAGS_STATE = 7 };

/* Of the "Named Information Hash Algorithm Registry", which is not COSE's. */
enum { SHA_256 = 1, SHA_512 = 8 };

/* As JSON: each byte of a path can be escaped, six for one, and all else is short. */
#define BODY_MAX (6 * CLAIMS_PATH_MAX + 512)
#define BODY_DEPTH 2

/* The member in which a file's digest stands; NULL: a file in that state has none. */
static const char *digest_member(enum claims_state state)
{
	if (state == CLAIMS_VERITY)
		return "verity_measurement";
	if (state == CLAIMS_UNPROVEN)
		return "unproven_measurement";
	return claims_state_proven(state) || state == CLAIMS_OFFERED ? "digested-measurement"
								     : NULL;
}

static int content_format(enum claims_state state)
{
	return (claims_state_proven(state) && state != CLAIMS_VERITY) || state == CLAIMS_OFFERED
		       ? CLAIMS_COMPONENT_FORMAT
		       : CLAIMS_FILE_FORMAT;
}

static int set_base64(json_t *list, const void *data, size_t len)
{
	_cleanup_free_ char *text = base64url_new(data, len);

	return text && !json_array_append_new(list, json_string(text)) ? 0 : -ENOMEM;
}

static json_t *measurement_json(const void *digest, size_t len)
{
	_cleanup_json_ json_t *o = json_pack("[i]", len == 64 ? SHA_512 : SHA_256);

	return !o || set_base64(o, digest, len) ? NULL : TAKE_PTR(o);
}

static json_t *flags_json(const struct claims_file *f)
{
	uint8_t flags[FLAGS_SIZE] = {[FLAGS_ROLE] = f->role + 1, [FLAGS_STATE] = f->state};
	_cleanup_free_ char *text = base64url_new(flags, sizeof(flags));

	return text ? json_string(text) : NULL;
}

json_t *claims_file_json(const struct claims_file *f)
{
	_cleanup_json_ json_t *o = json_pack("{s[s]}", "id", f->path);
	_cleanup_free_ char *text = NULL;
	json_t *digest = NULL;

	if (f->digest_len)
		digest = measurement_json(f->digest, f->digest_len);
	else if (f->has_unproven)
		digest = measurement_json(&f->unproven, sizeof(f->unproven));
	if (digest && json_object_set_new(o, digest_member(f->state) ?: "", digest))
		return NULL;
	if ((f->digest_len || f->has_unproven) && !digest)
		return NULL;
	if (json_object_set_new(o, "flags", flags_json(f)))
		return NULL;
	text = json_dumps(o, JSON_COMPACT);
	return text ? json_pack("[is]", content_format(f->state), text) : NULL;
}

/* [algorithm, base64url]. */
static int take_measurement(const char **why, const json_t *value, const char *claim, bool verity,
			    uint8_t ret[static 64], size_t *ret_len)
{
	const json_t *algorithm = json_array_get(value, 0), *digest = json_array_get(value, 1);
	size_t len = 32;

	if (json_array_size(value) != 2 || !json_is_integer(algorithm) || !json_is_string(digest))
		return member_bad(why, claim);
	if (verity && json_integer_value(algorithm) == SHA_512)
		len = 64;
	else if (json_integer_value(algorithm) != SHA_256)
		return member_bad(why, claim);
	if (base64url_decode_exact(json_string_value(digest), json_string_length(digest), ret, len))
		return member_bad(why, claim);
	*ret_len = len;
	return 0;
}

/* The digest, where its state has it, and nothing that is not known. */
static int take_digest(const char **why, const json_t *body, const char *claim,
		       struct claims_file *ret)
{
	const char *member = digest_member(ret->state);
	const json_t *value = member ? json_object_get(body, member) : NULL;
	const bool unproven = ret->state == CLAIMS_UNPROVEN;
	uint8_t digest[64];
	size_t len = 0;
	int err;

	if (json_object_size(body) != (value ? 3 : 2) || (member && !value && !unproven))
		return member_bad(why, claim);
	if (!value)
		return 0;
	err = take_measurement(why, value, claim, ret->state == CLAIMS_VERITY, digest, &len);
	if (err)
		return err;
	if (unproven) {
		memcpy(&ret->unproven, digest, sizeof(ret->unproven));
		ret->has_unproven = true;
	} else {
		memcpy(ret->digest, digest, len);
		ret->digest_len = len;
	}
	return 0;
}

/*
 * Which files can be in that state: scripts alone are offered to an interpreter, and the other two
 * are about what a process executes.
 */
static bool state_fits(enum claims_state state, enum claims_role role, bool host)
{
	switch (state) {
	case CLAIMS_OFFERED:
		return role == CLAIMS_SCRIPT || role == CLAIMS_ARGUMENT;
	case CLAIMS_UNPROVEN:
	case CLAIMS_CLAIMED:
		return !host && role != CLAIMS_MANIFEST;
	default:
		return true;
	}
}

static int take_flags(const char **why, const json_t *value, const char *claim, bool host,
		      struct claims_file *ret)
{
	const unsigned int roles_from = host ? CLAIMS_CONFIGURATION : CLAIMS_SCRIPT;
	const unsigned int roles_to = host ? CLAIMS_BPF : CLAIMS_MANIFEST;
	static const uint8_t zero[FLAGS_ROLE];
	uint8_t flags[FLAGS_SIZE];
	unsigned int role;

	if (!json_is_string(value) ||
	    base64url_decode_exact(json_string_value(value), json_string_length(value), flags,
				   sizeof(flags)))
		return member_bad(why, claim);
	role = flags[FLAGS_ROLE] - 1u;
	if (memcmp(flags, zero, sizeof(zero)) || !claims_state_word(flags[FLAGS_STATE]) ||
	    (role != CLAIMS_EXECUTABLE && (role < roles_from || role > roles_to)) ||
	    !state_fits(flags[FLAGS_STATE], role, host))
		return member_bad(why, claim);
	ret->role = role;
	ret->state = flags[FLAGS_STATE];
	return 0;
}

static int take_body(const char **why, const json_t *body, const char *claim, bool host,
		     struct claims_file *ret)
{
	const json_t *id = json_object_get(body, "id");

	if (json_array_size(id) != 1)
		return member_bad(why, claim);
	return take_flags(why, json_object_get(body, "flags"), claim, host, ret)
		       ?: take_digest(why, body, claim, ret)
		       ?: member_copy_text(why, json_array_get(id, 0), claim, CLAIMS_PATH_MAX,
					   &ret->path);
}

static int take_file(const char **why, const json_t *entry, const char *claim, bool host,
		     struct claims_file *ret)
{
	const json_t *format = json_array_get(entry, 0), *text = json_array_get(entry, 1);
	_cleanup_json_ json_t *body = NULL;
	int err;

	if (json_array_size(entry) != 2 || !json_is_integer(format) || !json_is_string(text) ||
	    json_string_length(text) > BODY_MAX)
		return member_bad(why, claim);
	err = jose_json(json_string_value(text), json_string_length(text), BODY_DEPTH, &body);
	if (err)
		return err == -EBADMSG ? member_bad(why, claim) : err;
	err = take_body(why, body, claim, host, ret);
	if (!err && json_integer_value(format) != content_format(ret->state))
		return member_bad(why, claim);
	return err;
}

int claims_files_parse(const char **why, const json_t *o, const char *claim, bool host, size_t max,
		       struct claims_file *ret, size_t *ret_count)
{
	const json_t *list;
	int err;

	if (!host && json_is_object(o) && !json_object_get(o, "measurements"))
		return 0;
	err = member_array(why, o, claim, max, &list);
	if (!err && !json_array_size(list))
		return member_bad(why, claim);
	for (size_t i = 0; !err && i < json_array_size(list); i++) {
		*ret_count = i + 1;
		err = take_file(why, json_array_get(list, i), claim, host, &ret[i]);
	}
	return err;
}
