/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_file: a file served by hand over /dev/fuse, in a user and mount namespace of one's own: a
 * read of it returns when its server pleases.
 */
#pragma once

#include "forge.h"

#include <linux/fuse.h>
#include <signal.h>
#include <sys/mount.h>

/* A thing that is there everywhere, and no directory: the mount's root is a regular file. */
#define FUSE_FILE_MOUNT "/dev/full"

struct fuse_file {
	int dev;
	int direct;        /* FOPEN_DIRECT_IO: else only O_DIRECT has a read come here as it is */
	int hold_flush;    /* a close waits, too, as a read does */
	int asked;         /* is written to when one has come; */
	int answer;        /* the reply is held until something can be read here */
	const char *reply; /* a page */
	uint64_t waiting;  /* which request that is */
};

static inline void fuse_file_mount(struct fuse_file *f)
{
	char options[128];

	f->dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (f->dev < 0)
		skip("no FUSE here: %m");
	snprintf(options, sizeof(options), "fd=%d,rootmode=100444,user_id=0,group_id=0", f->dev);
	if (mount("forge", FUSE_FILE_MOUNT, "fuse", MS_NOSUID | MS_NODEV, options))
		skip("no FUSE for an unprivileged user: %m");
}

static inline void fuse_file_reply(const struct fuse_file *f, uint64_t unique, int error,
				   const void *data, size_t len)
{
	struct fuse_out_header out = {.len = sizeof(out) + len, .error = error, .unique = unique};
	char buffer[sizeof(out) + PAGE];

	memcpy(buffer, &out, sizeof(out));
	if (len)
		memcpy(buffer + sizeof(out), data, len);
	if (write(f->dev, buffer, out.len) < 0 &&
	    errno != ENOENT) /* who asked has been interrupted */
		err(1, "/dev/fuse");
}

static inline void fuse_file_attr(const struct fuse_file *f, uint64_t unique)
{
	struct fuse_attr_out out = {
		.attr = {.ino = 1, .size = PAGE, .blocks = 8, .mode = S_IFREG | 0444, .nlink = 1}};

	fuse_file_reply(f, unique, 0, &out, sizeof(out));
}

static inline void fuse_file_init(const struct fuse_file *f, uint64_t unique)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = PAGE, .max_background = 1};

	fuse_file_reply(f, unique, 0, &out, sizeof(out));
}

static inline void fuse_file_request(struct fuse_file *f, const struct fuse_in_header *in)
{
	/* An exec closes files: it is not to wait for us, usually. */
	struct fuse_open_out opened = {.open_flags = (f->hold_flush ? 0 : FOPEN_NOFLUSH) |
						     (f->direct ? FOPEN_DIRECT_IO : 0)};

	switch (in->opcode) {
	case FUSE_INIT:
		fuse_file_init(f, in->unique);
		break;
	case FUSE_GETATTR:
		fuse_file_attr(f, in->unique);
		break;
	case FUSE_OPEN:
		fuse_file_reply(f, in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	case FUSE_READ:
	case FUSE_FLUSH:
		if (in->opcode == FUSE_READ || f->hold_flush) {
			f->waiting = in->unique;
			signal_byte(f->asked);
			break;
		}
		/* fall through */
	case FUSE_RELEASE:
		fuse_file_reply(f, in->unique, 0, NULL, 0);
		break;
	default:
		fuse_file_reply(f, in->unique, -ENOSYS, NULL, 0);
	}
}

/*
 * A process of its own, whose end ends the connection: a reader in the same process would be waited
 * for as it dies, and itself waits for an answer. Others' requests are answered while a read waits:
 * an exec closes files.
 */
static inline void fuse_file_serve(struct fuse_file *f)
{
	static char request[1 << 17];
	struct pollfd fds[] = {{.fd = f->dev, .events = POLLIN},
			       {.fd = f->answer, .events = POLLIN}};
	pid_t asker = getpid(), server = fork();

	if (server < 0)
		err(1, "fork");
	if (server) {
		close(f->dev);
		return;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != asker)
		_exit(0);
	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents & (POLLERR | POLLHUP))
			break;
		if (fds[0].revents && read(f->dev, request, sizeof(request)) > 0)
			fuse_file_request(f, (const void *)request);
		if (!fds[1].revents)
			continue;
		await_byte(f->answer);
		fuse_file_reply(f, f->waiting, 0, f->reply, f->reply ? PAGE : 0);
		fds[1].fd = -1;
	}
	_exit(0);
}
