/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/packet.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Beyond it an answer goes by memfd: a socket buffer may be set smaller than the largest message.
 */
#define INLINE_MAX 32768

void packet_clear(struct packet *p)
{
	for (size_t i = 0; i < p->fds_count; i++)
		close(p->fds[i]);
	free(p->data);
	*p = (struct packet){};
}

/* A sealed memfd: the reader may map it, nobody can change it. */
static int memfd_of(const void *data, size_t len, int *ret)
{
	_cleanup_close_ int fd = memfd_create("affiant-answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err = fd < 0 ? -errno : file_write(fd, data, len);

	if (err)
		return err;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

static int pack(const Affiant__V1__Response *response, struct packet *p)
{
	p->len = affiant__v1__response__get_packed_size(response);
	p->data = malloc(p->len + 1);
	if (!p->data)
		return -ENOMEM;
	affiant__v1__response__pack(response, p->data);
	return 0;
}

int packet_fill(struct packet *p, const Affiant__V1__Response *response)
{
	Affiant__V1__Response outer = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__InMemfd in_memfd = AFFIANT__V1__IN_MEMFD__INIT;
	_cleanup_free_ uint8_t *large = NULL;
	int err;

	err = pack(response, p);
	if (err || p->len <= INLINE_MAX)
		return err;
	if (p->fds_count)
		return -EMSGSIZE;
	err = memfd_of(p->data, p->len, &p->fds[0]);
	if (err)
		return err;
	p->fds_count = 1;
	in_memfd.has_size = true;
	in_memfd.size = p->len;
	outer.has_challenge = response->has_challenge;
	outer.challenge = response->challenge;
	outer.answer_case = AFFIANT__V1__RESPONSE__ANSWER_IN_MEMFD;
	outer.in_memfd = &in_memfd;
	large = TAKE_PTR(p->data);
	return pack(&outer, p);
}

int packet_send(int fd, const struct packet *p)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
	} control = {};
	struct iovec iov = {.iov_base = p->data, .iov_len = p->len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (p->fds_count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(p->fds_count * sizeof(int));
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(p->fds_count * sizeof(int)),
		};
		memcpy(CMSG_DATA(&control.header), p->fds, p->fds_count * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
