/* SPDX-License-Identifier: Apache-2.0 */
#include "record/words.h"

#include <errno.h>
#include <string.h>

#define WORDS_MAX 16

static const struct words {
	const ProtobufCEnumDescriptor *of;
	const char *word[WORDS_MAX]; /* by number: the enums have no holes, which a test sees to */
} tables[] = {
	{&affiant__v1__clock_state__descriptor,
	 {"unknown", "synchronised", "unsynchronised", "stepped"}},
	{&affiant__v1__isolation__descriptor, {"unknown", "none", "landlock", "uid"}},
	{&affiant__v1__assurance__descriptor, {"unknown", "asserted", "verified", "bound"}},
	{&affiant__v1__hash_state__descriptor,
	 {"unknown", "kernel", "verity", "held", "observed", "too_late", "too_large", "changed",
	  "unreadable", "disabled", "unproven", "offered", "claimed"}},
	{&affiant__v1__unproven__descriptor,
	 {"unknown", "power", "filesystem", "overlay", "owner", "writable", "mount", "changed"}},
	{&affiant__v1__step_kind__descriptor,
	 {"unknown", "script", "interpreter", "loader", "script_argument"}},
	{&affiant__v1__session_origin__descriptor, {"unknown", "run", "selector", "api"}},
	{&affiant__v1__session_end_reason__descriptor,
	 {"unknown", "last_exit", "requested", "reboot", "tracing_removed"}},
	{&affiant__v1__protocol__descriptor,
	 {"unknown", "tcp", "udp", "unix", "icmp", "icmpv6", "sctp", "raw", "udplite", "mptcp",
	  "other"}},
	{&affiant__v1__outcome__descriptor,
	 {"unknown", "established", "refused", "timed_out", "unreachable", "reset", "aborted",
	  "denied", "not_sent", "attempted", "pending"}},
	{&affiant__v1__gap_reason__descriptor,
	 {"unknown", "retention", "torn", "selectors", "tracing_removed", "void", "not_delivered",
	  "reboot", "state", "unsynced"}},
	{&affiant__v1__folded_kind__descriptor,
	 {"unknown", "connect", "close", "exec", "exit", "untracked_socket", "listening"}},
};

static const char *const *words_of(const ProtobufCEnumDescriptor *e)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (tables[i].of == e)
			return tables[i].word;
	return NULL;
}

const char *word_of(const ProtobufCEnumDescriptor *e, int value)
{
	const char *const *words = words_of(e);

	return words && value >= 0 && value < WORDS_MAX && words[value] ? words[value] : "unknown";
}

int word_value(const ProtobufCEnumDescriptor *e, const char *word)
{
	const char *const *words = words_of(e);

	for (int i = 0; words && i < WORDS_MAX && words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -EINVAL;
}

const char *word_of_body(Affiant__V1__Record__BodyCase body)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(&affiant__v1__record__descriptor, body);

	return field ? field->name : "unknown";
}

int word_body(const char *word)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(
		&affiant__v1__record__descriptor, word);

	return field && field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? (int)field->id : -EINVAL;
}
