/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocsf: a Record as an event of the Open Cybersecurity Schema Framework, version 1.9.0, in JSON.
 *
 * What has no home there is under "unmapped", by the names of record.proto. Bytes that are no UTF-8
 * become %NN; an event with such bytes has "percent_escaped": true there, and in it alone a percent
 * sign is %25.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>

#include "base/buffer.h"

#define OCSF_VERSION "1.9.0"

/*
 * Adds one line to @out, ASCII, without a newline. -ENOMEM, or -EINVAL for a record without a body.
 */
int ocsf_of_record(const Affiant__V1__Record *r, struct buffer *out);
