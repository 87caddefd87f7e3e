/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's core over a ring that the test fills, killed (SIGKILL) at random moments. Ring, disk
 * and processes are real but for the kernel programs: the ring's position lies in shared memory and
 * outlives the daemon, as the kernel's does. In the end the ledger must hold every record once, as
 * an attribution that was never disturbed makes them.
 */
#define PIPELINE_WITHOUT_ENRICH
#include "world.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "daemon/config.h"
#include "daemon/core.h"
#include "record/segment.h"
#include "sample_config.h"
#include "seed.h"

#define SOURCE_NO_TAGS
#define SOURCE_EPOCH
#define SOURCE_SHARES
#include "source_none.h"

#define EVENTS 6000
#define FIRST_PID 5000000 /* above what a kernel gives (PID_MAX_LIMIT is 2^22) */

/* ---- the kernel: what it has given, and what was given back ---- */

static struct kernel {
	size_t limit; /* events that have happened */
	size_t released;
	uint64_t losses[LOSS_ALL];
	uint8_t boot[16];
	struct source_epoch epoch;
	bool stop;           /* for the daemon: end in order */
	bool idle;           /* by the daemon: all is read and written */
	bool room;           /* the disk was full, and has room again */
	unsigned int danger; /* one system call of so many is the last; 0: none is */
} * kernel;

static struct world world;

struct source {
	size_t position;
	int fd;
};

/* ---- the machine's other calls: each may be the last, before or after it took effect ---- */

/* Of the run; how many daemons were started by it, and how many threads rolled in this one. */
static unsigned int run_seed, starts;
static _Atomic unsigned int rollers;
static _Thread_local unsigned int fate; /* the saver's thread has its own */

static void maybe_die(void)
{
	fate = fate ?: seed_number(run_seed, 1000 * starts + rollers++);
	if (kernel->danger && rand_r(&fate) % kernel->danger == 0)
		kill(getpid(), SIGKILL);
}

#define DANGEROUS(type, name, number, parameters, ...)                                             \
	type name parameters                                                                       \
	{                                                                                          \
		type result;                                                                       \
                                                                                                   \
		maybe_die();                                                                       \
		result = syscall(number, __VA_ARGS__);                                             \
		maybe_die();                                                                       \
		return result;                                                                     \
	}

DANGEROUS(ssize_t, write, SYS_write, (int fd, const void *data, size_t len), fd, data, len)
DANGEROUS(ssize_t, writev, SYS_writev, (int fd, const struct iovec *iov, int n), fd, iov, n)
DANGEROUS(ssize_t, pwrite, SYS_pwrite64, (int fd, const void *data, size_t len, off_t at), fd, data,
	  len, at)
DANGEROUS(int, fdatasync, SYS_fdatasync, (int fd), fd)
DANGEROUS(int, fsync, SYS_fsync, (int fd), fd)
DANGEROUS(int, ftruncate, SYS_ftruncate, (int fd, off_t len), fd, len)
DANGEROUS(int, unlinkat, SYS_unlinkat, (int dir, const char *name, int flags), dir, name, flags)
DANGEROUS(int, renameat, SYS_renameat, (int from, const char *a, int to, const char *b), from, a,
	  to, b)

int sd_id128_get_boot(sd_id128_t *ret)
{
	memcpy(ret->bytes, kernel->boot, 16);
	return 0;
}

int source_open(const struct source_config *config, struct source **ret, char *why, size_t why_size)
{
	struct source *s = calloc(1, sizeof(*s));

	(void)config, (void)why, (void)why_size;
	s->position = kernel->released;
	s->fd = eventfd(0, EFD_CLOEXEC);
	*ret = s;
	return 0;
}

void source_close(struct source *s)
{
	if (s)
		close(s->fd);
	free(s);
}

int source_read(struct source *s, void *buffer, size_t size, size_t *ret_len)
{
	size_t most = 1 + rand() % 60;

	*ret_len = 0;
	for (; most-- && s->position < kernel->limit; s->position++) {
		const struct item *i = &world.items[s->position];

		if (*ret_len + i->size > size)
			break;
		memcpy((uint8_t *)buffer + *ret_len, i->bytes, i->size);
		*ret_len += i->size;
	}
	return 0;
}

void source_release(struct source *s)
{
	maybe_die();
	__atomic_store_n(&kernel->released, s->position, __ATOMIC_SEQ_CST);
	maybe_die();
}

void source_get_epoch(const struct source *s, struct source_epoch *ret)
{
	(void)s;
	*ret = kernel->epoch;
}

