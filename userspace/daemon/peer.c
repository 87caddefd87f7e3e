/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer.h"

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/limit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Linux 6.5, absent from Debian 12's headers. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define STATUS_MAX (1 << 20) /* a process can have 65,536 groups, of up to 11 characters each */

static int open_pidfd(int fd, pid_t pid)
{
	int pidfd;
	socklen_t len = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	if (errno != ENOPROTOOPT)
		return -errno;
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	return pidfd < 0 ? limit_of(-errno) : pidfd;
}

int peer_pin(int fd, struct peer *ret)
{
	const int on = 1;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int pidfd;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (cred.pid <= 0)
		return -ESRCH;
	pidfd = open_pidfd(fd, cred.pid);
	if (pidfd < 0)
		return pidfd == -EINVAL ? -ESRCH : pidfd;
	*ret = (struct peer){.pid = cred.pid, .pidfd = pidfd, .uid = cred.uid, .gid = cred.gid};
	return 0;
}

void peer_unpin(struct peer *p)
{
	closep(&p->pidfd);
	p->pidfd = -1;
}

bool peer_alive(const struct peer *p)
{
	struct pollfd f = {.fd = p->pidfd, .events = POLLIN};

	return p->pidfd >= 0 && poll(&f, 1, 0) == 0;
}

static int parse_groups(const char *text, struct peer_status *s)
{
	size_t count = 0;
	char *end;

	for (const char *at = text; *at && *at != '\n'; at++)
		count += *at == ' ';
	s->groups = calloc(count + 1, sizeof(*s->groups));
	if (!s->groups)
		return -ENOMEM;
	for (; s->groups_count <= count; text = end) {
		gid_t gid = strtoul(text, &end, 10);

		if (end == text)
			break;
		s->groups[s->groups_count++] = gid;
	}
	return 0;
}

static int parse_ids(const char *text, uint32_t ids[static 4])
{
	return sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32, &ids[0], &ids[1],
		      &ids[2], &ids[3]) == 4
		       ? 0
		       : -EBADMSG;
}

static int parse_status(FILE *f, struct peer_status *s)
{
	enum { TGID = 1, UID = 2, GID = 4, GROUPS = 8 };
	_cleanup_free_ char *line = NULL;
	size_t size = 0, total = 0;
	unsigned int seen = 0;
	int err = 0;
	ssize_t len;

	while (!err && (len = effort_getline(&line, &size, f)) > 0) {
		total += len;
		if (total > STATUS_MAX)
			return -E2BIG;
		if (!strncmp(line, "Tgid:\t", 6)) {
			s->tgid = atoi(line + 6);
			seen |= TGID;
		} else if (!strncmp(line, "Uid:\t", 5)) {
			err = parse_ids(line + 5, s->uid);
			seen |= UID;
		} else if (!strncmp(line, "Gid:\t", 5)) {
			err = parse_ids(line + 5, s->gid);
			seen |= GID;
		} else if (!strncmp(line, "Groups:\t", 8)) {
			err = parse_groups(line + 8, s);
			seen |= GROUPS;
		}
		if (seen == (TGID | UID | GID | GROUPS))
			return err;
	}
	return err ?: -EBADMSG;
}

int peer_status(pid_t pid, struct peer_status *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	struct peer_status s = {};
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = effort_fopen(path);
	if (!f)
		return errno == ENOENT ? -ESRCH : limit_of(-errno);
	err = parse_status(f, &s);
	if (err) {
		peer_status_clear(&s);
		return err;
	}
	*ret = s;
	return 0;
}

void peer_status_clear(struct peer_status *s)
{
	free(s->groups);
	*s = (struct peer_status){};
}

/*
 * "Pid:" of a pidfd's fdinfo (kernel/pid.c, pidfd_show_fdinfo()): 0: not in this namespace, -1:
 * reaped.
 */
static int pidfd_pid(int fd, pid_t *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = effort_fopen(path);
	if (!f)
		return -errno;
	while (effort_gets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1) {
			*ret = pid;
			return 0;
		}
	return -EBADF;
}

int peer_pid_of_pidfd(int fd, pid_t *ret)
{
	struct peer_status status = {};
	bool leader;
	pid_t pid = 0;
	int err;

	err = pidfd_pid(fd, &pid);
	if (err)
		return err;
	if (pid <= 0)
		return -ESRCH;
	err = peer_status(pid, &status);
	if (err)
		return err;
	leader = status.tgid == pid; /* PIDFD_THREAD, Linux 6.9: a pidfd may be of any thread */
	peer_status_clear(&status);
	if (!leader)
		return -EBADF;
	*ret = pid;
	return 0;
}

/* The innermost number of "NSpid:", that of the process's own namespace. */
static pid_t own_number(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[1024];
	const char *last;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = effort_fopen(path);
	while (f && effort_gets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6))
			continue;
		last = strrchr(line, '\t');
		return last ? atoi(last + 1) : 0;
	}
	return 0;
}

static int pid_namespace(const char *pid, struct stat *ret)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/ns/pid", pid);
	return stat(path, ret) < 0 ? -errno : 0;
}

int peer_resolve(const struct peer *p, pid_t pid, pid_t *ret)
{
	_cleanup_closedir_ DIR *proc = NULL;
	struct stat own, theirs, other;
	const struct dirent *entry;
	char number[16];
	int err;

	snprintf(number, sizeof(number), "%d", p->pid);
	err = pid_namespace("self", &own) ?: pid_namespace(number, &theirs);
	if (err)
		return err == -ENOENT ? -ESRCH : err;
	if (own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino) {
		snprintf(number, sizeof(number), "%d", pid);
		if (pid <= 0 || pid_namespace(number, &other))
			return -ESRCH;
		*ret = pid;
		return 0;
	}

	proc = effort_opendir("/proc");
	if (!proc)
		return -errno;
	while ((entry = effort_readdir(proc))) {
		pid_t candidate = atoi(entry->d_name);

		if (candidate <= 0 || pid_namespace(entry->d_name, &other) ||
		    other.st_dev != theirs.st_dev || other.st_ino != theirs.st_ino ||
		    own_number(candidate) != pid)
			continue;
		*ret = candidate;
		return 0;
	}
	return -ESRCH;
}

static void take_control(struct msghdr *msg, struct peer_message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			for (size_t i = 0; i < len / sizeof(int); i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
				if (m->fds_count < PEER_FDS_MAX)
					m->fds[m->fds_count++] = fd;
				else
					close(fd);
			}
		} else if (c->cmsg_type == SCM_CREDENTIALS && len == sizeof(struct ucred)) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			m->has_credentials = true;
			m->pid = cred.pid;
			m->uid = cred.uid;
			m->gid = cred.gid;
		}
	}
}

int peer_receive(int fd, void *buffer, size_t size, bool descriptors, struct peer_message *ret)
{
	/* The kernel writes the credentials first: without room behind them no descriptor becomes
	 * ours. */
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(PEER_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buffer, .iov_len = size};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = descriptors ? sizeof(control) : CMSG_SPACE(sizeof(struct ucred)),
	};
	struct peer_message m = {};
	ssize_t n;

	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_control(&msg, &m);
	m.len = n;
	m.cut = msg.msg_flags & MSG_TRUNC;
	m.fds_cut = msg.msg_flags & MSG_CTRUNC;
	/* An empty packet and the end look alike; no message of ours is empty. */
	if (!n) {
		peer_message_close(&m);
		return -ECONNRESET;
	}
	*ret = m;
	return 0;
}

void peer_message_close(struct peer_message *m)
{
	while (m->fds_count)
		close(m->fds[--m->fds_count]);
}
