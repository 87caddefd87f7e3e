/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bounds: how much of each thing a verifier takes from a stranger. Whatever is longer is refused
 * before it is decoded, and what is decoded before a quote's signature was seen to be good is
 * short: docs/token-services.md, "What to accept", tells the sum of it.
 */
#pragma once

#include "attest/batch.h"
#include "attest/certificate.h"
#include "attest/eventlog.h"
#include "attest/hoststate.h"
#include "attest/systemdlog.h"

/* Bytes of evidence, as it is sent. */
#define BOUNDS_EVIDENCE (256u << 20)

/*
 * Bytes of a member's content. A token has 84 files at most, with paths of 4,096 bytes, and 64
 * scopes: 2 MiB are more than the longest. A quote and a signature are shorter than 1 KiB.
 */
#define BOUNDS_TOKEN (2u << 20)
#define BOUNDS_QUOTE 2048
#define BOUNDS_SIGNATURE 2048
#define BOUNDS_PCRS (TPM2_PCRS * TPM2_DIGEST_MAX * TPM2_SELECTIONS_MAX)
#define BOUNDS_PATH BATCH_PATH_SIZE_MAX

/* Likewise, of host evidence. */
#define BOUNDS_HOST_CLAIMS HOSTSTATE_CLAIMS_MAX
#define BOUNDS_PUBLIC HOSTSTATE_PUBLIC_MAX
#define BOUNDS_CHAIN CERTIFICATE_PEM_MAX
#define BOUNDS_IMA_RANGE 256
#define BOUNDS_BOOT_LOG EVENTLOG_SIZE_MAX
#define BOUNDS_SYSTEMD_LOG SYSTEMDLOG_SIZE_MAX
#define BOUNDS_IMA_LOG (BOUNDS_EVIDENCE / 4 * 3)

/*
 * Values (numbers, texts, lists, objects) of any JSON of which a tree is built: of some 200 bytes
 * each. The largest claims have 6,000.
 */
#define BOUNDS_JSON_VALUES 16384
