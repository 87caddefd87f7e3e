/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interpret: from what is written to what it means. Converts and checks every value of a document;
 * what is not there keeps its default. Errors as document_mistake().
 */
#pragma once

#include "daemon/config.h"
#include "yaml/document.h"

/* What holds without any file. -ENOMEM. */
int interpret_defaults(struct config *c);

/* All of affiant.yaml (schema_config). */
int interpret_config(const struct document *d, struct config *c, char **ret_why);

/* The 'agents' of either kind of file, added to those there are. After interpret_config(). */
int interpret_agents(const struct document *d, struct config *c, char **ret_why);

/* A hash mode at @key. NULL keeps what *@to is. */
int interpret_mode(const struct document *d, char **ret_why, const char *key, const char *text,
		   enum config_hash_mode *to);

void interpret_agent_free(struct config_agent *a);
