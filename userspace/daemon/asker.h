/* SPDX-License-Identifier: Apache-2.0 */
/* asker: one process that waits for evidence of itself, and whether it may have some. */
#pragma once

#include "daemon/core.h"
#include "daemon/subject.h"

#include <openssl/evp.h>

struct asker {
	struct asker *prev, *next;
	struct core *core;
	struct server_call *call; /* ended with the asker */
	struct actor *actor;
	pid_t pid;
	struct tag tag;
	const char *nonce, *audience; /* the call's */
	EVP_PKEY *cnf;
	bool own_key; /* it showed that it has the key: else the daemon holds it */
	bool host;
	uint64_t ima_from;

	/* its executable was the one that was recorded, and its records are written: */
	bool looked_at;
	/* those below this sequence. They have to be durable before evidence rests on them */
	uint64_t records;

	/* asker_look() has not seen all of its threads yet: it goes on in the next turn. */
	bool goes_on;
	struct subject_look threads;
	bool untraced; /* it has, and now looks at the executable */

	/* asker_look() could not see it in time, and may be asked again, until: */
	bool again;
	uint64_t look_until_ns;

	/* It asks for a proof, not for evidence: the call's. */
	const Affiant__V1__SignProof *proof;

	/* Its evidence can be read here (a pipe), once it was looked at again; -1: not yet, or none. */
	int fd;
	uint64_t size;

	struct sha256 leaf;
	size_t index; /* in the batch */
	char *jwk, *signing_input, *jws; /* of its claims, once it is in a batch */
};

/* Why somebody gets none: @code is api.proto's, @text for a person. */
struct refusal {
	const char *code;
	char text[256];
};

/*
 * The process that made @call, as the records know it; its events are read first. NULL: @ret says
 * why it gets nothing.
 */
struct asker *asker_new(struct core *c, struct server_call *call, struct refusal *ret);
void asker_free(struct asker *a);

/* What it asks for. False: @ret says what is wrong with the key that it names. */
bool asker_take(struct asker *a, const Affiant__V1__GetEvidence *request, struct refusal *ret);

/* Whether it still is there, and has not executed anything since it asked. */
bool asker_lives(const struct asker *a);

/* Whether session and task go on. False: @ret says why not. */
bool asker_entitled(const struct asker *a, struct refusal *ret);

/*
 * Whether nobody traces it, and it still points to what it executed: before the quote, and again
 * after it. False: @ret says that it does not, or with @a->goes_on, @a->again, that it can't be said
 * yet: then the same call goes on.
 */
bool asker_look(struct asker *a, struct refusal *ret);
