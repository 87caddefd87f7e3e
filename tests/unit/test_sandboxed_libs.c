/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As test_sandboxed.c: files, sockets, threads, and what the C library, sd-event and our own lower
 * modules ask the kernel for when nobody looks.
 */
#include "sandboxed.h"

#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "attest/measure.h"
#include "base/pb.h"
#include "base/priority.h"
#include "base/trusted.h"
#include "base/uuid.h"
#include "collect/elfnote.h"
#include "collect/filehash.h"
#include "collect/hostmounts.h"
#include "collect/journal.h"
#include "collect/manifestwalk.h"
#include "collect/object.h"
#include "collect/opened.h"
#include "collect/unmounts.h"
#include "daemon/diskgroups.h"
#include "daemon/location.h"
#include "daemon/packet.h"
#include "daemon/saver.h"
#include "handed.h"
#include "record/segment.h"
#include "tpm/keystore.h"
#include "tpm/tcti.h"

/* ---- files and their names ---- */

static void nothing_seen(void *data, int dir, int fd, bool is_dir)
{
	(void)data, (void)dir, (void)fd, (void)is_dir;
}

static int location(struct place *p, const char *name)
{
	struct location l;
	char path[PATH_MAX];
	int err, there;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	err = location_find(path, NULL, nothing_seen, NULL, &l);
	if (err)
		return err;
	there = l.file >= 0;
	location_clear(&l);
	return there;
}

static int location_there(struct place *p)
{
	return location(p, "plain");
}

static int location_gone(struct place *p)
{
	return location(p, "nonexistent");
}

static int mkdir_again(struct place *p)
{
	return (mkdirat(p->dirfd, "made", 0700) ?: mkdirat(p->dirfd, "made", 0700)) ? -errno : 0;
}

static int unlink_gone(struct place *p)
{
	return unlinkat(p->dirfd, "nonexistent", 0) ? -errno : 0;
}

static int rename_gone(struct place *p)
{
	return renameat(p->dirfd, "nonexistent", p->dirfd, "other") ? -errno : 0;
}

static int open_gone(struct place *p)
{
	return openat(p->dirfd, "nonexistent", O_RDONLY | O_CLOEXEC) < 0 ? -errno : 0;
}

static int statx_gone(struct place *p)
{
	struct statx st;

	return statx(p->dirfd, "nonexistent", 0, STATX_BASIC_STATS, &st) ? -errno : 0;
}

static int access_gone(struct place *p)
{
	return faccessat(p->dirfd, "nonexistent", F_OK, 0) ? -errno : 0;
}

static int lock_held(struct place *p)
{
	_cleanup_close_ int one = openat(p->dirfd, "plain", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int two = openat(p->dirfd, "plain", O_RDONLY | O_CLOEXEC);

	if (flock(one, LOCK_EX | LOCK_NB))
		return -EBADMSG;
	return flock(two, LOCK_EX | LOCK_NB) ? -errno : 0;
}

static int directory(struct place *p)
{
	char why[256];

	int fd = trusted_open(AT_FDCWD, p->dir, O_RDONLY | O_DIRECTORY, why, sizeof(why));

	if (fd < 0)
		return fd;
	close(fd);
	return trusted_check(p->dirfd, p->dir, why, sizeof(why));
}

static int list(struct place *p)
{
	DIR *d = opendir(p->dir);
	int n = 0;

	if (!d)
		return -errno;
	errno = 0;
	while (readdir(d))
		n++;
	rewinddir(d);
	while (readdir(d))
		n--;
	closedir(d);
	return errno ? -errno : n;
}

static int list_gone(struct place *p)
{
	(void)p;
	return opendir("/nonexistent") ? 0 : -errno;
}

static int watch(struct place *p, int fd)
{
	struct unmounts *u;
	int err = unmounts_new(&u);

	(void)p;
	err = err ?: unmounts_watch(u, fd, 1);
	unmounts_free(u);
	return err;
}

static int watch_there(struct place *p)
{
	return watch(p, p->dirfd);
}

static int watch_gone(struct place *p)
{
	return watch(p, 1 << 20);
}

static int inotify_gone(struct place *p)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char event[64];

	(void)p;
	if (inotify_add_watch(fd, "/nonexistent", IN_MOVED_TO) >= 0 || errno != ENOENT)
		return -EBADMSG;
	return read(fd, event, sizeof(event)) < 0 ? -errno : 0;
}

