/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/member.h"

#include <errno.h>
#include <string.h>

#include "base/base64url.h"
#include "base/digest.h"

int member_bad(const char **why, const char *claim)
{
	*why = claim;
	return -EBADMSG;
}

/* The member that a claim's path ends with. */
static json_t *member(const json_t *o, const char *claim)
{
	const char *dot = strrchr(claim, '.');

	return json_object_get(o, dot ? dot + 1 : claim);
}

int member_object(const char **why, const json_t *o, const char *claim, const json_t **ret)
{
	*ret = member(o, claim);
	return json_is_object(*ret) ? 0 : member_bad(why, claim);
}

int member_array(const char **why, const json_t *o, const char *claim, size_t max,
		 const json_t **ret)
{
	*ret = member(o, claim);
	return json_is_array(*ret) && json_array_size(*ret) <= max ? 0 : member_bad(why, claim);
}

int member_copy_text(const char **why, const json_t *value, const char *claim, size_t max,
		     char **ret)
{
	if (!json_is_string(value) || json_string_length(value) < 1 ||
	    json_string_length(value) > max)
		return member_bad(why, claim);
	*ret = strdup(json_string_value(value));
	return *ret ? 0 : -ENOMEM;
}

int member_text(const char **why, const json_t *o, const char *claim, size_t max, char **ret)
{
	return member_copy_text(why, member(o, claim), claim, max, ret);
}

int member_text_maybe(const char **why, const json_t *o, const char *claim, size_t max, char **ret)
{
	return member(o, claim) ? member_text(why, o, claim, max, ret) : 0;
}

int member_number(const char **why, const json_t *o, const char *claim, int64_t max, uint64_t *ret)
{
	const json_t *value = member(o, claim);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > max)
		return member_bad(why, claim);
	*ret = json_integer_value(value);
	return 0;
}

int member_u32(const char **why, const json_t *o, const char *claim, uint32_t *ret)
{
	uint64_t value;
	int err = member_number(why, o, claim, UINT32_MAX, &value);

	if (!err)
		*ret = value;
	return err;
}

int member_bool(const char **why, const json_t *o, const char *claim, bool *ret)
{
	const json_t *value = member(o, claim);

	if (!json_is_boolean(value))
		return member_bad(why, claim);
	*ret = json_is_true(value);
	return 0;
}

int member_true_maybe(const char **why, const json_t *o, const char *claim, bool *ret)
{
	const json_t *value = member(o, claim);

	if (!value)
		return 0;
	if (!json_is_true(value))
		return member_bad(why, claim);
	*ret = true;
	return 0;
}

int member_word_of(const char **why, const json_t *value, const char *claim,
		   const char *const *words, unsigned int *ret)
{
	const char *word = json_string_value(value);

	if (word && *word)
		for (unsigned int i = 0; words[i]; i++)
			if (!strcmp(word, words[i])) {
				*ret = i;
				return 0;
			}
	return member_bad(why, claim);
}

int member_word(const char **why, const json_t *o, const char *claim, const char *const *words,
		unsigned int *ret)
{
	return member_word_of(why, member(o, claim), claim, words, ret);
}

int member_constant(const char **why, const json_t *o, const char *claim, const char *text)
{
	const char *value = json_string_value(member(o, claim));

	return value && !strcmp(value, text) ? 0 : member_bad(why, claim);
}

int member_bytes(const char **why, const json_t *o, const char *claim, void *ret, size_t size)
{
	const json_t *value = member(o, claim);

	if (!json_is_string(value) ||
	    base64url_decode_exact(json_string_value(value), json_string_length(value), ret, size))
		return member_bad(why, claim);
	return 0;
}

int member_copy_blob(const char **why, const json_t *value, const char *claim, size_t max,
		     uint8_t **ret, size_t *ret_len)
{
	size_t len = json_string_length(value);
	int err;

	if (!json_is_string(value) || len == 0 || len > BASE64URL_LEN(max))
		return member_bad(why, claim);
	err = base64url_decode_new(json_string_value(value), len, ret, ret_len);
	return err == -EBADMSG ? member_bad(why, claim) : err;
}

int member_blob(const char **why, const json_t *o, const char *claim, size_t max, uint8_t **ret,
		size_t *ret_len)
{
	return member_copy_blob(why, member(o, claim), claim, max, ret, ret_len);
}

/* Lower case only: one encoding. */
int member_hex(const char **why, const json_t *o, const char *claim, uint8_t *ret, size_t max,
	       size_t *ret_len)
{
	const json_t *value = member(o, claim);
	const char *text = json_string_value(value);

	if (!text || hex_decode(text, json_string_length(value), ret, max, ret_len))
		return member_bad(why, claim);
	return 0;
}

int member_uuid(const char **why, const json_t *o, const char *claim, struct uuid *ret)
{
	const char *text = json_string_value(member(o, claim));
	char again[UUID_TEXT_SIZE];

	if (!text || uuid_parse(text, ret) < 0)
		return member_bad(why, claim);
	uuid_format(ret, again);
	return strcmp(text, again) ? member_bad(why, claim) : 0;
}
