/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scriptarg: the script that an interpreter's command line names (`python3 agent.py`, `bash x.sh`,
 * `node app.js`). The process's own claim: nothing else is decided by it, and the record
 * marks it as named by argv.
 */
#pragma once

#include <stddef.h>

#include "event.h"

struct answering;

/*
 * Which argument of a known interpreter (by the name of the executable) is its script, if it takes
 * the arguments. Borrowed from @exec. NULL when there is none, or when it can't be told, since a
 * wrong name is worse: no interpreter, code given in the arguments (-c, -e, -m), standard input, a
 * file that is only checked, a directory, an argv that was cut, an option that interpreters.h does
 * not know or that has the name looked up elsewhere.
 */
const char *scriptarg_name(const struct event_exec *exec);

/*
 * Opens it, on a thread that may take its time, for a disk; a filesystem that may not answer is not
 * asked at all (answers.h).
 *
 * The path is followed as the process would: from its working directory at the exec, within its
 * root, and with its credentials for files (see credentials.h), so that the daemon never reads for
 * an agent what the agent could not read itself. The race with its end is told; the one with its
 * files is not closed: it is the file which has that name when we look.
 */
struct scriptarg;

/*
 * Pins the process, as far as it is there. -ESRCH: it is gone. @name: by scriptarg_name(). @a is
 * borrowed until scriptarg_free().
 */
int scriptarg_new(const struct event_exec *exec, const char *name, const struct answering *a,
		  struct scriptarg **ret);
void scriptarg_free(struct scriptarg *s);

/*
 * A descriptor open for reading, of a regular file; or -ESRCH: the process is gone; -EACCES,
 * -ENOENT, ...: it could not read it itself; -EINVAL: no regular file; -EREMOTE: who is to give it
 * may not answer. The signature is that of filehash_job.open.
 */
int scriptarg_open(void *scriptarg);
