/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "attest/proof.h"
#include "base/cleanup.h"
#include "daemon/attester.h"
#include "daemon/evidence_impl.h"
#include "daemon/handout.h"
#include "daemon/heldkeys.h"
#include "daemon/subject.h"
#include "daemon/tokens.h"
#include "daemon/turn.h"
#include "daemon/workload.h"

#define WAITING_MAX 4096
/* A process is looked at thread by thread, in the daemon's loop: for so many it costs a token more. */
#define THREADS_PER_TOKEN 64
#define WPT_LIFETIME_S 60 /* made for one request, as it is sent */

static const char *const codes[EVIDENCE_CODES] = {
	"untagged", "session_ended",      "task_expired", "traced", "untagged_children",
	"no_tpm",   "executable_changed", "bad_request",  "denied", "busy",
	"limit",    "unavailable",
};

/* ---- ends ---- */

static void count_refusal(struct evidence *e, const char *code)
{
	for (size_t i = 0; i < EVIDENCE_CODES; i++)
		if (!strcmp(codes[i], code))
			e->refused[i]++;
}

static void refuse_call(struct evidence *e, struct server_call *call, const struct refusal *r)
{
	count_refusal(e, r->code);
	server_refuse(call, r->code, "%s", r->text);
}

void evidence_refuse(struct evidence *e, struct asker *a, const struct refusal *r)
{
	refuse_call(e, a->call, r);
	asker_free(a);
}

void evidence_take_out(struct evidence *e, struct asker *a)
{
	DL_DELETE(e->waiting, a);
	e->waiting_count--;
}

/* ---- who waits ---- */

/*
 * True: the look goes on at once. Who can't be seen now is looked at again as the loop turns anyway, not
 * on and on for as long as he hangs.
 */
static bool look_at(struct evidence *e, struct asker *a)
{
	struct refusal r;

	a->records = ledger_next_sequence(e->core->ledger);
	if (asker_look(a, &r) && evidence_claim(e, a, &r))
		return false;
	if (a->again || a->goes_on)
		return a->goes_on;
	evidence_take_out(e, a);
	evidence_refuse(e, a, &r);
	return false;
}

bool evidence_ready(const struct evidence *e, const struct asker *a)
{
	return a->looked_at && a->records <= e->core->durable_sequence;
}

/* Evidence names nothing that a power cut could take back. True: somebody waits for the disk. */
static bool make_durable(struct evidence *e)
{
	struct refusal r = {.code = "unavailable"};
	struct core *c = e->core;
	struct asker *a, *next;
	bool waits = false;

	DL_FOREACH (e->waiting, a)
		waits = waits || (a->looked_at && a->records > c->durable_sequence);
	if (!waits || saver_busy(c->saver))
		return waits;
	if (!c->save_error && !save_begin(c, false))
		return true;
	snprintf(r.text, sizeof(r.text), "records can't be made durable: %s",
		 c->save_error ? strerror(-c->save_error) : "the disk takes none");
	DL_FOREACH_SAFE (e->waiting, a, next) {
		if (!a->looked_at || a->records <= c->durable_sequence)
			continue;
		evidence_take_out(e, a);
		evidence_refuse(e, a, &r);
	}
	return false;
}

/* Whether more are to be looked at: many can ask at once, and all become ready at once. */
static bool look_at_some(struct evidence *e)
{
	struct asker *a, *next;
	unsigned int n = 0;
	bool more = false;

	DL_FOREACH_SAFE (e->waiting, a, next) {
		if (a->looked_at || !workload_settled(a->actor))
			continue;
		if (n++ && (n > EVIDENCE_LOOKS_MAX || !effort_goes_on()))
			return true;
		more = look_at(e, a) || more;
	}
	return more;
}

/* ---- proofs ---- */

static int make_proof(EVP_PKEY *key, const Affiant__V1__SignProof *request, uint64_t now_ns,
		      char **ret)
{
	uint64_t now = now_ns / CORE_SECOND_NS;
	struct uuid jti;
	int err = uuid7_new(now_ns, &jti);

	if (err)
		return err;
	if (request->proof_case == AFFIANT__V1__SIGN_PROOF__PROOF_DPOP)
		return proof_dpop(key,
				  &(struct proof_dpop){request->dpop->htm, request->dpop->htu,
						       request->dpop->nonce,
						       request->dpop->access_token},
				  &jti, now, ret);
	return proof_wpt(key,
			 &(struct proof_wpt){request->wpt->aud, request->wpt->wit,
					     request->wpt->access_token, now + WPT_LIFETIME_S},
			 &jti, ret);
}

static void refuse_keyless(struct server_call *call)
{
	server_refuse(call, "not_found",
		      "no key is held for process %d as it is now: it asks for evidence first",
		      server_call_caller(call)->pid);
}

