/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member: members of JSON objects that somebody else made, by type and bounds. Each is asked for by
 * the whole path of what it is ("submods.workload.agent"), whose last part is the member's name. 0,
 * or -EBADMSG and *@why is that path; -ENOMEM leaves it. @o may be NULL or no object: then every
 * member is missing.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

/* Sets *@why; -EBADMSG. */
int member_bad(const char **why, const char *claim);

int member_object(const char **why, const json_t *o, const char *claim, const json_t **ret);
/* At most @max elements; it may be empty, and may not be missing. */
int member_array(const char **why, const json_t *o, const char *claim, size_t max,
		 const json_t **ret);

/* 1 to @max bytes; a copy, to be freed. */
int member_text(const char **why, const json_t *o, const char *claim, size_t max, char **ret);
/* Missing: 0, and @ret stays as it is. */
int member_text_maybe(const char **why, const json_t *o, const char *claim, size_t max, char **ret);
/* Exactly this text. */
int member_constant(const char **why, const json_t *o, const char *claim, const char *text);
/* The index of one of @words, which end with NULL; "" is none of them. */
int member_word(const char **why, const json_t *o, const char *claim, const char *const *words,
		unsigned int *ret);

/* An integer from 0 to @max: 7.0 is none. */
int member_number(const char **why, const json_t *o, const char *claim, int64_t max, uint64_t *ret);
int member_u32(const char **why, const json_t *o, const char *claim, uint32_t *ret);
int member_bool(const char **why, const json_t *o, const char *claim, bool *ret);
/* There only when it is true, so that claims have one form. Missing: 0, and @ret stays as it is. */
int member_true_maybe(const char **why, const json_t *o, const char *claim, bool *ret);

/* Base64url of exactly @size bytes. */
int member_bytes(const char **why, const json_t *o, const char *claim, void *ret, size_t size);
/* Base64url of 1 to @max bytes; to be freed. */
int member_blob(const char **why, const json_t *o, const char *claim, size_t max, uint8_t **ret,
		size_t *ret_len);
/* 1 to @max bytes in lower case hexadecimal. */
int member_hex(const char **why, const json_t *o, const char *claim, uint8_t *ret, size_t max,
	       size_t *ret_len);
/* As uuid_format() writes it. */
int member_uuid(const char **why, const json_t *o, const char *claim, struct uuid *ret);

/* As member_blob(), member_text() and member_word(), of a value. */
int member_copy_blob(const char **why, const json_t *value, const char *claim, size_t max,
		     uint8_t **ret, size_t *ret_len);
int member_copy_text(const char **why, const json_t *value, const char *claim, size_t max,
		     char **ret);
int member_word_of(const char **why, const json_t *value, const char *claim,
		   const char *const *words, unsigned int *ret);
