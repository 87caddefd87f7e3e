/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hashes: which bytes of a record's Digest its state stands for. That a field is there says nothing
 * by itself: whoever shows a digest asks here.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>

/*
 * The digest of what ran: SHA-256, or that of fs-verity's tree in state VERITY. NULL: none is
 * proven. Borrowed, as is @d, which may be NULL.
 */
const ProtobufCBinaryData *hashes_proven(const Affiant__V1__Digest *d);

/*
 * The digest that goes with the state, whatever it is worth: as hashes_proven(); OFFERED: of a
 * script as it was; UNPROVEN: of what was read later. Only together with the state's word. NULL:
 * none.
 */
const ProtobufCBinaryData *hashes_stated(const Affiant__V1__Digest *d);
