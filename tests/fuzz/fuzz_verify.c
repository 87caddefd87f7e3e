/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as evidence, before a policy that takes nearly all: a verdict with a reason, and never a good one, since the
 * fuzzer has no key of the TPM that made the seeds. With and without what was kept of the host.
 */
#include "attest/verify.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1793600010

static const char *const agents[] = {"spiffe://example.org/agent/research"};
static const struct affiant_agent agent = {
	.id = "spiffe://example.org/agent/research",
	.executables.any = true,
	.scripts.any = true,
	.interpreters.any = true,
	.loaders.any = true,
	.arguments.any = true,
	.manifests.any = true,
	.ancestors.any = true,
	.minimum = AFFIANT_SOFTWARE_TPM,
	.programs.any = true,
	.isolations = 15,
	.custodies = AFFIANT_ANY_CUSTODY,
	.states = AFFIANT_STATES_PROVEN,
	.max_lost = AFFIANT_ANY_LOST,
	.allow_folded = true,
	.allow_untagged_children = true,
	.allow_asserted = true,
	.allow_late = true,
};
static struct affiant_host host = {
	.agents = {agents, 1}, .no_ek_certificate = true, .asset = "any"};
static struct affiant_policy policy = {
	.allow_software_tpm = true,
	.hosts = &host,
	.hosts_count = 1,
	.agents = &agent,
	.agents_count = 1,
	.boot = {.kernels.any = true,
		 .allow_secure_boot_off = true,
		 .allow_debugger = true,
		 .allow_dma_unprotected = true},
	.daemon = {.executables.any = true, .configurations.any = true, .bpf.any = true},
	.max_age = 86400,
	.skew = 5,
	.any_firmware = true,
};

static void judge(struct verifier *v, const struct verify_request *q)
{
	struct verify_result *r;
	json_t *json;

	if (verify(v, q, &r) < 0)
		abort();
	json = verify_result_json(r);
	if (r->verdict == AFFIANT_AFFIRMED || !r->code || !*verify_reason(r) || !json)
		abort();
	json_decref(json);
	verify_result_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verify_request q = {
		.evidence = data,
		.len = size,
		.nonce = "mZ4vQ0h8T2a9Yc1LrB7uXw",
		.audience = "https://sts.example.org/token",
		.now = NOW,
	};
	static struct hoststate kept;
	struct verifier *v;
	const char *why;

	verify_ueid(data, size, host.ueid);
	if (verifier_new(&policy, &v, &why) < 0)
		abort();
	judge(v, &q);
	memcpy(kept.ueid, host.ueid, sizeof(kept.ueid));
	kept.until = INT64_MAX;
	q.cached = &kept;
	judge(v, &q);
	verifier_free(v);
	/* Texts that are kept there look like a leak, and each input would be searched for it. */
	ERR_clear_error();
	return 0;
}