/* Somebody has that session's tag as long as something of it is still to come, heard of or not. */
static bool is_held(uint64_t session, size_t position)
{
	for (size_t i = position; i < world.count; i++) {
		const struct event_connect *e = (const void *)world.items[i].bytes;

		if (e->header.actor.session == session ||
		    (e->header.type == EVENT_CONNECT && e->opener.session == session))
			return true;
	}
	return false;
}

int source_share(const struct source *s, uint64_t session, struct share *ret)
{
	*ret = (struct share){.tags = is_held(session, s->position)};
	return 0;
}

NOTHING(bool source_untagged, (const struct source *s, uint64_t session), ((void)s, (void)session, false))
NOTHING(bool source_untagged_unknown, (const struct source *s), ((void)s, false))
NOTHING(void source_untagged_known, (struct source * s), (void)s)
NOTHING(int source_walk_shares,
	(struct source * s, struct source_walk *w,
	 int (*each)(uint64_t session, const struct share *share, void *data), void *data),
	((void)s, (void)w, (void)each, (void)data, 0))
NOTHING(int source_share_adjust, (struct source * s, uint64_t session, int32_t tags),
	((void)s, (void)session, (void)tags, 0))
NOTHING(int source_share_forget, (struct source * s, uint64_t session),
	((void)s, (void)session, 0))

int source_fd(const struct source *s)
{
	return s->fd;
}

size_t source_ring_used(const struct source *s)
{
	return kernel->limit - s->position;
}

int source_losses(struct source *s, uint64_t ret[static LOSS_KINDS], uint64_t *ret_missed)
{
	(void)s;
	memcpy(ret, kernel->losses, LOSS_KINDS * sizeof(*ret));
	*ret_missed = kernel->losses[LOSS_HOOK];
	return 0;
}

/* ---- a daemon ---- */

static char directory[128];

static int live(bool tiny)
{
	struct config_paths paths = {.state_dir = directory};
	struct config *config = NULL;
	sd_event *event = NULL;
	struct core *c = NULL;
	char *why = NULL;

	srand(seed_number(run_seed, starts));
	if (config_load(sample_config(), &paths, &config, &why) || sd_event_new(&event) < 0)
		return 2;
	config->hash.wait_ns = 50 * MS;
	if (core_open(config, event, &c, &why) || core_start(c)) {
		fprintf(stderr, "%s\n", why ?: "core_open");
		return 3;
	}
	while (!kernel->stop) {
		/* Save all the time: in life that is once in 8 MiB. */
		if (!tiny)
			c->rotate_bytes = 3000;
		if (sd_event_run(event, 1000) < 0)
			return 4;
		if (tiny && c->full && !kernel->room) {
			for (int i = 0; i < 200; i++)
				sd_event_run(event, 1000);
			if (!c->full || c->attribute->table.held)
				return 5;
			kernel->room = true;
			unlinkat(c->state_dir, "ballast", 0);
		}
		kernel->idle = kernel->released == kernel->limit && !c->backlog && !c->full;
	}
	core_close(c);
	sd_event_unref(event);
	config_free(config);
	return 0;
}

/* In builds with it. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static pid_t start(void)
{
	pid_t pid;

	starts++;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		int code;

		dup2(null, 2); /* it says what it can't do here */
		code = live(false);
		_exit(code
			      ?: __lsan_do_recoverable_leak_check &&
					 __lsan_do_recoverable_leak_check()
				 ? 9
				 : 0);
	}
	return pid;
}

static void stop(pid_t pid)
{
	int status;

	kernel->stop = true;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	kernel->stop = kernel->idle = false;
}

/* Unless it is dead already. */
static void reap(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("it ended by itself: %d", WEXITSTATUS(status));
	kernel->idle = false;
}

/* ---- what the ledger holds ---- */

struct told_one {
	uint64_t source;
	uint32_t part;
	Affiant__V1__Record *r;
};

struct told_list {
	struct told_one *at;
	size_t count, room;
};

static void told_add_one(struct told_list *l, uint64_t source, uint32_t part, const uint8_t *bytes,
			 size_t len)
{
	struct told_one *t;

	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 1024;
		l->at = realloc(l->at, l->room * sizeof(*l->at));
	}
	t = &l->at[l->count++];
	*t = (struct told_one){.source = source, .part = part};
	assert_int_equal(record_unpack(bytes, len, &t->r), 0);
}

