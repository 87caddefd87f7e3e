/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts: the members of evidence and of host evidence (docs/evidence.md), with what each may have.
 */
#pragma once

#include "attest/bounds.h"
#include "attest/cmw.h"

enum member { EAT, QUOTE, SIGNATURE, PCRS, PATH, MEMBERS };
enum host_member {
	HOST_CLAIMS,
	EK_PUBLIC,
	AK_PUBLIC,
	EK_CHAIN,
	AK_CHAIN,
	BOOT_LOG,
	IMA_LOG,
	IMA_RANGE,
	SYSTEMD_LOG,
	HOST_MEMBERS
};

/* For cmw_read(&p->evidence): @p holds both, and must not be moved then. */
struct parts {
	struct cmw evidence, host;
	struct cmw_item items[MEMBERS + 1]; /* the last one is the host's collection */
	struct cmw_item host_items[HOST_MEMBERS];
};

void parts_init(struct parts *p);
