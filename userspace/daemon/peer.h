/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: who is at the other end of a Unix socket, by the kernel's word alone, and the messages that
 * come from there.
 *
 * A pid is only a number. What makes it mean a process is the pidfd opened at the beginning: while
 * that process lives, nobody else has its number, so a message that was made later than the pidfd
 * (it echoes a challenge sent after it) and carries that number was sent by that process, or by one
 * that may name any number: root, or who has CAP_SYS_ADMIN in the user namespace that its pid
 * namespace belongs to (net/core/scm.c, scm_check_creds()), and has the connection. Such a one can
 * trace that process, too. Who connected nobody can forge.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PEER_FDS_MAX 253 /* SCM_MAX_FD (include/net/scm.h): what one message can carry */

struct peer {
	pid_t pid; /* thread group, in this process's pid namespace */
	int pidfd;
	uid_t uid; /* at connect(2) */
	gid_t gid;
};

/*
 * Pins who connected @fd (SO_PEERPIDFD, else pidfd_open(2)) and asks for credentials with every
 * message from now on. -ESRCH: gone, or in no pid namespace that is seen from here.
 */
int peer_pin(int fd, struct peer *ret);
void peer_unpin(struct peer *p);

/* Neither exited nor a zombie. */
bool peer_alive(const struct peer *p);

/*
 * What a process is now, from /proc/PID/status; worth something only if a pidfd is found alive
 * afterwards.
 */
struct peer_status {
	pid_t tgid;
	uid_t uid[4]; /* real, effective, saved, filesystem */
	gid_t gid[4];
	gid_t *groups;
	size_t groups_count;
};

int peer_status(pid_t pid, struct peer_status *ret);
void peer_status_clear(struct peer_status *s);

/*
 * The process that the pidfd @fd, which somebody passed, refers to. -EBADF: it is no pidfd, or one
 * of a thread. -ESRCH: gone, or not seen from here.
 */
int peer_pid_of_pidfd(int fd, pid_t *ret);

/*
 * The process that @p calls @pid, in the caller's own pid namespace. -ESRCH: there is none, or it
 * is in a namespace below the caller's.
 */
int peer_resolve(const struct peer *p, pid_t pid, pid_t *ret);

struct peer_message {
	size_t len;
	bool cut; /* longer than the buffer */
	bool has_credentials;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool fds_cut; /* some descriptors found no room here, or none were to come */
	size_t fds_count;
	int fds[PEER_FDS_MAX]; /* the caller's, close-on-exec */
};

/*
 * One message. 0; -EAGAIN: there is none; -ECONNRESET at the end of the connection; the -errno of
 * recvmsg(2).
 *
 * Closing a descriptor asks the filesystem it belongs to: one in user space that does not answer
 * keeps the caller for good, beyond SIGKILL. Therefore @descriptors only from those who are trusted
 * with that. The others' never become this process's, and then only SO_LINGER can make it wait
 * (interrupt.h).
 */
int peer_receive(int fd, void *buffer, size_t size, bool descriptors, struct peer_message *ret);
void peer_message_close(struct peer_message *m);
