/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/tcti.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/reader.h"

#define HEADER_SIZE 10
#define MAGIC 0x616666746370ull /* "afftcp": whose context it is, says the TCTI specification */

struct tcti {
	TSS2_TCTI_CONTEXT_COMMON_V1 tss; /* first: a TSS2_TCTI_CONTEXT is a pointer to it */
	bool device;
	bool managed;
	char path[108];
	int cancel_fd;
	int fd;
	/*
	 * Of a device: an epoll(7) instance that watches it. poll(2) of the device itself takes a
	 * mutex that the driver holds for as long as the TPM works (tpm_common_poll() and
	 * tpm_dev_async_work(), drivers/char/tpm/tpm-dev-common.c): it would wait without a
	 * deadline. Epoll asks the device only once it was told that something is there.
	 */
	int watch_fd;
	int lame_fd; /* a device that has not answered yet what was given up */
	int lame_watch_fd;
	bool waiting; /* a command was sent, its response is not here */
	uint64_t deadline_ns;
	int err;
};

static void shut(int *fd)
{
	if (*fd >= 0)
		close(TAKE_FD(*fd));
}

/* Waits for @events on the connection; on a device's, for its response. */
static int await(struct tcti *t, short events)
{
	struct pollfd fds[] = {
		{.fd = t->device ? t->watch_fd : t->fd, .events = t->device ? POLLIN : events},
		{.fd = t->cancel_fd, .events = POLLIN}};
	struct epoll_event seen;
	struct timespec left;
	uint64_t now;
	int n;

	do {
		now = clock_ns(CLOCK_MONOTONIC);
		if (now >= t->deadline_ns)
			return -ETIMEDOUT;
		left.tv_sec = (t->deadline_ns - now) / 1000000000;
		left.tv_nsec = (t->deadline_ns - now) % 1000000000;
		n = ppoll(fds, 2, &left, NULL);
		if (n < 0 && errno != EINTR)
			return -errno;
	} while (n <= 0);
	if (fds[1].revents)
		return -ECANCELED;
	/* Seen: it is not asked again, which would be during the next command. */
	return t->device && epoll_wait(t->watch_fd, &seen, 1, 0) < 0 ? -errno : 0;
}

/* Everything that says there is nobody at the other end. */
static int gone(int err)
{
	return err == -EPIPE || err == -ECONNRESET || err == -ENXIO || err == -EIO ? -ENODEV : err;
}