static void prove(struct evidence *e, struct asker *a)
{
	struct core *c = e->core;
	EVP_PKEY *key = heldkeys_find(e->keys, a->pid, &a->tag);
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Proof proof = AFFIANT__V1__PROOF__INIT;
	_cleanup_free_ char *jwt = NULL;
	int err;

	if (!key) {
		refuse_keyless(a->call);
		return;
	}
	err = make_proof(key, a->proof, core_boottime_ns() + c->clock.offset_ns, &jwt);
	if (err) {
		server_refuse(a->call, err == -EINVAL ? "bad_request" : "unavailable",
			      "the proof can't be made: %s", strerror(-err));
		return;
	}
	proof.jwt = jwt;
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_PROOF;
	response.proof = &proof;
	server_answer(a->call, &response);
}

/* Whether more are to be proven for. Who can't be seen now is told to try again. */
static bool prove_some(struct evidence *e)
{
	struct asker *a, *next;
	struct refusal r;
	unsigned int n = 0;
	bool more = false, may;

	DL_FOREACH_SAFE (e->proving, a, next) {
		if (n++ && (n > EVIDENCE_LOOKS_MAX || !effort_goes_on()))
			return true;
		may = asker_entitled(a, &r) && asker_look(a, &r);
		if (a->goes_on) {
			more = true;
			continue;
		}
		DL_DELETE(e->proving, a);
		e->proving_count--;
		if (may)
			prove(e, a);
		else
			refuse_call(e, a->call, &r);
		asker_free(a);
	}
	return more;
}

bool evidence_turn(struct evidence *e)
{
	bool ready = false, waits, more;
	struct asker *a;

	more = evidence_answer_some(e);
	more = prove_some(e) || more;
	/* What its evidence says is in the ledger by then. */
	if (e->waiting)
		core_flush(e->core);
	more = look_at_some(e) || more;
	waits = make_durable(e);
	DL_FOREACH (e->waiting, a)
		ready = ready || evidence_ready(e, a);
	if (ready && !e->batch && !e->answering)
		evidence_quote(e);
	more = evidence_sign_some(e) || more;
	if (more)
		core_wake(e->core);
	return waits;
}

/*
 * One for each process: its next request waits for the answer to this one on whatever connection it
 * comes.
 */
static bool outstanding(const struct evidence *e, const struct server_caller *caller)
{
	const struct asker *lists[] = {e->waiting, e->batch, e->quoted, e->handed, e->read}, *a;

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		DL_FOREACH (lists[i], a)
			if (a->pid == caller->pid &&
			    a->tag.start_boottime == caller->tag.start_boottime)
				return true;
	return false;
}

static bool take_tokens(struct evidence *e, const struct server_caller *caller, unsigned int count,
			struct refusal *ret)
{
	const struct config_evidence *c = &e->core->config->evidence;
	unsigned int threads;

	if (subject_threads(caller->pid, &threads) || threads > SUBJECT_THREADS_MAX)
		threads = SUBJECT_THREADS_MAX;
	count += threads / THREADS_PER_TOKEN;
	if (tokens_take(e->tokens, caller->tag.session, count, core_boottime_ns()))
		return true;
	ret->code = "limit";
	snprintf(ret->text, sizeof(ret->text),
		 "more requests than %llu a second, or %llu at once (evidence.rate, "
		 "evidence.burst); threads count, too: %d are one more",
		 (unsigned long long)c->rate, (unsigned long long)c->burst, THREADS_PER_TOKEN);
	return false;
}

static size_t waiting(const struct evidence *e)
{
	return e->waiting_count + e->batch_count + e->quoted_count + e->handed_count +
	       e->proving_count;
}

static bool may_ask(struct evidence *e, const struct server_caller *caller, struct refusal *ret)
{
	if (!attester_ready(e->attester, ret->text, sizeof(ret->text))) {
		ret->code = "no_tpm";
		return false;
	}
	if (outstanding(e, caller)) {
		ret->code = "busy";
		snprintf(ret->text, sizeof(ret->text),
			 "a request of process %d is not answered yet", caller->pid);
		return false;
	}
	if (waiting(e) >= WAITING_MAX) {
		ret->code = "limit";
		snprintf(ret->text, sizeof(ret->text), "%d requests wait already", WAITING_MAX);
		return false;
	}
	return take_tokens(e, caller, 1, ret);
}

static bool process_lives(void *core, pid_t pid, const struct tag *tag)
{
	struct tag now;

	return source_tag_of(((struct core *)core)->source, pid, &now) == 0 &&
	       now.session == tag->session && now.start_boottime == tag->start_boottime &&
	       now.exec_seq == tag->exec_seq;
}

static bool hold_key(struct evidence *e, struct asker *a, struct refusal *ret)
{
	EVP_PKEY *key;
	int err;

	if (a->own_key)
		return true;
	err = heldkeys_make(e->keys, a->pid, &a->tag, process_lives, e->core, &key);
	if (!err && EVP_PKEY_up_ref(key)) {
		a->cnf = key;
		return true;
	}
	ret->code = err == -ENOSPC ? "limit" : "unavailable";
	snprintf(ret->text, sizeof(ret->text), "no key can be held for process %d: %s", a->pid,
		 strerror(-err));
	return false;
}