static void told_clear(struct told_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		record_free(l->at[i].r);
	free(l->at);
	*l = (struct told_list){0};
}

static int by_name(const void *a, const void *b)
{
	const struct told_one *x = a, *y = b;

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

/* Numbers are without holes. */
static void read_ledger(struct told_list *l)
{
	struct ledger_config config = {
		.directory = NULL, .segment_bytes = 64 << 20, .total_bytes = 1 << 30};
	struct ledger_recovery recovery;
	struct ledger *ledger = NULL;
	char path[160];
	uint64_t index = 0, first, sequence = 1;
	bool sealed;
	int fd;

	snprintf(path, sizeof(path), "%s/ledger", directory);
	config.directory = path;
	assert_int_equal(ledger_open(&config, UINT64_MAX, NULL, NULL, &recovery, &ledger), 0);
	assert_false(recovery.damaged);
	while ((fd = ledger_segment_fd(ledger, index, &index, &first, &sealed)) >= 0) {
		struct segment_reader *r;
		struct segment_frame frame;

		assert_int_equal(segment_reader_new(fd, &r), 0);
		while (segment_reader_next(r, &frame) == 1) {
			assert_int_equal(frame.sequence, sequence++);
			told_add_one(l, frame.source, frame.part, frame.payload, frame.len);
			assert_int_equal(l->at[l->count - 1].r->sequence, frame.sequence);
		}
		segment_reader_free(r);
		index++;
	}
	ledger_close(ledger);
}

/* ---- whether it is what it should be ---- */

static struct told_list want, got;

static void want_emit(void *data, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	uint8_t *bytes = malloc(len + 2);

	(void)data;
	memcpy(bytes, record, len);
	memcpy(bytes + len, "\x10\x01", 2);
	told_add_one(&want, source, part, bytes, len + 2);
	free(bytes);
}

static size_t renewed_at; /* the event that is the first of other maps; 0: none is */

static void want_renewal(struct attribute *a)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;
	struct event_header *h;

	SET(&m, id, pb_bytes(kernel->epoch.id, sizeof(kernel->epoch.id)));
	SET(&m, first, kernel->epoch.base + 1);
	SET(&m, to_boottime_ns, 1);
	assert_int_equal(note_new(NOTE_EPOCH, 0, 1, &m.base, &h), 0);
	assert_int_equal(attribute_event(a, h), 0);
	free(h);
}

/* The sessions that are over by what is still to come. */
static void want_ends(struct attribute *a, size_t position)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;
	struct event_header *h;
	struct session *s, *next;

	if (!a->table.vacant)
		return;
	HASH_ITER (hh, a->table.sessions, s, next) {
		if (!s->vacancy.is || is_held(s->key, position))
			continue;
		SET(&m, key, s->key);
		assert_int_equal(note_new(NOTE_OVER, 0, 1, &m.base, &h), 0);
		assert_int_equal(attribute_event(a, h), 0);
		free(h);
	}
}

static void make_want(size_t count, bool reboot)
{
	struct attribute_config config = world.clock->config;
	const struct event_header *h;
	struct attribute *a;

	told_clear(&want);
	config.emit = want_emit;
	config.connections_max = 131072;
	config.ends_by_note = true;
	config.selector = NULL;
	config.began = NULL;
	config.entered = NULL;
	assert_int_equal(attribute_new(&config, &a), 0);
	for (size_t i = 0; i < count; i++) {
		int err = event_decode(world.items[i].bytes, world.items[i].size, &h);

		assert_true(err == 0 || err == -ENOTSUP);
		if (renewed_at && i == renewed_at)
			want_renewal(a);
		assert_int_equal(err ?: attribute_event(a, h), err);
		want_ends(a, i + 1);
	}
	attribute_finish(a, reboot);
	attribute_free(a);
	qsort(want.at, want.count, sizeof(*want.at), by_name);
}

/*
 * Sessions that a selector began have ids by the clock of the run: one of here is always the same
 * one of there.
 */
static struct pair {
	uint8_t want[16], got[16];
} pairs[4096];
static size_t pairs_count;

static void assert_same_session(ProtobufCBinaryData *w, ProtobufCBinaryData *g)
{
	assert_int_equal(w->len, g->len);
	if (!w->len)
		return;
	for (size_t i = 0; i < pairs_count; i++) {
		bool one = !memcmp(pairs[i].want, w->data, 16),
		     other = !memcmp(pairs[i].got, g->data, 16);

		assert_int_equal(one, other);
		if (one) {
			memcpy(g->data, w->data, 16);
			return;
		}
	}
	assert_true(pairs_count < sizeof(pairs) / sizeof(pairs[0]));
	memcpy(pairs[pairs_count].want, w->data, 16);
	memcpy(pairs[pairs_count++].got, g->data, 16);
	memcpy(g->data, w->data, 16);
}

