/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/claims.h"

#include <stdlib.h>
#include <string.h>

#include "attest/claims_words.h"

const char *const claims_roles[] = {
	[CLAIMS_EXECUTABLE] = "executable",
	[CLAIMS_SCRIPT] = "script",
	[CLAIMS_INTERPRETER] = "interpreter",
	[CLAIMS_LOADER] = "loader",
	[CLAIMS_ARGUMENT] = "argument",
	[CLAIMS_MANIFEST] = "manifest",
	[CLAIMS_CONFIGURATION] = "configuration",
	[CLAIMS_BPF] = "bpf",
	NULL,
};
const char *const claims_states[] = {
	"", /* HASH_UNKNOWN is no claim */
	[CLAIMS_KERNEL] = "kernel",
	[CLAIMS_VERITY] = "verity",
	[CLAIMS_HELD] = "held",
	[CLAIMS_OBSERVED] = "observed",
	[CLAIMS_TOO_LATE] = "too_late",
	[CLAIMS_TOO_LARGE] = "too_large",
	[CLAIMS_CHANGED] = "changed",
	[CLAIMS_UNREADABLE] = "unreadable",
	[CLAIMS_DISABLED] = "disabled",
	[CLAIMS_UNPROVEN] = "unproven",
	[CLAIMS_OFFERED] = "offered",
	[CLAIMS_CLAIMED] = "claimed",
	NULL,
};
const char *const claims_custodies[] = {"process", "daemon", NULL};
const char *const claims_origins[] = {"run", "selector", "api", NULL};
const char *const claims_isolations[] = {"landlock", "uid", "none", "unknown", NULL};
const char *const claims_lockdowns[] = {"none", "integrity", "confidentiality", "unavailable",
					NULL};
const char *const claims_secure_boots[] = {"on", "off", "unavailable", NULL};

const char *claims_role_word(enum claims_role r)
{
	return r <= CLAIMS_BPF ? claims_roles[r] : NULL;
}

const char *claims_state_word(enum claims_state s)
{
	return s >= CLAIMS_KERNEL && s <= CLAIMS_CLAIMED ? claims_states[s] : NULL;
}

bool claims_state_proven(enum claims_state s)
{
	return s >= CLAIMS_KERNEL && s <= CLAIMS_OBSERVED;
}

void claims_clear(struct claims *c)
{
	struct claims_task *task = &c->workload.task;

	free(c->nonce);
	free(c->audience);
	free(c->sub);
	free(c->version);
	EVP_PKEY_free(c->cnf);
	for (size_t i = 0; i < c->files_count; i++)
		free(c->files[i].path);
	free(c->workload.agent);
	free(c->workload.principal);
	free(task->id);
	free(task->purpose);
	for (size_t i = 0; i < task->scope_count; i++)
		free(task->scope[i]);
	memset(c, 0, sizeof(*c));
}

void claims_host_clear(struct claims_host *h)
{
	free(h->kernel);
	free(h->cmdline);
	free(h->tpm.manufacturer);
	free(h->tpm.vendor);
	for (size_t i = 0; i < h->files_count; i++)
		free(h->files[i].path);
	memset(h, 0, sizeof(*h));
}

static void mark(const uint8_t *files, size_t count, bool used[static CLAIMS_FILES_MAX])
{
	for (size_t i = 0; i < count; i++)
		used[files[i]] = true;
}

static void renumber(uint8_t *files, size_t count, const uint8_t now[static CLAIMS_FILES_MAX])
{
	for (size_t i = 0; i < count; i++)
		files[i] = now[files[i]];
}

/* Takes out the files that nothing names any more. */
static void sweep(struct claims *c)
{
	struct claims_workload *w = &c->workload;
	bool used[CLAIMS_FILES_MAX] = {};
	uint8_t now[CLAIMS_FILES_MAX];
	size_t kept = 0;

	mark(w->process.files, w->process.files_count, used);
	mark(w->manifests, w->manifests_count, used);
	for (size_t i = 0; i < w->ancestors_count; i++)
		mark(w->ancestors[i].files, w->ancestors[i].files_count, used);
	for (size_t i = 0; i < c->files_count; i++) {
		if (!used[i]) {
			free(c->files[i].path);
			continue;
		}
		now[i] = kept;
		c->files[kept++] = c->files[i];
	}
	c->files_count = kept;
	renumber(w->process.files, w->process.files_count, now);
	renumber(w->manifests, w->manifests_count, now);
	for (size_t i = 0; i < w->ancestors_count; i++)
		renumber(w->ancestors[i].files, w->ancestors[i].files_count, now);
}

/* False: there is nothing that could be left out. */
static bool cut(struct claims *c)
{
	if (!c->workload.ancestors_count)
		return false;
	c->workload.ancestors_count--;
	c->workload.ancestors_cut = true;
	sweep(c);
	return true;
}

int claims_fit(struct claims *c, size_t max, json_t **ret, const char **ret_why)
{
	json_t *json = NULL;
	int err;

	do {
		json_decref(json);
		err = claims_encode(c, &json, ret_why);
		if (err)
			return err;
	} while (json_dumpb(json, NULL, 0, JSON_COMPACT) > max && cut(c));
	*ret = json;
	return 0;
}

int claims_ueid(const void *ek_public, size_t len, uint8_t ret[static CLAIMS_UEID_SIZE])
{
	struct sha256 digest;
	int err = sha256_of(ek_public, len, &digest);

	if (err)
		return err;
	ret[0] = 1;
	memcpy(ret + 1, &digest, sizeof(digest));
	return 0;
}
