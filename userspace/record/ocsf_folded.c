/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ocsf_folded.h"

#include "record/folded.h"
#include "record/ocsf_object.h"

#define NS_PER_MS UINT64_C(1000000)

/* By the distance of the record's own two clocks. */
static void put_time(struct json_builder *b, json_t *root, const char *key,
		     const Affiant__V1__Record *r, uint64_t boottime_ns)
{
	if (boottime_ns <= r->boottime_ns && r->boottime_ns - boottime_ns <= r->wall_ns)
		json_put(b, root, key,
			 json_integer((r->wall_ns - (r->boottime_ns - boottime_ns)) / NS_PER_MS));
}

/* What every network activity has: this host, and that it went out from it. */
static void put_network(struct json_builder *b, json_t *root, const Affiant__V1__Record *r)
{
	json_t *src = json_object();

	json_put(b, src, "uid",
		 r->has_host ? json_hex(r->host.data, r->host.len) : json_string("unknown"));
	json_put(b, root, "src_endpoint", src);
	json_put(b, root, "connection_info",
		 ocsf_connection(b, r, AFFIANT__V1__PROTOCOL__PROTOCOL_UNKNOWN, NULL, NULL));
}

void ocsf_put_folded(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		     bool network, json_t *unmapped)
{
	const Affiant__V1__Folded *f = r->folded;
	uint64_t total = folded_total(f);

	if (total <= INT64_MAX)
		json_put(b, root, "count", json_integer(total));
	put_time(b, root, "start_time", r, f->from_boottime_ns);
	put_time(b, root, "end_time", r, f->to_boottime_ns);
	json_put(b, root, "message",
		 json_string("Past its agent's budget: counted instead of told one by one."));
	if (network)
		put_network(b, root, r);
	json_put_message(b, unmapped, "folded", &f->base, NULL);
}
