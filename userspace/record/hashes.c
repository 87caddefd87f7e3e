/* SPDX-License-Identifier: Apache-2.0 */
#include "record/hashes.h"

#include <stddef.h>

const ProtobufCBinaryData *hashes_proven(const Affiant__V1__Digest *d)
{
	if (!d || !d->has_state)
		return NULL;
	switch (d->state) {
	case AFFIANT__V1__HASH_STATE__HASH_KERNEL:
	case AFFIANT__V1__HASH_STATE__HASH_HELD:
	case AFFIANT__V1__HASH_STATE__HASH_OBSERVED:
		return d->has_sha256 ? &d->sha256 : NULL;
	case AFFIANT__V1__HASH_STATE__HASH_VERITY:
		return d->has_verity ? &d->verity : NULL;
	default:
		return NULL;
	}
}

const ProtobufCBinaryData *hashes_stated(const Affiant__V1__Digest *d)
{
	if (!d || !d->has_state)
		return NULL;
	switch (d->state) {
	case AFFIANT__V1__HASH_STATE__HASH_OFFERED:
		return d->has_sha256 ? &d->sha256 : NULL;
	case AFFIANT__V1__HASH_STATE__HASH_UNPROVEN:
		return d->has_unproven_sha256 ? &d->unproven_sha256 : NULL;
	default:
		return hashes_proven(d);
	}
}
