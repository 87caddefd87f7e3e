/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/asker.h"

#include "attest/jose.h"
#include "attest/ossl.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "daemon/request.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOOK_NS CORE_SECOND_NS
#define CNF_DOMAIN "affiant/cnf/v1"

__attribute__((format(printf, 3, 4))) static bool refuse(struct refusal *ret, const char *code,
							 const char *format, ...)
{
	va_list ap;

	ret->code = code;
	va_start(ap, format);
	vsnprintf(ret->text, sizeof(ret->text), format, ap);
	va_end(ap);
	return false;
}

/* ---- the key that it names ---- */

static void add_counted(struct buffer *b, const char *text)
{
	uint64_t len = htobe64(strlen(text));

	buffer_add(b, &len, sizeof(len));
	buffer_add_text(b, text);
}

/* docs/evidence.md, "Whose key it is": by the challenge it is of this connection, and not a
 * recorded one. */
static bool take_key(struct asker *a, const Affiant__V1__GetEvidence *request, struct refusal *ret)
{
	const struct server_caller *caller = server_call_caller(a->call);
	_cleanup_buffer_ struct buffer signed_bytes = {0};
	_cleanup_json_ json_t *jwk = NULL;

	if (!request->has_cnf)
		return true;
	if (jose_json(request->cnf.data, request->cnf.len, 2, &jwk) || json_object_get(jwk, "d") ||
	    jose_key_of_jwk(jwk, &a->cnf) || EVP_PKEY_get_bits(a->cnf) != 256)
		return refuse(ret, "bad_request", "cnf: a public JWK on P-256 is needed");
	buffer_add(&signed_bytes, CNF_DOMAIN, sizeof(CNF_DOMAIN));
	buffer_add(&signed_bytes, caller->challenge, REQUEST_CHALLENGE_SIZE);
	add_counted(&signed_bytes, request->nonce);
	add_counted(&signed_bytes, request->audience);
	if (buffer_error(&signed_bytes))
		return refuse(ret, "unavailable", "out of memory");
	if (jose_verify(a->cnf, signed_bytes.data, signed_bytes.len, request->cnf_signature.data,
			request->cnf_signature.len))
		return refuse(ret, "denied",
			      "cnf_signature is not that key's over challenge, nonce and audience");
	a->own_key = true;
	return true;
}

/* ---- who it is ---- */

/* What others do can keep the daemon from knowing of a session that has begun. */
static bool is_behind(const struct core *c)
{
	return c->events_len || source_ring_used(c->source);
}

static bool find_actor(struct asker *a, struct refusal *ret)
{
	struct table *t = &a->core->attribute->table;
	struct process *p;

	core_drain(a->core);
	p = process_find(t, a->pid, a->tag.start_boottime);
	if (!session_find(t, a->tag.session) && is_behind(a->core))
		return refuse(ret, "unavailable", "not all that happened is read yet: try again");
	if (!session_find(t, a->tag.session))
		return refuse(ret, "session_ended", "the session has ended");
	if (!p || p->actor->key.exec_seq != a->tag.exec_seq ||
	    p->actor->session->key != a->tag.session || !p->actor->image->known ||
	    !p->actor->image->has_id)
		return refuse(ret, "unavailable", "what process %d executed is not recorded",
			      a->pid);
	a->actor = actor_ref(p->actor);
	return true;
}

struct asker *asker_new(struct core *c, struct server_call *call, struct refusal *ret)
{
	const struct server_caller *caller = server_call_caller(call);
	struct asker *a = calloc(1, sizeof(*a));

	if (!a) {
		refuse(ret, "unavailable", "out of memory");
		return NULL;
	}
	a->core = c;
	a->fd = -1;
	a->call = call;
	a->pid = caller->pid;
	a->tag = caller->tag;
	if (find_actor(a, ret) && asker_entitled(a, ret))
		return a;
	asker_free(a);
	return NULL;
}