static int path_of(struct place *p)
{
	_cleanup_free_ char *path = opened_path(p->dirfd);

	return path && !strcmp(path, p->dir);
}

static int trust_overlay(struct place *p)
{
	return object_trust_overlay(p->dirfd) >= 0 ? 0 : -EBADMSG;
}

static int elf(struct place *p)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct elfnote note;

	(void)p;
	return elfnote_read(fd, &note);
}

static int walk(struct place *p)
{
	struct manifest_budget budget = {
		.entries = 100, .bytes = 1 << 20, .depth = 4, .until_ns = UINT64_MAX};
	struct manifest_list found = {};
	enum hash_state state;
	atomic_bool stop = false;

	budget.stop = &stop;
	/* Which takes it over. */
	state = manifest_walk(openat(p->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &budget,
			      &found);
	manifest_list_free(&found);
	return state;
}

static int host(struct place *p)
{
	_cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct measure_host m;

	(void)p;
	return measure_host(root, &m);
}

static int disks(struct place *p)
{
	struct disk_groups groups;

	(void)p;
	diskgroups_read("/dev", &groups);
	return groups.count <= DISK_GROUPS_MAX ? 0 : -EBADMSG;
}

static int mounts(struct place *p)
{
	struct hostmounts *m = NULL;
	int err = hostmounts_new(&m);

	(void)p;
	if (!err && !hostmounts_wait(m, 1, 1000000000))
		err = -ETIMEDOUT;
	hostmounts_free(m);
	return err;
}

static int no_keys(struct place *p)
{
	struct keystore_key key;

	return keystore_load_key(p->dirfd, &key);
}

static const struct check files[] = {
	{"location_find", location_there, 1},
	{"location_find, not there", location_gone, 0},
	{"mkdirat, over another", mkdir_again, -EEXIST},
	{"unlinkat, not there", unlink_gone, -ENOENT},
	{"renameat, not there", rename_gone, -ENOENT},
	{"openat, not there", open_gone, -ENOENT},
	{"statx, not there", statx_gone, -ENOENT},
	{"faccessat, not there", access_gone, -ENOENT},
	{"flock, held", lock_held, -EWOULDBLOCK},
	{"trusted_open", directory, 0},
	{"readdir, rewinddir", list, 0},
	{"opendir, not there", list_gone, -ENOENT},
	{"unmounts_watch", watch_there, 0},
	{"unmounts_watch, of none", watch_gone, -ENOENT},
	{"inotify, of none", inotify_gone, -EAGAIN},
	{"opened_path", path_of, 1},
	{"object_trust_overlay", trust_overlay, 0},
	{"elfnote_read", elf, 0},
	{"manifest_walk", walk, HASH_STATE_OBSERVED},
	{"measure_host", host, 0},
	{"diskgroups_read", disks, 0},
	{"hostmounts_new", mounts, 0},
	{"keystore_load_key, none", no_keys, -ENOENT},
};

static void about_files(void **state)
{
	place_check(place_get(state), files, sizeof(files) / sizeof(*files));
}

/* ---- what is written ---- */

static const uint8_t boot[16] = {1};

static int write_journal(struct place *p)
{
	const struct event_header note = {.type = 1, .size = sizeof(note)};
	char path[PATH_MAX], file[JOURNAL_NAME_SIZE];
	struct journal *j;
	uint64_t index;
	int err;

	snprintf(path, sizeof(path), "%s/journal", p->dir);
	err = journal_open(path, boot, 0, file, &j);
	if (err)
		return err;
	err = journal_append(j, &note, sizeof(note)) ?: journal_rotate(j, &index);
	if (!err)
		journal_drop(j, index);
	journal_close(j);
	return err;
}

static int open_ledger(struct place *p, struct ledger **ret)
{
	char path[PATH_MAX];
	const struct ledger_config config = {
		.directory = path, .segment_bytes = 1 << 16, .total_bytes = 1 << 17};
	struct ledger_recovery recovery;

	snprintf(path, sizeof(path), "%s/ledger", p->dir);
	return ledger_open(&config, UINT64_MAX, NULL, NULL, &recovery, ret);
}

/* Enough of them that the first files go. */
static int write_ledger(struct place *p)
{
	static const char payload[4096];
	struct ledger *l;
	int err = open_ledger(p, &l);

	for (int i = 0; !err && i < 100; i++)
		err = ledger_append(l, SEGMENT_NO_SOURCE, 0, payload, sizeof(payload));
	err = err ?: ledger_flush(l) ?: ledger_sync(l);
	if (!err)
		ledger_close(l);
	return err;
}

static int ledger_held(struct place *p)
{
	struct ledger *one, *two;
	int err = open_ledger(p, &one);

	if (err)
		return -EBADMSG;
	err = open_ledger(p, &two);
	ledger_close(one);
	return err;
}

static int pack_byte(void *nothing, uint8_t **ret, size_t *ret_len)
{
	(void)nothing;
	*ret = malloc(1);
	*ret_len = 1;
	return *ret ? 0 : -ENOMEM;
}

static int save(struct place *p, const char *beside)
{
	struct saver_job job = {.ledger = openat(p->dirfd, "plain", O_RDWR | O_CLOEXEC),
				.directory = p->dirfd,
				.name = "state",
				.beside = beside,
				.pack = pack_byte};
	struct saver *s;
	int err = saver_new(&s), ledger, ret = -EBADMSG;

	if (err)
		return err;
	saver_start(s, &job);
	(void)saver_collect(s, true, &ledger, &ret);
	saver_free(s);
	return ret;
}

static int save_there(struct place *p)
{
	return save(p, "state.new");
}

static int save_nowhere(struct place *p)
{
	return save(p, "nonexistent/state.new");
}

/* More than a pipe holds: it is full, and then read to its end; or nobody reads. */
static int hand_out(bool read_it)
{
	_cleanup_free_ char *head = malloc(1 << 17), *text = NULL;
	struct handout *h;
	struct handed of;
	size_t len = 0;
	int err = head ? handout_new(AT_FDCWD, 0, &h) : -ENOMEM;

	if (err)
		return err;
	memset(head, 'x', (1 << 17) - 1);
	head[(1 << 17) - 1] = '\0';
	err = handed_begin(h, 1, head, 0, &of);
	if (!err && !handed_wait(h, &of, 5000))
		err = -ETIMEDOUT;
	err = err ?: of.err;
	if (!err && read_it)
		text = handed_read(&of, &len);
	else if (!err)
		close(of.fd);
	handout_free(h);
	return err ?: len == of.size ? 0 : -EPIPE;
}

static int handed_all(struct place *p)
{
	(void)p;
	return hand_out(true);
}

static int handed_none(struct place *p)
{
	(void)p;
	return hand_out(false);
}

static int identify(void *source, int fd, struct object_facts *ret)
{
	return source_object_facts(source, fd, ret);
}

static void note_state(void *ret, uint64_t token, const struct file_digest *digest)
{
	(void)token;
	*(int *)ret = digest->state;
}

static int open_refused(void *opener)
{
	(void)opener;
	return -EACCES;
}

static int open_too_late(void *opener)
{
	(void)opener;
	return -ESRCH;
}

static void free_nothing(void *opener)
{
	(void)opener;
}

static int hash(struct place *p, struct filehash_job *job)
{
	const struct filehash_config config = {.workers = 2,
					       .cache_max = 16,
					       .queue_max = 16,
					       .queue_total = 16,
					       .identify = identify,
					       .identify_context = p->source};
	struct filehash *h;
	int state = -EBADMSG, err = filehash_new(&config, &h);

	err = err ?: filehash_submit(h, job);
	for (int i = 0; !err && state == -EBADMSG && i < 1000; i++) {
		struct pollfd f = {.fd = filehash_fd(h), .events = POLLIN};

		poll(&f, 1, 10);
		(void)filehash_collect(h, UINT64_MAX, note_state, &state);
	}
	filehash_free(h);
	return err ?: state;
}

static int hash_there(struct place *p)
{
	struct filehash_job job = {.fd = openat(p->dirfd, "private", O_PATH | O_CLOEXEC)};

	return hash(p, &job);
}

static int hash_theirs(struct place *p)
{
	struct filehash_job job = {.fd = openat(p->dirfd, "theirs", O_PATH | O_CLOEXEC)};

	return hash(p, &job);
}

static int hash_refused(struct place *p)
{
	struct filehash_job job = {.fd = -1, .open = open_refused, .opener_free = free_nothing};

	return hash(p, &job);
}

static int hash_late(struct place *p)
{
	struct filehash_job job = {.fd = -1, .open = open_too_late, .opener_free = free_nothing};

	return hash(p, &job);
}

static const struct check written[] = {
	{"journal", write_journal, 0},
	{"journal, once more", write_journal, 0},
	{"ledger, retention", write_ledger, 0},
	{"ledger_open, held", ledger_held, -EBUSY},
	{"saver", save_there, 0},
	{"saver, nowhere", save_nowhere, -ENOENT},
	{"handout", handed_all, 0},
	{"handout, unread", handed_none, -EPIPE},
	{"filehash", hash_there, HASH_STATE_OBSERVED},
	{"filehash, of another's file", hash_theirs, HASH_STATE_OBSERVED},
	{"filehash, unreadable", hash_refused, HASH_STATE_UNREADABLE},
	{"filehash, too late", hash_late, HASH_STATE_TOO_LATE},
};

static void about_what_is_written(void **state)
{
	place_check(place_get(state), written, sizeof(written) / sizeof(*written));
}

/* ---- sockets ---- */

static int accept_none(struct place *p)
{
	return accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) < 0 ? -errno : 0;
}