void evidence_untagged(void *core)
{
	count_refusal(((struct core *)core)->evidence, "untagged");
}

void evidence_get(void *core, struct server_call *call, const Affiant__V1__GetEvidence *request)
{
	struct core *c = core;
	struct evidence *e = c->evidence;
	struct refusal r;
	struct asker *a;

	a = may_ask(e, server_call_caller(call), &r) ? asker_new(c, call, &r) : NULL;
	if (!a) {
		refuse_call(e, call, &r);
		return;
	}
	if (!asker_take(a, request, &r) || !hold_key(e, a, &r)) {
		evidence_refuse(e, a, &r);
		return;
	}
	DL_APPEND(e->waiting, a);
	e->waiting_count++;
	core_wake(c);
}

/*
 * A proof says that the process which evidence was given to acts now: who would get no evidence any
 * more gets none.
 */
void evidence_sign(void *core, struct server_call *call, const Affiant__V1__SignProof *request)
{
	struct core *c = core;
	struct evidence *e = c->evidence;
	const struct server_caller *caller = server_call_caller(call);
	struct refusal r;
	struct asker *a;

	if (!heldkeys_find(e->keys, caller->pid, &caller->tag)) {
		refuse_keyless(call);
		return;
	}
	a = take_tokens(e, caller, 0, &r) ? asker_new(c, call, &r) : NULL;
	if (!a) {
		refuse_call(e, call, &r);
		return;
	}
	a->proof = request;
	DL_APPEND(e->proving, a);
	e->proving_count++;
	if (prove_some(e))
		core_wake(c);
}

/* ---- life ---- */

static int on_tpm(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	struct evidence *e = data;

	(void)s, (void)fd, (void)revents;
	tpm_worker_collect(attester_tpm(e->attester));
	evidence_turn(e);
	return 0;
}

static int on_handout(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	(void)s, (void)fd, (void)revents;
	evidence_collect(data);
	return 0;
}

int evidence_start(struct evidence *e)
{
	struct tpm_worker *tpm = attester_tpm(e->attester);
	int err;

	err = sd_event_add_io(e->core->event, NULL, handout_fd(e->handout), EPOLLIN, on_handout, e);
	if (err >= 0 && tpm)
		err = sd_event_add_io(e->core->event, NULL, tpm_worker_fd(tpm), EPOLLIN, on_tpm, e);
	return err < 0 ? err : 0;
}

static int open_attester(struct evidence *e, char **ret_why)
{
	const struct config *config = e->core->config;
	struct attester_config a = {
		.tcti = config->tpm.tcti,
		.tpm = {.timeout_ns = config->tpm.timeout_ns,
			.pcrs = config->tpm.pcrs,
			.ek = (enum tpm_ek)config->tpm.ek},
		.state_dir = e->core->state_dir,
		.root = e->root,
		.config_digest = config->digest,
	};

	a.bpf = source_object(e->core->source, &a.bpf_len);
	memcpy(a.boot_id, e->core->boot_id, sizeof(a.boot_id));
	memcpy(a.host_id, e->core->host, sizeof(a.host_id));
	return attester_new(&a, &e->attester, ret_why);
}

int evidence_new(struct core *c, struct evidence **ret, char **ret_why)
{
	struct evidence *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->core = c;
	e->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = e->root < 0 ? -errno : 0;
	err = err ?: heldkeys_new(&e->keys) ?:
		     tokens_new(c->config->evidence.rate, c->config->evidence.burst, &e->tokens) ?:
		     handout_new(e->root, 0, &e->handout) ?: open_attester(e, ret_why);
	if (err) {
		evidence_free(e);
		return err;
	}
	*ret = e;
	return 0;
}

void evidence_free(struct evidence *e)
{
	struct asker *a, *next;

	if (!e)
		return;
	/* The server, which their calls belong to, is gone already. */
	DL_CONCAT(e->waiting, e->batch);
	DL_CONCAT(e->waiting, e->quoted);
	DL_CONCAT(e->waiting, e->handed);
	DL_CONCAT(e->waiting, e->read);
	DL_CONCAT(e->waiting, e->proving);
	DL_FOREACH_SAFE (e->waiting, a, next)
		asker_free(a);
	handout_free(e->handout);
	attester_free(e->attester);
	evidence_forget_quote(e);
	heldkeys_free(e->keys);
	tokens_free(e->tokens);
	closep(&e->root);
	free(e);
}

struct attester *evidence_attester(struct evidence *e)
{
	return e->attester;
}

void evidence_stats(const struct evidence *e, struct evidence_stats *ret)
{
	*ret = (struct evidence_stats){
		.given = e->given,
		.batches = e->batches,
		.waiting = waiting(e),
		.codes = codes,
		.by_code = e->refused,
		.codes_count = EVIDENCE_CODES,
	};
	for (size_t i = 0; i < EVIDENCE_CODES; i++)
		ret->refused += e->refused[i];
}
