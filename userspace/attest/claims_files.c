/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/claims_files.h"

#include <string.h>

#include "attest/claims_words.h"
#include "attest/member.h"
#include "base/base64url.h"

/* ["sha-256", base64url] or, of fs-verity, with the algorithm of its tree. */
static int take_measurement(const char **why, const json_t *value, const char *claim, bool verity,
			    uint8_t ret[static 64], size_t *ret_len)
{
	const char *algorithm = json_string_value(json_array_get(value, 0));
	const json_t *digest = json_array_get(value, 1);
	size_t len = 32;

	if (json_array_size(value) != 2 || !algorithm || !json_is_string(digest))
		return member_bad(why, claim);
	if (verity && !strcmp(algorithm, "sha-512-verity"))
		len = 64;
	else if (strcmp(algorithm, verity ? "sha-256-verity" : "sha-256"))
		return member_bad(why, claim);
	if (base64url_decode_exact(json_string_value(digest), json_string_length(digest), ret, len))
		return member_bad(why, claim);
	*ret_len = len;
	return 0;
}

/* Where a digest has to stand, by the state, and where none may. */
static int take_digest(const char **why, const json_t *component, const char *claim,
		       struct claims_file *ret)
{
	const json_t *value = json_object_get(component, "measurement");
	const json_t *unproven = json_object_get(component, CLAIMS_UNPROVEN_MEMBER);
	uint8_t digest[64];
	size_t len;
	int err = 0;

	if (claims_state_proven(ret->state) || ret->state == CLAIMS_OFFERED)
		err = take_measurement(why, value, claim, ret->state == CLAIMS_VERITY, ret->digest,
				       &ret->digest_len);
	else if (value)
		err = member_bad(why, claim);
	if (err || !unproven)
		return err;
	if (ret->state != CLAIMS_UNPROVEN)
		return member_bad(why, claim);
	err = take_measurement(why, unproven, claim, false, digest, &len);
	if (err)
		return err;
	memcpy(&ret->unproven, digest, sizeof(ret->unproven));
	ret->has_unproven = true;
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

static int take_file(const char **why, const json_t *entry, const char *claim, bool host,
		     struct claims_file *ret)
{
	const unsigned int roles_from = host ? CLAIMS_CONFIGURATION : CLAIMS_SCRIPT;
	const unsigned int roles_to = host ? CLAIMS_BPF : CLAIMS_MANIFEST;
	const char *type = json_string_value(json_array_get(entry, 0));
	const json_t *component = json_array_get(entry, 1), *id = json_object_get(component, "id");
	unsigned int role, state;
	int err;

	if (json_array_size(entry) != 2 || !type || strcmp(type, CLAIMS_COMPONENT) ||
	    json_array_size(id) != 1)
		return member_bad(why, claim);
	err = member_word_of(why, json_object_get(component, "role"), claim, claims_roles, &role)
		      ?: member_word_of(why, json_object_get(component, "state"), claim,
					claims_states, &state);
	if (err)
		return err;
	if ((role != CLAIMS_EXECUTABLE && (role < roles_from || role > roles_to)) ||
	    !state_fits(state, role, host))
		return member_bad(why, claim);
	ret->role = role;
	ret->state = state;
	return take_digest(why, component, claim, ret)
		       ?: member_copy_text(why, json_array_get(id, 0), claim, CLAIMS_PATH_MAX,
					   &ret->path);
}

int claims_files_parse(const char **why, const json_t *o, const char *claim, bool host, size_t max,
		       struct claims_file *ret, size_t *ret_count)
{
	const json_t *list;
	int err = member_array(why, o, claim, max, &list);

	for (size_t i = 0; !err && i < json_array_size(list); i++) {
		*ret_count = i + 1;
		err = take_file(why, json_array_get(list, i), claim, host, &ret[i]);
	}
	return err;
}