static int accept_no_room(struct place *p)
{
	struct rlimit few, before;
	int client = place_connect(p), err;

	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = 0;
	if (client < 0 || setrlimit(RLIMIT_NOFILE, &few))
		return -EBADMSG;
	err = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC) < 0 ? -errno : 0;
	setrlimit(RLIMIT_NOFILE, &before);
	close(accept4(p->listener, NULL, NULL, SOCK_CLOEXEC));
	close(client);
	return err;
}

static int send_packet(bool gone, size_t len, int times)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	_cleanup_free_ uint8_t *challenge = calloc(1, len);
	struct packet packet = {};
	int fds[2], err;

	SET(&response, challenge, pb_bytes(challenge, len));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds))
		return -errno;
	if (gone)
		close(fds[1]);
	err = packet_fill(&packet, &response);
	for (int i = 0; !err && i < times; i++)
		err = packet_send(fds[0], &packet);
	packet_clear(&packet);
	close(fds[0]);
	if (!gone)
		close(fds[1]);
	return err;
}

static int send_small(struct place *p)
{
	(void)p;
	return send_packet(false, 16, 1);
}

static int send_many(struct place *p)
{
	(void)p;
	return send_packet(false, 16, 100000);
}

static int send_to_nobody(struct place *p)
{
	(void)p;
	signal(SIGPIPE, SIG_IGN);
	return send_packet(true, 16, 1);
}

