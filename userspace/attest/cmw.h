/* SPDX-License-Identifier: Apache-2.0 */
/* cmw: conceptual message wrappers (RFC 9999), as JSON. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/jsontext.h"
#include "base/buffer.h"

#define CMW_EVIDENCE 4 /* 'ind', bit 2 */

#define CMW_TYPE_EVIDENCE "tag:affiant.dev,2026:evidence#1"
#define CMW_TYPE_HOST "tag:affiant.dev,2026:host#1"

/* Media types of the members (docs/evidence.md). */
#define CMW_EAT "application/eat+jwt"
#define CMW_TPMS_ATTEST "application/vnd.affiant.tpms-attest"
#define CMW_TPMT_SIGNATURE "application/vnd.affiant.tpmt-signature"
#define CMW_TPMT_PUBLIC "application/vnd.affiant.tpmt-public"
#define CMW_PCRS "application/vnd.affiant.pcrs"
#define CMW_PATH "application/vnd.affiant.path"
#define CMW_PEM "application/pem-certificate-chain"
#define CMW_EVENT_LOG "application/vnd.affiant.tcg-event-log"
#define CMW_IMA_LOG "application/vnd.affiant.ima-log"
#define CMW_IMA_RANGE "application/vnd.affiant.ima-range+json"
#define CMW_HOST_CLAIMS "application/eat-ucs+json" /* RFC 9782 */
#define CMW_JSON_SEQ "application/json-seq"

/* Adds the record [type, base64url(content), 4] to a collection. 0 or -ENOMEM. */
int cmw_add(json_t *collection, const char *name, const char *media_type, const void *content,
	    size_t len);
json_t *cmw_collection(const char *type);

/*
 * The same as text, for what is made a thousand times: a collection is what cmw_begin() writes, the
 * members, and "}". Names and types are our own words, which need no escapes. buffer_error() tells.
 */
void cmw_begin(struct buffer *b, const char *type);
void cmw_put(struct buffer *b, const char *name, const char *media_type, const void *content,
	     size_t len);

struct cmw;

/* A member that is asked for. Zero-initialised but for the first line of it. */
struct cmw_item {
	const char *name, *media_type;
	size_t max;         /* bytes that its content may have */
	struct cmw *nested; /* it is a collection by itself, instead of that */

	struct jsontext text; /* in base64url, as it stands there; at NULL: it is not there */
	uint8_t *content;     /* cmw_decode(): to be freed, a NUL stands behind it */
	size_t len;
};

struct cmw {
	const char *type;
	struct cmw_item *items;
	size_t count;
	bool present; /* out */
};

struct cmw_fault {
	const struct cmw *in;
	char member[120]; /* anybody's text, perhaps cut; "the JSON" */
};

/*
 * Finds the members of a collection in JSON, and reads no further: each is to be decoded by itself,
 * once it is worth it. Every member must be one of the items, once, with that media type and ind 4,
 * and not longer than it may be: else -EBADMSG, and *@ret_fault names it. Which are missing is for
 * the caller to see. What is found is borrowed from @data.
 */
int cmw_read(const void *data, size_t len, struct cmw *c, struct cmw_fault *ret_fault);

/* Strict base64url. 0, also if it is not there, or was decoded before; -EBADMSG, -ENOMEM. */
int cmw_decode(struct cmw_item *item);

/* Frees the contents, of nested ones too. */
void cmw_clear(struct cmw *c);
