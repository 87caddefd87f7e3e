/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bounds: of what a launcher says of a session. The same on the socket, in records, in evidence and
 * at the verifier, so that no session can be opened of which there is no evidence.
 */
#pragma once

#define TASK_TEXT_MAX 1024 /* bytes of a task's id, its purpose, a scope, a principal; at least 1 */
#define TASK_SCOPES_MAX 64
#define TASK_TEXTS_MAX 8192 /* of them all: every record of the session carries them */
