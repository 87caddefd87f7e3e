/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrolment: the host's side of it (docs/evidence.md, "Enrolment"), for struct server_ops; their
 * context is the core.
 */
#pragma once

#include "daemon/core.h"

/* The request for a verifier: who the TPM is, and the AK that is to be certified. */
void enrolment_get(void *core, struct server_call *call);

/* Shows that the TPM which has the EK has the AK too: the proof of what the credential held. */
void enrolment_activate(void *core, struct server_call *call,
			const Affiant__V1__ActivateCredential *request);

/* Keeps the certificate that a verifier issued. */
void enrolment_install(void *core, struct server_call *call,
		       const Affiant__V1__InstallCertificate *request);
