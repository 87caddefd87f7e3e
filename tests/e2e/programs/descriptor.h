/* SPDX-License-Identifier: Apache-2.0 */
/* descriptor: passed over a connected Unix socket (unix(7), SCM_RIGHTS). */
#pragma once

#include "program.h"

union descriptor_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

static inline void send_descriptor(int over, int fd)
{
	union descriptor_room control = {0};
	struct iovec byte = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	if (sendmsg(over, &message, 0) != 1)
		err(1, "SCM_RIGHTS");
}

static inline int receive_descriptor(int over)
{
	union descriptor_room control;
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *head;
	int fd;

	if (recvmsg(over, &message, MSG_CMSG_CLOEXEC) != 1)
		err(1, "recvmsg");
	head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_type != SCM_RIGHTS)
		errx(1, "no descriptor came");
	memcpy(&fd, CMSG_DATA(head), sizeof(int));
	return fd;
}
