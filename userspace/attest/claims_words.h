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
#define CLAIMS_COMPONENT "application/measured-component+json"
#define CLAIMS_UNPROVEN_MEMBER "unproven_measurement"
