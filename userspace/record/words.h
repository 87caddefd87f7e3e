/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words: the enums of record.proto in lower case, without their prefixes: what JSON, terminals and
 * filters say.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>

/* "established", "too_late": never NULL; "unknown" for a number without a name. */
const char *word_of(const ProtobufCEnumDescriptor *e, int value);

/* The number of a word, or -EINVAL. */
int word_value(const ProtobufCEnumDescriptor *e, const char *word);

/* "connect", "session_started": the body's field in record.proto. */
const char *word_of_body(Affiant__V1__Record__BodyCase body);

/* The body's case, or -EINVAL. */
int word_body(const char *word);
