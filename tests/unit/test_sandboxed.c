/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the daemon decides by errno, it decides behind its own system call filter, which makes
 * EPERM of what it does not allow: a process that is gone can then look like one that is there, and
 * only in a build without sanitizers. So each such function is asked here in the real sandbox, both
 * about what is there and about what is not. test_sandboxed_libs.c asks what lies below.
 */
#include "sandboxed.h"

#include <dirent.h>
#include <poll.h>

#include "collect/credentials.h"
#include "collect/mounts.h"
#include "collect/object.h"
#include "collect/procroot.h"
#include "daemon/alive.h"
#include "daemon/opensockets.h"
#include "daemon/peer.h"
#include "daemon/subject.h"

/* Of a function that answers a question: 1 or 0. */
#define THERE 1
#define GONE 0

/* ---- processes ---- */

static int open_pidfd(pid_t pid)
{
	_cleanup_close_ int fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : 0;
}

static int open_live(struct place *p)
{
	return open_pidfd(p->live);
}

static int open_dead(struct place *p)
{
	return open_pidfd(p->dead);
}

static int signal_live(struct place *p)
{
	return syscall(SYS_pidfd_send_signal, p->live_fd, 0, NULL, 0) < 0 ? -errno : 0;
}

static int signal_dead(struct place *p)
{
	return syscall(SYS_pidfd_send_signal, p->dead_fd, 0, NULL, 0) < 0 ? -errno : 0;
}

static int pinned_lives(int socket)
{
	struct peer peer;
	int err = peer_pin(socket, &peer), lives;

	if (err)
		return err == -ESRCH ? GONE : err;
	lives = peer_alive(&peer);
	peer_unpin(&peer);
	return lives;
}

static int pin_live(struct place *p)
{
	return pinned_lives(p->live_peer);
}

static int pin_dead(struct place *p)
{
	return pinned_lives(p->dead_peer);
}

static int status_of(pid_t pid)
{
	struct peer_status status = {};
	int err = peer_status(pid, &status);

	peer_status_clear(&status);
	return err;
}

static int status_live(struct place *p)
{
	return status_of(p->live);
}

static int status_dead(struct place *p)
{
	return status_of(p->dead);
}

static int pid_live(struct place *p)
{
	pid_t pid = 0;
	int err = peer_pid_of_pidfd(p->live_fd, &pid);

	return err ?: pid == p->live ? 0 : -EBADMSG;
}

static int pid_dead(struct place *p)
{
	pid_t pid;

	return peer_pid_of_pidfd(p->dead_fd, &pid);
}

static int resolve(struct place *p, pid_t pid)
{
	const struct peer self = {.pid = p->live};
	pid_t ret;

	return peer_resolve(&self, pid, &ret);
}

static int resolve_live(struct place *p)
{
	return resolve(p, p->live);
}

static int resolve_dead(struct place *p)
{
	return resolve(p, p->dead);
}

static int threads_live(struct place *p)
{
	unsigned int n = 0;
	int err = subject_threads(p->live, &n);

	return err ?: n == 1 ? 0 : -EBADMSG;
}

static int threads_dead(struct place *p)
{
	unsigned int n;

	return subject_threads(p->dead, &n);
}

static int traced_live(struct place *p)
{
	struct subject_look look = {0};
	bool traced = true;

	return subject_traced(p->live, &look, &traced) ?: traced ? -EBADMSG : 0;
}

static int traced_dead(struct place *p)
{
	struct subject_look look = {0};
	bool traced;

	return subject_traced(p->dead, &look, &traced);
}

static int executes(struct place *p, pid_t pid)
{
	const struct object_id none = {};
	bool ret;

	return subject_executes(p->source, NULL, &(struct subject_exec){.pid = pid, .id = none}, &ret);
}

static int executes_live(struct place *p)
{
	return executes(p, p->live);
}

static int executes_dead(struct place *p)
{
	return executes(p, p->dead);
}

static int root_of(pid_t pid)
{
	_cleanup_close_ int fd = procroot_open(pid);

	return fd < 0 ? fd : 0;
}

static int root_live(struct place *p)
{
	return root_of(p->live);
}

static int root_dead(struct place *p)
{
	return root_of(p->dead);
}

