/* SPDX-License-Identifier: Apache-2.0 */
/* ask: evidence by libaffiant, which the asking program loads while it runs. */
#pragma once

#include "../../../userspace/lib/affiant.h"
#include "program.h"

#include <dlfcn.h>

#define FUNCTION(library, name) ((typeof(&name))dlsym(library, #name))

/* True: evidence, in *ret. False: it was refused; with the code in *ret. */
static inline bool ask_evidence(const char *path, const char *socket, const char **ret)
{
	const struct affiant_evidence_request request = {
		.nonce = "nonce-of-a-verifier", .audience = "https://tokens.example", .host = true};
	void *library = dlopen(path, RTLD_NOW);
	static struct affiant_evidence evidence;
	struct affiant *a;

	if (!library)
		errx(1, "%s", dlerror());
	if (FUNCTION(library, affiant_connect)(socket, &a))
		errx(1, "%s", socket);
	if (FUNCTION(library, affiant_get_evidence)(a, &request, &evidence)) {
		*ret = FUNCTION(library, affiant_error_code)(a);
		return false;
	}
	*ret = evidence.cmw;
	return true;
}
