/* SPDX-License-Identifier: Apache-2.0 */
/* ocsf_object: what OCSF events are made of. For ocsf.c alone. */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <jansson.h>

#include "record/json.h"

/* Fields that have a place of their own. */
#define MAPPED(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The whole process; what it lacks a home for goes to @unmapped under "process". */
json_t *ocsf_process(struct json_builder *b, const Affiant__V1__Record *r, json_t *unmapped);

/* Just who it was: pid, uid, created_time and account. */
json_t *ocsf_process_brief(struct json_builder *b, const Affiant__V1__Record *r);

/* network_endpoint; NULL for an absent or empty one. */
json_t *ocsf_endpoint(struct json_builder *b, const Affiant__V1__Endpoint *e);

json_t *ocsf_connection(struct json_builder *b, const Affiant__V1__Record *r,
			Affiant__V1__Protocol protocol, const Affiant__V1__ConnectionId *id,
			const Affiant__V1__Endpoint *remote);

json_t *ocsf_device(struct json_builder *b, const Affiant__V1__Record *r);

/* ocsf_loss.c: the bodies of Lost and Gap, into the event and into @unmapped. */
void ocsf_put_lost(struct json_builder *b, json_t *root, const Affiant__V1__Lost *m,
		   json_t *unmapped);
void ocsf_put_gap(struct json_builder *b, json_t *root, const Affiant__V1__Gap *m,
		  json_t *unmapped);
