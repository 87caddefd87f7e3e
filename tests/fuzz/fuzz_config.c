/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as affiant.yaml and as a drop-in: an answer with a reason, or a configuration. */
#include "daemon/config.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "daemon/interpret.h"
#include "daemon/schema.h"
#include "yaml/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const cyaml_schema_value_t *schema =
		size && data[0] == '-' ? &schema_agents : &schema_config;
	struct config *c = calloc(1, sizeof(*c));
	struct document *d = NULL;
	char *why = NULL;
	int err;

	err = interpret_defaults(c) ?:
	      document_new("fuzz", data, size, schema, &d, &why) ?:
	      (schema == &schema_config ? interpret_config(d, c, &why) : 0) ?:
	      interpret_agents(d, c, &why);
	if (err == -EBADMSG && !why)
		abort();
	free(why);
	document_free(d);
	config_free(c);
	return 0;
}