static int resolved(struct place *p, const char *path)
{
	_cleanup_close_ int root = procroot_open(p->live);
	_cleanup_close_ int fd = procroot_resolve(root, "/", path, false);

	return fd < 0 ? fd : 0;
}

static int path_there(struct place *p)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/plain", p->dir);
	return resolved(p, path);
}

static int path_gone(struct place *p)
{
	return resolved(p, "/nonexistent");
}

static int credentials_live(struct place *p)
{
	struct credentials c;

	return credentials_read(p->live_proc, &c) ?: c.uid == 0 ? 0 : -EBADMSG;
}

/* A file that its owner alone can read, with the rights of @uid. */
static int open_as(struct place *p, uid_t uid)
{
	const struct credentials who = {.uid = uid, .gid = uid};
	struct credentials_saved saved;
	_cleanup_close_ int fd = -1;
	int err = credentials_assume(&who, &saved);

	if (err)
		return err;
	fd = openat(p->dirfd, "theirs", O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	credentials_restore(&saved);
	return err;
}

static int open_as_owner(struct place *p)
{
	return open_as(p, OTHER_USER);
}

static int open_as_another(struct place *p)
{
	return open_as(p, OTHER_USER - 1);
}

static int mounts_of(pid_t pid)
{
	_cleanup_fclose_ FILE *f = mounts_open(pid);
	char line[64];

	return f && fgets(line, sizeof(line), f) ? THERE : GONE;
}

static int mounts_live(struct place *p)
{
	return mounts_of(p->live);
}

static int mounts_dead(struct place *p)
{
	return mounts_of(p->dead);
}

static int watch(struct place *p, pid_t pid)
{
	struct pollfd over = {.fd = aside_fd(p->aside), .events = POLLIN};
	int err = chain_watch(p->chain, pid, 0, 1, 1);

	p->watched = -ETIMEDOUT;
	if (err || poll(&over, 1, 5000) != 1)
		return err ?: -EBADMSG;
	aside_collect(p->aside);
	return p->watched;
}

static int watch_live(struct place *p)
{
	return watch(p, p->live);
}

static int watch_dead(struct place *p)
{
	return watch(p, p->dead);
}

static int chain_silent(struct place *p)
{
	return chain_read(p->chain);
}

static int sockets_of(pid_t pid)
{
	Affiant__V1__SessionStarted m = AFFIANT__V1__SESSION_STARTED__INIT;

	int err = opensockets_add(pid, OPENSOCKETS_KEPT, UINT32_MAX, &m);

	opensockets_clear(&m);
	return err;
}

static int sockets_live(struct place *p)
{
	return sockets_of(p->live);
}

static int sockets_dead(struct place *p)
{
	return sockets_of(p->dead);
}

static int stat_of(const char *path)
{
	struct stat st;

	return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int stat_there(struct place *p)
{
	(void)p;
	return stat_of("/proc/self/stat");
}

static int stat_gone(struct place *p)
{
	(void)p;
	return stat_of("/proc/self/no-such-file");
}

static const struct check processes[] = {
	{"pidfd_open", open_live, 0},
	{"pidfd_open, gone", open_dead, -ESRCH},
	{"pidfd_send_signal", signal_live, 0},
	{"pidfd_send_signal, gone", signal_dead, -ESRCH},
	{"peer_pin", pin_live, THERE},
	{"peer_pin, gone", pin_dead, GONE},
	{"peer_status", status_live, 0},
	{"peer_status, gone", status_dead, -ESRCH},
	{"peer_pid_of_pidfd", pid_live, 0},
	{"peer_pid_of_pidfd, gone", pid_dead, -ESRCH},
	{"peer_resolve", resolve_live, 0},
	{"peer_resolve, gone", resolve_dead, -ESRCH},
	{"subject_threads", threads_live, 0},
	{"subject_threads, gone", threads_dead, -ESRCH},
	{"subject_traced", traced_live, 0},
	{"subject_traced, gone", traced_dead, -ESRCH},
	{"subject_executes", executes_live, 0},
	{"subject_executes, gone", executes_dead, -ESRCH},
	{"procroot_open", root_live, 0},
	{"procroot_open, gone", root_dead, -ESRCH},
	{"procroot_resolve", path_there, 0},
	{"procroot_resolve, not there", path_gone, -ENOENT},
	{"credentials_read", credentials_live, 0},
	{"credentials_assume, of the owner", open_as_owner, 0},
	{"credentials_assume, of another", open_as_another, -EACCES},
	{"mounts_open", mounts_live, THERE},
	{"mounts_open, gone", mounts_dead, GONE},
	{"chain_watch", watch_live, 0},
	{"chain_watch, gone", watch_dead, -ESRCH},
	{"chain_read, of nothing", chain_silent, 0},
	{"fstatat", stat_there, 0},
	{"fstatat, not there", stat_gone, -ENOENT},
	{"opensockets_add", sockets_live, 0},
	{"opensockets_add, gone", sockets_dead, 0},
};

static void about_processes(void **state)
{
	place_check(place_get(state), processes, sizeof(processes) / sizeof(*processes));
}

/* ---- what the kernel keeps for us ---- */

static int tag(struct place *p, int pidfd)
{
	const struct tag tag = {.session = 42};

	return source_tag(p->source, pidfd, &tag);
}

static int tag_live(struct place *p)
{
	return tag(p, p->live_fd);
}

static int tag_dead(struct place *p)
{
	return tag(p, p->dead_fd);
}

static int tag_of_live(struct place *p)
{
	struct tag tag;

	return source_tag_of(p->source, p->live, &tag) ?: tag.session == 42 ? 0 : -EBADMSG;
}

static int tag_of_dead(struct place *p)
{
	struct tag tag;

	return source_tag_of(p->source, p->dead, &tag);
}

static int alive_live(struct place *p)
{
	struct tag tag;

	return source_tag_of(p->source, p->live, &tag)
		       ?: alive_is(NULL, 0, &(struct alive_process){p->live_fd, p->live, tag.start_boottime});
}

static int alive_dead(struct place *p)
{
	return alive_is(NULL, 0, &(struct alive_process){p->dead_fd, p->dead, 1});
}

static int count_tag(pid_t pid, const struct tag *tag, void *count)
{
	(void)pid, (void)tag;
	++*(int *)count;
	return 0;
}

static int tags(struct place *p)
{
	int count = 0, err = source_each_tag(p->source, count_tag, &count);

	return err ?: count;
}

static int untag_live(struct place *p)
{
	struct tag tag;

	return source_tag_of(p->source, p->live, &tag)
		       ?: source_untag(p->source, p->live, tag.start_boottime);
}

static int untag_dead(struct place *p)
{
	return source_untag(p->source, p->dead, 1);
}

static int share_adjust(struct place *p)
{
	return source_share_adjust(p->source, 4711, 1) ?: source_share_adjust(p->source, 4711, -1);
}

static int share_there(struct place *p)
{
	return source_share(p->source, 4711, &(struct share){});
}

static int share_forget(struct place *p)
{
	return source_share_forget(p->source, 4711);
}

static int tag_untagged(struct place *p)
{
	return source_tag_untagged(p->source);
}

static int select_uid(struct place *p)
{
	const struct selector s = {.id = 1};

	return source_select_uid(p->source, OTHER_USER, &s);
}

static int unselect_uid(struct place *p)
{
	return source_select_uid(p->source, OTHER_USER, NULL);
}

static bool keep_none(void *data, enum selector_kind kind, const void *key)
{
	(void)data, (void)kind, (void)key;
	return false;
}

static int select_only(struct place *p)
{
	return source_select_only(p->source, keep_none, NULL);
}

static int exe_told(struct place *p)
{
	const struct selector_exe_key key = {};

	return source_exe_told(p->source, &key, 7);
}

static int cgroup_put(struct place *p, bool replace)
{
	const struct cgroup_state state = {.generation = 1};

	return source_cgroup_put(p->source, p->live_cgroup, &state, replace);
}

static int cgroup_new(struct place *p)
{
	return cgroup_put(p, false);
}

static int cgroup_again(struct place *p)
{
	return cgroup_put(p, true);
}

static int cgroup_get(struct place *p)
{
	struct cgroup_state state;

	return source_cgroup_get(p->source, p->live_cgroup, &state);
}

static int cgroup_drop(struct place *p)
{
	return source_cgroup_drop(p->source, p->live_cgroup);
}

static int barrier(struct place *p)
{
	return source_cgroup_barrier(p->source);
}

static int name_of(struct place *p, uint64_t id)
{
	const struct cgroup_name *name = cgroup_name(p->cgroups, id);

	return !name ? GONE : strstr(name->path, p->cgroup) ? THERE : -EBADMSG;
}

static int name_live(struct place *p)
{
	return name_of(p, p->live_cgroup);
}

static int name_dead(struct place *p)
{
	return name_of(p, p->dead_cgroup);
}

static void meet(uint64_t number, void *data)
{
	(void)number, (void)data;
}

static int walk_connections(struct place *p)
{
	int iter = -1, more;

	do
		more = source_walk_connections(p->source, &iter, meet, NULL);
	while (more > 0);
	return more;
}

static int losses(struct place *p)
{
	uint64_t totals[LOSS_KINDS], missed;

	return source_losses(p->source, totals, &missed);
}

static int unseen(struct place *p)
{
	return source_unseen(p->source, 42);
}

static int forget_unseen(struct place *p)
{
	source_forget_unseen(p->source, 42, UINT64_MAX);
	return source_unseen(p->source, 42);
}

static int boottime(struct place *p)
{
	uint64_t ns;

	return source_boottime(p->source, &ns);
}

static bool keep_no_mark(uint64_t session, void *data)
{
	(void)session, (void)data;
	return false;
}

static int sweep_unseen(struct place *p)
{
	return source_sweep_unseen(p->source, UINT64_MAX, keep_no_mark, NULL);
}

static int select_running(struct place *p)
{
	return source_select_running(p->source, NULL);
}

static void ignore(void *data, enum behind_hook hook, uint32_t id, const char *name)
{
	(void)data, (void)hook, (void)id, (void)name;
}

static int behind(struct place *p)
{
	return source_behind(p->source, ignore, NULL);
}

static int object_there(struct place *p)
{
	struct selector_exe_key place;
	struct object_facts facts;

	return source_object_facts(p->source, p->dirfd, &facts)
		       ?: source_place(p->source, p->dirfd, &place);
}

static int object_gone(struct place *p)
{
	struct object_facts facts;

	return source_object_facts(p->source, 1 << 20, &facts);
}

static int ring_empty(struct place *p)
{
	static char buffer[EVENT_SIZE_MAX];
	size_t len;

	return source_read(p->source, buffer, sizeof(buffer), &len);
}

static const struct check kernel[] = {
	{"source_tag_of, without one", tag_of_live, -ENOENT},
	{"source_tag", tag_live, 0},
	{"source_tag, again", tag_live, -EEXIST},
	{"source_tag, gone", tag_dead, -ESRCH},
	{"source_tag_of", tag_of_live, 0},
	{"source_tag_of, gone", tag_of_dead, -ENOENT},
	{"alive_is", alive_live, THERE},
	{"alive_is, gone", alive_dead, GONE},
	{"source_each_tag", tags, 1},
	{"source_untag", untag_live, 0},
	{"source_untag, without one", untag_dead, -ENOENT},
	{"source_share, without one", share_there, -ENOENT},
	{"source_share_adjust", share_adjust, 0},
	{"source_share", share_there, 0},
	{"source_share_forget", share_forget, 0},
	{"source_share_forget, again", share_forget, -ENOENT},
	{"source_tag_untagged", tag_untagged, 0},
	{"source_each_tag, none", tags, 0},
	{"source_select_uid", select_uid, 0},
	{"source_select_uid, away", unselect_uid, 0},
	{"source_select_uid, away again", unselect_uid, -ENOENT},
	{"source_select_only", select_only, 0},
	{"source_exe_told, of none", exe_told, -ENOENT},
	{"source_cgroup_get, without", cgroup_get, -ENOENT},
	{"source_cgroup_put, over nothing", cgroup_again, -ENOENT},
	{"source_cgroup_put", cgroup_new, 0},
	{"source_cgroup_put, over another", cgroup_new, -EEXIST},
	{"source_cgroup_put, again", cgroup_again, 0},
	{"source_cgroup_get", cgroup_get, 0},
	{"source_cgroup_drop", cgroup_drop, 0},
	{"source_cgroup_drop, without", cgroup_drop, -ENOENT},
	{"source_cgroup_barrier", barrier, 0},
	{"cgroup_name", name_live, THERE},
	{"cgroup_name, gone", name_dead, GONE},
	{"source_walk_connections", walk_connections, 0},
	{"source_losses", losses, 0},
	{"source_unseen", unseen, GONE},
	{"source_forget_unseen", forget_unseen, GONE},
	{"source_sweep_unseen", sweep_unseen, 0},
	{"source_boottime", boottime, 0},
	{"source_select_running", select_running, 0},
	{"source_behind", behind, 0},
	{"source_object_facts, source_place", object_there, 0},
	{"source_object_facts, of none", object_gone, -EBADF},
	{"source_read, of nothing", ring_empty, 0},
};

static void about_maps(void **state)
{
	place_check(place_get(state), kernel, sizeof(kernel) / sizeof(*kernel));
}

/* ---- nothing is forgotten ---- */

/* Files that compare errno with something. NULL: here, or in test_sandboxed_libs.c; or why not. */
static const struct {
	const char *file, *why_not;
} decisions[] = {
	{"tpm/keystore.c", NULL},
	{"tpm/tcti.c", NULL},
	{"userspace/attest/imafile.c", "EINTR alone"},
	{"userspace/attest/measure.c", NULL},
	{"userspace/base/file.c", "EINTR alone"},
	{"userspace/base/trusted.c", "before the filter"},
	{"userspace/collect/chain.c", NULL},
	{"userspace/collect/elfnote.c", NULL},
	{"userspace/collect/hashing.c", NULL},
	{"userspace/collect/journal.c", NULL},
	{"userspace/collect/pins.c", "before the filter"},
	{"userspace/collect/probe.c", "before the filter"},
	{"userspace/collect/procroot.c", NULL},
	{"userspace/collect/source_shares.c", NULL},
	{"userspace/collect/source_tags.c", NULL},
	{"userspace/daemon/alive.c", NULL},
	{"userspace/daemon/attester.c", "before the filter"},
	{"userspace/daemon/cgroups.c", "EINTR alone"},
	{"userspace/daemon/config.c", "before the filter"},
	{"userspace/daemon/directory.c", "before the filter"},
	{"userspace/daemon/handout_log.c", "EINTR alone"},
	{"userspace/daemon/handout_stream.c", NULL},
	{"userspace/daemon/location.c", NULL},
	{"userspace/daemon/peer.c", NULL},
	{"userspace/daemon/reconcile.c", NULL},
	{"userspace/daemon/recover.c", "before the filter"},
	{"userspace/daemon/save.c", "before the filter"},
	{"userspace/daemon/saver.c", NULL},
	{"userspace/daemon/server.c", NULL},
	{"userspace/daemon/subject.c", NULL},
	{"userspace/record/holes.c", NULL},
	{"userspace/record/ledger.c", NULL},
	{"userspace/record/retention.c", NULL},
	{"userspace/record/segment.c", "EINTR alone"},
};

static bool is_named(const char *file)
{
	for (size_t i = 0; i < sizeof(decisions) / sizeof(*decisions); i++)
		if (!strcmp(decisions[i].file, file))
			return true;
	return false;
}

static bool decides(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	bool found = false;
	char line[512];

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, "errno == E") || strstr(line, "errno != E");
	return found;
}

static size_t look_through(const char *directory)
{
	char path[PATH_MAX], file[512];
	_cleanup_closedir_ DIR *d = NULL;
	const struct dirent *entry;
	size_t forgotten = 0;

	snprintf(path, sizeof(path), TEST_DATA "/../../%s", directory);
	d = opendir(path);
	assert_non_null(d);
	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name);

		if (len < 2 || strcmp(entry->d_name + len - 2, ".c"))
			continue;
		snprintf(file, sizeof(file), "%s/%s", directory, entry->d_name);
		snprintf(path, sizeof(path), TEST_DATA "/../../%s", file);
		if (!decides(path) || is_named(file))
			continue;
		print_error("%s decides by errno: ask it here, and name it\n", file);
		forgotten++;
	}
	return forgotten;
}

/* A new one has to be asked here, or to be named with a reason. */
static void every_decision_is_known(void **state)
{
	static const char *const directories[] = {
		"tpm",		     "userspace/attest", "userspace/base",
		"userspace/collect", "userspace/daemon", "userspace/record"};
	size_t forgotten = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		forgotten += look_through(directories[i]);
	assert_int_equal(forgotten, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(about_processes),
		cmocka_unit_test(about_maps),
		cmocka_unit_test(every_decision_is_known),
	};

	return cmocka_run_group_tests_name("sandboxed", tests, place_setup, place_teardown);
}