static ssize_t put(struct tcti *t, const uint8_t *data, size_t len)
{
	/* A device takes a command in one piece; a socket must not kill us. */
	ssize_t n = t->device ? write(t->fd, data, len) : send(t->fd, data, len, MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

/* Before a command nothing can be there to read: it would be taken for its response. */
static int check_quiet(const struct tcti *t)
{
	struct pollfd p = {.fd = t->fd, .events = POLLIN};

	if (t->fd < 0)
		return -ENODEV;
	if (poll(&p, 1, 0) == 0)
		return 0;
	return p.revents & POLLHUP ? -ENODEV : -EBADMSG;
}

static int send_all(struct tcti *t, const uint8_t *data, size_t len)
{
	int err = check_quiet(t);
	ssize_t n;

	if (err)
		return err;
	t->waiting = true;
	while (len > 0) {
		n = put(t, data, len);
		if (n >= 0) {
			data += n;
			len -= n;
			continue;
		}
		if (n == -EINTR)
			continue;
		if (n != -EAGAIN)
			return gone(n);
		err = await(t, POLLOUT);
		if (err)
			return err;
	}
	return 0;
}

int tcti_response_size(const uint8_t *data, size_t have, size_t max, size_t *ret)
{
	struct reader r = reader_of(data, have);
	uint32_t size;
	uint16_t tag;

	if (have < HEADER_SIZE) {
		*ret = 0;
		return 0;
	}
	if (reader_u16be(&r, &tag) || reader_u32be(&r, &size))
		return -EBADMSG;
	if (tag != TPM2_ST_NO_SESSIONS && tag != TPM2_ST_SESSIONS)
		return -EBADMSG;
	if (size < HEADER_SIZE || size > max || have > size)
		return -EBADMSG;
	*ret = size;
	return 0;
}

/* One response, and not a byte more: what is left over would be taken for the next command's. */
static int receive_all(struct tcti *t, uint8_t buffer[static TCTI_RESPONSE_MAX + 1], size_t *ret)
{
	size_t have = 0, size = 0;
	ssize_t n;
	int err;

	while (!size || have < size) {
		err = await(t, POLLIN);
		if (err)
			return err;
		n = read(t->fd, buffer + have, TCTI_RESPONSE_MAX + 1 - have);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 ? gone(-errno) : -ENODEV;
		have += n;
		err = tcti_response_size(buffer, have, TCTI_RESPONSE_MAX, &size);
		if (err)
			return err;
	}
	t->waiting = false;
	*ret = size;
	return 0;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
	struct tcti *t = (struct tcti *)context;

	t->err = send_all(t, command, size);
	return t->err ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

/* The timeout is that of ESYS, which says: block. The deadline is ours. */
static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
	struct tcti *t = (struct tcti *)context;
	uint8_t buffer[TCTI_RESPONSE_MAX + 1];
	size_t len;

	(void)timeout;
	if (!response) {
		*size = TCTI_RESPONSE_MAX;
		return TSS2_RC_SUCCESS;
	}
	t->err = receive_all(t, buffer, &len);
	if (!t->err && len > *size)
		t->err = -EBADMSG;
	if (t->err)
		return TSS2_TCTI_RC_IO_ERROR;
	memcpy(response, buffer, len);
	*size = len;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
	(void)context;
	return locality ? TSS2_TCTI_RC_NOT_IMPLEMENTED : TSS2_RC_SUCCESS;
}

int tcti_new(const char *where, int cancel_fd, struct tcti **ret)
{
	static const char device[] = "device:", swtpm[] = "swtpm:path=";
	struct tcti *t;
	const char *path;
	bool is_device = strncmp(where, device, sizeof(device) - 1) == 0;

	if (!is_device && strncmp(where, swtpm, sizeof(swtpm) - 1))
		return -EINVAL;
	path = where + (is_device ? sizeof(device) : sizeof(swtpm)) - 1;
	if (path[0] != '/' || strlen(path) >= sizeof(t->path))
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->tss = (TSS2_TCTI_CONTEXT_COMMON_V1){
		.magic = MAGIC,
		.version = 1,
		.transmit = transmit,
		.receive = receive,
		.setLocality = set_locality,
	};
	strcpy(t->path, path);
	t->device = is_device;
	/* The kernel's resource manager is what tpmrm0 differs from tpm0 in. */
	t->managed = is_device && strncmp(strrchr(path, '/'), "/tpmrm", 6) == 0;
	t->cancel_fd = cancel_fd;
	t->fd = -1;
	t->watch_fd = -1;
	t->lame_fd = -1;
	t->lame_watch_fd = -1;
	*ret = t;
	return 0;
}

void tcti_free(struct tcti *t)
{
	if (!t)
		return;
	/*
	 * A lame device is left to the end of the process: to close it is to wait for the driver.
	 */
	tcti_disconnect(t);
	free(t);
}

static int connect_socket(struct tcti *t)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (fd < 0)
		return -errno;
	strcpy(address.sun_path, t->path);
	/* EAGAIN: others wait to be served already. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	t->fd = TAKE_FD(fd);
	return 0;
}

/*
 * A TPM's device belongs to a group ("tss"), where there is such a one, and gets it from udev a
 * while after the driver made it. This thread alone joins, without what CAP_DAC_OVERRIDE would open
 * besides; the system call knows of threads, glibc's function of all of them.
 */
static int open_as_its_group(const char *path, int flags)
{
	int fd = open(path, flags);
	struct stat st;

	if (fd >= 0 || errno != EACCES)
		return fd;
	if (stat(path, &st) < 0 || syscall(SYS_setgroups, 1, &st.st_gid) < 0) {
		errno = EACCES;
		return -1;
	}
	return open(path, flags);
}

static int open_device(struct tcti *t)
{
	struct pollfd lame = {.fd = t->lame_watch_fd, .events = POLLIN};
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	_cleanup_close_ int fd = -1, watch = -1;
	struct stat st;

	if (t->lame_fd >= 0) {
		if (poll(&lame, 1, 0) == 0)
			return -ETIMEDOUT;
		shut(&t->lame_watch_fd);
		shut(&t->lame_fd);
	}
	/* Without O_NONBLOCK write(2) returns when the TPM has finished, however long that is. */
	fd = open_as_its_group(t->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOTTY;
	watch = epoll_create1(EPOLL_CLOEXEC);
	if (watch < 0 || epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	t->fd = TAKE_FD(fd);
	t->watch_fd = TAKE_FD(watch);
	return 0;
}

int tcti_connect(struct tcti *t)
{
	tcti_disconnect(t);
	t->err = 0;
	return t->device ? open_device(t) : connect_socket(t);
}

void tcti_disconnect(struct tcti *t)
{
	if (t->fd < 0)
		return;
	if (t->device && t->waiting) {
		t->lame_fd = TAKE_FD(t->fd);
		t->lame_watch_fd = TAKE_FD(t->watch_fd);
	}
	shut(&t->watch_fd);
	shut(&t->fd);
	t->waiting = false;
}

bool tcti_managed(const struct tcti *t)
{
	return t->managed;
}

void tcti_set_deadline(struct tcti *t, uint64_t at_ns)
{
	t->deadline_ns = at_ns;
}

int tcti_error(const struct tcti *t)
{
	return t->err;
}

TSS2_TCTI_CONTEXT *tcti_tss(struct tcti *t)
{
	return (TSS2_TCTI_CONTEXT *)&t->tss;
}

int tcti_command(struct tcti *t, const void *command, size_t len, uint32_t *ret_rc)
{
	uint8_t response[TCTI_RESPONSE_MAX + 1];
	struct reader r;
	size_t size;

	t->err = send_all(t, command, len) ?: receive_all(t, response, &size);
	if (t->err)
		return t->err;
	r = reader_of(response + 6, size - 6);
	return reader_u32be(&r, ret_rc);
}