static int connect_tpm(const char *where)
{
	struct tcti *t;
	int err = tcti_new(where, -1, &t);

	if (err)
		return err;
	err = tcti_connect(t);
	tcti_free(t);
	return err;
}

static int tpm_there(struct place *p)
{
	char where[PATH_MAX];

	snprintf(where, sizeof(where), "swtpm:path=%s/socket", p->dir);
	return connect_tpm(where);
}

static int tpm_gone(struct place *p)
{
	(void)p;
	return connect_tpm("swtpm:path=/nonexistent/tpm");
}

static int tpm_deaf(struct place *p)
{
	char where[PATH_MAX];

	snprintf(where, sizeof(where), "swtpm:path=%s/plain", p->dir);
	return connect_tpm(where);
}

static int tpm_no_device(struct place *p)
{
	(void)p;
	return connect_tpm("device:/nonexistent/tpm");
}

static int notify(struct place *p, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	setenv("NOTIFY_SOCKET", path, 1);
	return sd_notify(false, "STATUS=here");
}

static int notify_there(struct place *p)
{
	return notify(p, "notify");
}

static int notify_gone(struct place *p)
{
	return notify(p, "nonexistent");
}

static const struct check sockets[] = {
	{"accept4, nobody waits", accept_none, -EAGAIN},
	{"accept4, no room", accept_no_room, -EMFILE},
	{"packet_send", send_small, 0},
	{"packet_send, to one who does not read", send_many, -EAGAIN},
	{"packet_send, to nobody", send_to_nobody, -EPIPE},
	{"tcti_connect", tpm_there, 0},
	{"tcti_connect, not there", tpm_gone, -ENOENT},
	{"tcti_connect, to no socket", tpm_deaf, -ECONNREFUSED},
	{"tcti_connect, no device", tpm_no_device, -ENOENT},
	{"sd_notify", notify_there, 1},
	{"sd_notify, not there", notify_gone, -ENOENT},
};

