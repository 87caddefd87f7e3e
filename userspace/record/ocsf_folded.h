/* SPDX-License-Identifier: Apache-2.0 */
/* ocsf_folded: what OCSF says of a Folded record: one event with a count. */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <jansson.h>
#include <stdbool.h>

#include "record/json.h"

/* Into the event @root; the groups go to @unmapped. @network: it is a network activity. */
void ocsf_put_folded(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		     bool network, json_t *unmapped);
