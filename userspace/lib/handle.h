/* SPDX-License-Identifier: Apache-2.0 */
/* handle: what is behind struct affiant, for the files of libaffiant. */
#pragma once

#include "lib/client.h"

struct affiant {
	struct client *client;
	char error[512]; /* of what failed before the daemon was asked */
};

/* As client_call(), without descriptors in the answer. */
int handle_call(struct affiant *a, Affiant__V1__Request *request, const int *fds, size_t fds_count,
		Affiant__V1__Response **ret);

/* Keeps @text for affiant_error(); returns @err. */
int handle_fail(struct affiant *a, int err, const char *text);