static void about_sockets(void **state)
{
	place_check(place_get(state), sockets, sizeof(sockets) / sizeof(*sockets));
}

/* ---- threads, time, the C library and sd-event ---- */

static void *sleep_little(void *data)
{
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 50000000}, NULL);
	return data;
}

static int join_too_early(struct place *p)
{
	struct timespec now;
	pthread_t thread;
	int err = pthread_create(&thread, NULL, sleep_little, p);

	if (err)
		return -err;
	clock_gettime(CLOCK_REALTIME, &now);
	err = pthread_timedjoin_np(thread, NULL, &now);
	return pthread_join(thread, NULL) ? -EBADMSG : -err;
}

/* A wait that would not end. */
static int interrupted(struct place *p)
{
	int fd, err;

	interrupt_begin(p->interrupt);
	fd = openat(p->dirfd, "fifo", O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	interrupt_end(p->interrupt);
	return err;
}

static int compare(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* Above a quarter of the memory glibc's qsort asks how much there is. */
static int library(struct place *p)
{
	size_t size = 64 << 20;
	char *large = malloc(size), line[64];
	_cleanup_fclose_ FILE *f = NULL;
	struct uuid id;

	(void)p;
	memset(large, 1, size);
	qsort(large, 4096, 1024, compare);
	large = realloc(large, 2 * size);
	free(large);
	(void)malloc_trim(0);
	f = fopen("/proc/self/statm", "re");
	if (!f || !fgets(line, sizeof(line), f) || fseek(f, 0, SEEK_SET))
		return -errno;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 1 || sysconf(_SC_CLK_TCK) < 1 ||
	    sysconf(_SC_PHYS_PAGES) < 1)
		return -EBADMSG;
	priority_lower();
	return uuid7_new(1, &id);
}

static int leave(sd_event_source *source, uint64_t usec, void *data)
{
	(void)usec, (void)data;
	return sd_event_exit(sd_event_source_get_event(source), 7);
}

static int loop(struct place *p)
{
	sd_event *event = NULL;
	int err = sd_event_new(&event);

	(void)p;
	err = err < 0 ? err
		      : sd_event_add_time_relative(event, NULL, CLOCK_BOOTTIME, 1000, 0, leave, NULL);
	err = err < 0 ? err : sd_event_loop(event);
	sd_event_unref(event);
	return err;
}

static const struct check libraries[] = {
	{"pthread_timedjoin_np, too early", join_too_early, -ETIMEDOUT},
	{"a wait that is interrupted", interrupted, -EINTR},
	{"the C library", library, 0},
	{"sd_event_loop", loop, 7},
};

static void about_libraries(void **state)
{
	place_check(place_get(state), libraries, sizeof(libraries) / sizeof(*libraries));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(about_files),
		cmocka_unit_test(about_what_is_written),
		cmocka_unit_test(about_sockets),
		cmocka_unit_test(about_libraries),
	};

	return cmocka_run_group_tests_name("sandboxed_libs", tests, place_setup, place_teardown);
}
