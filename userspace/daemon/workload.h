/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workload: what is recorded of a process and its session, as the claims of its evidence
 * (docs/evidence.md).
 */
#pragma once

#include "attest/claims.h"
#include "collect/attribute.h"

/*
 * Fills in the workload's part of @ret: files, agent, session, task, principal, process, ancestors,
 * programs, manifests and isolation. What is still a draft among the images has to be waited for
 * before (workload_settled()).
 * @offset_ns: CLOCK_REALTIME - CLOCK_BOOTTIME. 0 or -ENOMEM; -EMSGSIZE: the asking process executed
 * more files than evidence has room for.
 */
int workload_claims(const struct actor *asking, int64_t offset_ns, struct claims *ret);

/* All digests that workload_claims() would tell are there, or will not come. */
bool workload_settled(const struct actor *asking);
