/* SPDX-License-Identifier: Apache-2.0 */
/* cmw: conceptual message wrappers (RFC 9999), as JSON. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define CMW_EVIDENCE 4  /* 'ind', bit 2 */
#define CMW_DEPTH_MAX 4 /* of collections */

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

struct cmw_item {
	const char *name, *media_type; /* asked for */
	uint8_t *content; /* out: to be freed, a NUL stands behind it; NULL: not there */
	size_t len;
};

/*
 * Takes @collection of type @type apart. Every member must be one of @items (or of @nested,
 * NULL-terminated: names of members that are left to the caller), with that media type, ind 4, and
 * content in strict base64url: else -EBADMSG and *@ret_why names the member (static or borrowed
 * from @collection: anybody's text). Which are missing is for the caller to see.
 */
int cmw_take(const json_t *collection, const char *type, struct cmw_item *items, size_t count,
	     const char *const *nested, const char **ret_why);
void cmw_items_clear(struct cmw_item *items, size_t count);