void asker_free(struct asker *a)
{
	if (!a)
		return;
	actor_unref(a->actor);
	subject_look_clear(&a->threads);
	closep(&a->fd);
	EVP_PKEY_free(a->cnf);
	free(a->jwk);
	free(a->signing_input);
	free(a->jws);
	free(a);
}

bool asker_take(struct asker *a, const Affiant__V1__GetEvidence *request, struct refusal *ret)
{
	a->nonce = request->nonce;
	a->audience = request->audience;
	a->host = request->has_host && request->host;
	a->ima_from = request->ima_from;
	return take_key(a, request, ret);
}

/* ---- whether it may have evidence ---- */

bool asker_lives(const struct asker *a)
{
	struct tag now;

	return !source_tag_of(a->core->source, a->pid, &now) && now.session == a->tag.session &&
	       now.start_boottime == a->tag.start_boottime && now.exec_seq == a->tag.exec_seq;
}

bool asker_entitled(const struct asker *a, struct refusal *ret)
{
	const struct session *s = a->actor->session;
	const Affiant__V1__Task *task = s->head->task;
	uint64_t now = core_boottime_ns() + a->core->clock.offset_ns;

	/* While the disk takes no records, no events are read: what the session did since is not
	 * known, nor whether it goes on. */
	if (a->core->full)
		return refuse(ret, "unavailable", "records can't be written: %s",
			      strerror(-a->core->full));
	if (s->ended_wall_ns || s->ending)
		return refuse(ret, "session_ended", "the session has ended");
	/* The kernel may know more than was read. */
	if (s->untagged || source_untagged(a->core->source, s->key))
		return refuse(ret, "untagged_children",
			      "processes of the session found no room among the tags: what they "
			      "did is not recorded");
	if (task && task->has_expires_wall_ns && task->expires_wall_ns <= now)
		return refuse(ret, "task_expired", "the task has expired");
	return true;
}

/* Thread by thread: there can be many. */
static bool look_at_threads(struct asker *a, struct refusal *ret)
{
	bool traced = true;
	int err = subject_traced(a->pid, &a->threads, &traced);

	a->goes_on = err == 1;
	if (err == 1)
		return refuse(ret, "unavailable", "not all threads of process %d are looked at yet",
			      a->pid);
	if (err == -E2BIG)
		return refuse(ret, "limit", "process %d has more than %d threads", a->pid,
			      SUBJECT_THREADS_MAX);
	if (err)
		return refuse(ret, "unavailable", "/proc/%d/task: %s", a->pid, strerror(-err));
	return !traced || refuse(ret, "traced", "a thread of process %d is traced", a->pid);
}

static bool look_at_executable(struct asker *a, struct refusal *ret)
{
	const struct subject_exec exec = {
		.pid = a->pid, .session = a->tag.session, .id = a->actor->image->id};
	bool same = false;
	int err = subject_executes(a->core->source, a->core->aside, &exec, &same);

	if (err == -EAGAIN) {
		if (!a->look_until_ns)
			a->look_until_ns = core_boottime_ns() + LOOK_NS;
		a->again = core_boottime_ns() < a->look_until_ns;
		return refuse(ret, "unavailable",
			      "/proc/%d/exe can't be seen: the process executes something, or the "
			      "machine is busy: try again",
			      a->pid);
	}
	if (err)
		return refuse(ret, "unavailable", "/proc/%d/exe: %s", a->pid, strerror(-err));
	if (!same)
		return refuse(ret, "executable_changed",
			      "/proc/%d/exe is not what process %d executed", a->pid, a->pid);
	return true;
}

bool asker_look(struct asker *a, struct refusal *ret)
{
	a->again = a->goes_on = false;
	if (!a->untraced && !look_at_threads(a, ret))
		return false;
	a->untraced = true; /* said once, when the executable has to be looked at again */
	if (!look_at_executable(a, ret))
		return false;
	a->looked_at = true;
	/* The next look has its own time, and its own threads. */
	a->look_until_ns = 0;
	a->untraced = false;
	return true;
}
