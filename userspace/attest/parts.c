/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/parts.h"

#include <string.h>

static const struct cmw_item items[MEMBERS + 1] = {
	[EAT] = {"eat", CMW_EAT, BOUNDS_TOKEN},
	[QUOTE] = {"quote", CMW_TPMS_ATTEST, BOUNDS_QUOTE},
	[SIGNATURE] = {"signature", CMW_TPMT_SIGNATURE, BOUNDS_SIGNATURE},
	[PCRS] = {"pcrs", CMW_PCRS, BOUNDS_PCRS},
	[PATH] = {"path", CMW_PATH, BOUNDS_PATH},
	[MEMBERS] = {.name = "host"},
};

static const struct cmw_item host_items[HOST_MEMBERS] = {
	[HOST_CLAIMS] = {"claims", CMW_HOST_CLAIMS, BOUNDS_HOST_CLAIMS},
	[EK_PUBLIC] = {"ek_public", CMW_TPMT_PUBLIC, BOUNDS_PUBLIC},
	[AK_PUBLIC] = {"ak_public", CMW_TPMT_PUBLIC, BOUNDS_PUBLIC},
	[EK_CHAIN] = {"ek_chain", CMW_PEM, BOUNDS_CHAIN},
	[AK_CHAIN] = {"ak_chain", CMW_PEM, BOUNDS_CHAIN},
	[BOOT_LOG] = {"boot_log", CMW_EVENT_LOG, BOUNDS_BOOT_LOG},
	[IMA_LOG] = {"ima_log", CMW_IMA_LOG, BOUNDS_IMA_LOG},
	[IMA_RANGE] = {"ima_range", CMW_IMA_RANGE, BOUNDS_IMA_RANGE},
	[SYSTEMD_LOG] = {"systemd_log", CMW_JSON_SEQ, BOUNDS_SYSTEMD_LOG},
};

void parts_init(struct parts *p)
{
	memcpy(p->items, items, sizeof(items));
	memcpy(p->host_items, host_items, sizeof(host_items));
	p->items[MEMBERS].nested = &p->host;
	p->evidence = (struct cmw){CMW_TYPE_EVIDENCE, p->items, MEMBERS + 1, false};
	p->host = (struct cmw){CMW_TYPE_HOST, p->host_items, HOST_MEMBERS, false};
}
