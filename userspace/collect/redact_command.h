/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_command: hides what a command line gives its programs as secrets: by redact_rules.h for
 * those that are known, wherever they stand behind sudo, env or a path, or in shell text; by the
 * names of flags for all.
 */
#pragma once

#include <stddef.h>

struct redact_commands;

int redact_commands_new(struct redact_commands **ret);
void redact_commands_free(struct redact_commands *r);

/*
 * In @argv: arguments, each ended by NUL, the last one's may be missing. @exe: the name of the file
 * that was executed, which may be known where argv[0] is not; NULL: unknown. In time and memory
 * that grow with @len alone; of what is longer than any argv of an event, all is hidden.
 */
void redact_commands_hide(struct redact_commands *r, const char *exe, size_t exe_len, char *argv,
			  size_t len);