static void drop_digest(Affiant__V1__Record *r)
{
	Affiant__V1__Executable *x = r->process ? r->process->executable : NULL;

	if (!x || !x->digest)
		return;
	/*
	 * There is nothing to hash here, and nothing is hashed of what ran already, unless it was
	 * seen to execute it.
	 */
	if (!r->process->late || !r->session->untagged_children)
		assert_int_equal(x->digest->state,
				 r->process->late ? AFFIANT__V1__HASH_STATE__HASH_CLAIMED
						  : AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
	affiant__v1__digest__free_unpacked(x->digest, NULL);
	x->digest = NULL;
}

static void level(Affiant__V1__Record *r)
{
	drop_digest(r);
	/* What is known of the session, at the moment of looking. */
	if (told_when_looked_at(r) && r->session)
		r->session->has_untagged_children = r->session->has_folded = false;
	r->has_id = r->has_wall_ns = r->has_clock_state = r->has_boot_id = r->has_host =
		r->has_sequence = false;
	if (r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT)
		r->connect->has_completes_pending = false;
	/* When a daemon found it. */
	if (r->body_case == AFFIANT__V1__RECORD__BODY_SESSION_ENDED &&
	    r->session_ended->reason == AFFIANT__V1__SESSION_END_REASON__END_TRACING_REMOVED)
		r->has_boottime_ns = false;
	if (r->agent) {
		free(r->agent->spiffe_id);
		r->agent->spiffe_id = NULL;
	}
}

static void assert_equal(Affiant__V1__Record *w, Affiant__V1__Record *g)
{
	size_t w_len, g_len;
	uint8_t *a, *b;

	assert_int_equal(w->body_case, g->body_case);
	level(w);
	level(g);
	if (w->session)
		assert_same_session(&w->session->id, &g->session->id);
	if (w->body_case == AFFIANT__V1__RECORD__BODY_CONNECT && w->connect->opener)
		assert_same_session(&w->connect->opener->session, &g->connect->opener->session);
	w_len = affiant__v1__record__get_packed_size(w);
	g_len = affiant__v1__record__get_packed_size(g);
	assert_int_equal(w_len, g_len);
	a = malloc(w_len);
	b = malloc(g_len);
	affiant__v1__record__pack(w, a);
	affiant__v1__record__pack(g, b);
	assert_memory_equal(a, b, w_len);
	free(a);
	free(b);
}

/*
 * That it is pending; and that a datagram socket was connected, where it is told in time that this
 * failed, or was refused.
 */
static bool may_be_missing(const struct told_one *t)
{
	const Affiant__V1__Connect *c = t->r->connect;

	if (t->r->body_case != AFFIANT__V1__RECORD__BODY_CONNECT)
		return false;
	if (c->outcome == AFFIANT__V1__OUTCOME__PENDING)
		return true;
	if (c->outcome != AFFIANT__V1__OUTCOME__ATTEMPTED || c->by_datagram || c->by_send)
		return false;
	for (size_t i = 0; i < want.count; i++)
		if (want.at[i].source == t->source && want.at[i].part == PART_OUTCOME)
			return true;
	return false;
}

static void assert_told_once(void)
{
	size_t i = 0, k = 0;

	pairs_count = 0;
	qsort(got.at, got.count, sizeof(*got.at), by_name);
	for (size_t n = 1; n < got.count; n++)
		if (got.at[n].source != SEGMENT_NO_SOURCE &&
		    by_name(&got.at[n - 1], &got.at[n]) == 0)
			fail_msg("told twice: source %llx, part %u",
				 (unsigned long long)got.at[n].source, got.at[n].part);
	while (i < want.count || k < got.count) {
		int order = i == want.count  ? 1
			    : k == got.count ? -1
					     : by_name(&want.at[i], &got.at[k]);
		const struct told_one *one = order <= 0 ? &want.at[i] : &got.at[k];

		if (order == 0)
			assert_equal(want.at[i].r, got.at[k].r);
		else if (one->source >> 48 != NOTE_CPU && one->source != SEGMENT_NO_SOURCE &&
			 !may_be_missing(one))
			fail_msg("%s: source %llx, part %u, body %d",
				 order < 0 ? "missing" : "never told",
				 (unsigned long long)one->source, one->part, one->r->body_case);
		i += order <= 0;
		k += order >= 0;
	}
}

static uint64_t kernel_lost(void)
{
	uint64_t sum = 0;

	for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
		sum += kernel->losses[kind];
	return sum;
}

static void assert_losses(void)
{
	uint64_t sums[LOSS_ALL] = {0};

	for (size_t i = 0; i < got.count; i++) {
		const Affiant__V1__Record *r = got.at[i].r;

		for (size_t k = 0;
		     r->body_case == AFFIANT__V1__RECORD__BODY_LOST && k < r->lost->n_counts; k++) {
			uint64_t one[LOSS_ALL] = {0};

			loss_set_totals(one, &r->lost->counts[k], 1);
			for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
				sums[kind] += one[kind];
		}
	}
	/* The kernel counts those that found no room; all of them took numbers. */
	assert_in_range(sums[LOSS_NUMBER], 0, kernel_lost());
	sums[LOSS_NUMBER] = 0;
	assert_memory_equal(sums, kernel->losses, sizeof(sums));
}

/* ---- the tests ---- */

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char below[400];

		if (e->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (unlink(below) < 0)
			remove_tree(below);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int set_up(void **state)
{
	(void)state;
	memset(kernel, 0, sizeof(*kernel));
	starts = 0; /* a test by itself dies as it does among the others */
	memset(kernel->boot, 0xb0, sizeof(kernel->boot));
	snprintf(directory, sizeof(directory), "/tmp/affiant-test-core-XXXXXX");
	return mkdtemp(directory) ? 0 : 1;
}

static int tear_down(void **state)
{
	(void)state;
	renewed_at = 0;
	remove_tree(directory);
	told_clear(&want);
	told_clear(&got);
	if (world.items)
		world_free(&world);
	memset(&world, 0, sizeof(world));
	return 0;
}

static void wait_until(const bool *flag)
{
	for (int i = 0; i < 20000 && !*(const volatile bool *)flag; i++)
		usleep(1000);
	assert_true(*(const volatile bool *)flag);
}

/* Among the others, on a CPU of their own: what a later version's kernel programs would tell. */
static size_t add_unknown(void)
{
	struct item *items = calloc(2 * world.count, sizeof(*items));
	size_t n = 0, unknown = 0;

	assert_non_null(items);
	for (size_t i = 0; i < world.count; i++) {
		const struct event_header *at = (const void *)world.items[i].bytes;
		struct event_fork *e;

		items[n++] = world.items[i];
		if (i % 50)
			continue;
		e = calloc(1, sizeof(*e));
		assert_non_null(e);
		unknown++;
		e->header = (struct event_header){.boottime_ns = at->boottime_ns,
						  .sequence = unknown,
						  .cpu = 61,
						  .type = EVENT_TYPES + unknown % 3,
						  .size = sizeof(*e)};
		items[n++] = (struct item){.size = sizeof(*e), .bytes = (uint8_t *)e};
	}
	free(world.items);
	world.items = items;
	world.count = n;
	world.room = 2 * n;
	return unknown;
}

static void tells_all_once_whenever_it_is_killed(void **state)
{
	enum { DEATHS = 100 };
	unsigned int seed = seed_number(run_seed, 99);
	size_t unknown;

	(void)state;
	world_make(&world, 31, EVENTS, true, FIRST_PID);
	unknown = add_unknown();
	for (int i = 0; i < DEATHS; i++) {
		pid_t pid = start();

		kernel->danger = i % 2 ? 20 + rand_r(&seed) % 400 : 0;
		for (int step = 0; step < 5; step++) {
			kernel->limit += EVENTS / DEATHS / 5;
			kernel->losses[1 + rand_r(&seed) % (EVENT_TYPES - 1)]++;
			usleep(rand_r(&seed) % 6000);
		}
		reap(pid);
	}
	kernel->danger = 0;
	kernel->limit = world.count;
	{
		pid_t pid = start();

		wait_until(&kernel->idle);
		usleep(1200000); /* losses are told once a second */
		stop(pid);
	}
	/* And once more, for what waited for a digest. */
	stop(start());

	read_ledger(&got);
	make_want(world.count, false);
	kernel->losses[LOSS_EVENT] = unknown;
	assert_losses();
	assert_told_once();
}

static void die_often(unsigned int *seed, int deaths, size_t to)
{
	for (int i = 0; i < deaths; i++) {
		pid_t pid = start();

		kernel->danger = i % 2 ? 20 + rand_r(seed) % 400 : 0;
		for (int step = 0; step < 5; step++) {
			kernel->limit += (to - kernel->limit) / ((deaths - i) * 5 - step);
			kernel->losses[1 + rand_r(seed) % (EVENT_TYPES - 1)]++;
			usleep(rand_r(seed) % 6000);
		}
		reap(pid);
	}
	kernel->danger = 0;
	kernel->limit = to;
}

static void read_all(void)
{
	pid_t pid = start();

	wait_until(&kernel->idle);
	usleep(1200000); /* losses are told once a second */
	stop(pid);
}

static size_t count_removed(void)
{
	size_t n = 0;

	for (size_t i = 0; i < got.count; i++)
		n += got.at[i].r->body_case == AFFIANT__V1__RECORD__BODY_GAP &&
		     got.at[i].r->gap->reason == AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED;
	return n;
}

/* All maps are made anew in between: they count losses from 0, and events from above. */
static void tells_all_once_across_other_maps(void **state)
{
	uint64_t before[LOSS_ALL];
	unsigned int seed = seed_number(run_seed, 17);

	(void)state;
	world_make(&world, 34, 1500, true, FIRST_PID);
	renewed_at = world.count;
	memset(kernel->epoch.id, 0xe1, sizeof(kernel->epoch.id));
	die_often(&seed, 20, world.count);
	read_all();
	memcpy(before, kernel->losses, sizeof(before));
	memset(kernel->losses, 0, sizeof(kernel->losses));

	kernel->epoch.base = world_begin_anew(&world) - 1;
	memset(kernel->epoch.id, 0xe2, sizeof(kernel->epoch.id));
	world_fill(&world, 3000);
	die_often(&seed, 40, world.count);
	read_all();
	stop(start());

	read_ledger(&got);
	make_want(world.count, false);
	for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
		kernel->losses[kind] += before[kind];
	assert_losses();
	assert_told_once();
	assert_int_equal(count_removed(), 1);
}

/* The next boot's daemon tells how the last one's sessions ended, and is killed at it, too. */
static void ends_an_earlier_boot_once(void **state)
{
	unsigned int seed = seed_number(run_seed, 7);
	pid_t pid;

	(void)state;
	world_make(&world, 32, 1500, true, FIRST_PID);
	pid = start();
	kernel->limit = world.count;
	wait_until(&kernel->idle);
	reap(pid);
	/* Another boot: nothing is in its ring. */
	memset(kernel->boot, 0xb1, sizeof(kernel->boot));
	kernel->released = kernel->limit = 0;
	for (int i = 0; i < 40; i++) {
		pid = start();
		kernel->danger = i % 2 ? 5 + rand_r(&seed) % 100 : 0;
		usleep(rand_r(&seed) % 30000);
		reap(pid);
	}
	kernel->danger = 0;
	pid = start();
	wait_until(&kernel->idle);
	stop(pid);
	stop(start());

	read_ledger(&got);
	make_want(world.count, true);
	assert_told_once();
}

static int fill_disk(void)
{
	char path[160];
	int fd;

	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", directory, "tmpfs", 0, "size=6m,mode=0700"))
		return 77;
	snprintf(path, sizeof(path), "%s/ballast", directory);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || fallocate(fd, 0, 0, 5 << 20) < 0)
		return 78;
	close(fd);
	kernel->limit = world.count;
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(live(true));
		while (waitpid(pid, &status, WNOHANG) == 0) {
			if (kernel->idle && kernel->room) {
				usleep(100000); /* what may still fail is told later than it is read */
				kernel->stop = true;
			}
			usleep(1000);
		}
		if (status)
			return 79;
		kernel->stop = false;
	}
	read_ledger(&got);
	make_want(world.count, false);
	assert_told_once();
	return 0;
}

/* A full disk costs nothing: events wait in the ring, and all is told when there is room. */
static void waits_for_a_full_disk(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	world_make(&world, 33, EVENTS, true, FIRST_PID);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(fill_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: mounting a file system takes root\n");
		skip();
	}
	assert_int_equal(status, 0);
	assert_true(kernel->room);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_all_once_whenever_it_is_killed),
		TEST(tells_all_once_across_other_maps),
		TEST(ends_an_earlier_boot_once),
		TEST(waits_for_a_full_disk),
	};

	run_seed = seed_of_run("test_core");
	kernel = mmap(NULL, sizeof(*kernel), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return kernel == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
