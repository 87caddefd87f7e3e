/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of claims.h's enums: NULL-terminated, by number. For claims_encode.c and
 * claims_parse.c.
 */
#pragma once

extern const char *const claims_roles[];
extern const char *const claims_states[];
extern const char *const claims_custodies[];
extern const char *const claims_origins[];
extern const char *const claims_isolations[];
extern const char *const claims_lockdowns[];
extern const char *const claims_secure_boots[];

#define CLAIMS_ISSUER "tag:affiant.dev,2026:host:" /* and the host id in hex */
#define CLAIMS_HOST_PROFILE "tag:affiant.dev,2026:host#1"

/*
 * CoAP content-formats: of application/measured-component+json (RFC 10013, section 7.2), and, out
 * of the range for experiments (RFC 7252, section 12.3), of application/vnd.affiant.file+json.
 */
#define CLAIMS_COMPONENT_FORMAT 296
#define CLAIMS_FILE_FORMAT 65040

/* Of versions of software, in RFC 9393, section 4.1: "semver". */
#define CLAIMS_SEMVER 16384
/* In the registry "COSE Algorithms", from which alone RFC 9711 takes it. */
#define CLAIMS_COSE_SHA256 "SHA-256"
