/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_uring HOW ADDRESS PORT: IORING_OP_CONNECT.
 *
 * inline: in the caller's own context. async: by a worker thread (IOSQE_ASYNC). sqpoll: by the
 * kernel's submission thread.
 */
#include "program.h"

#include <liburing.h>

int main(int argc, char **argv)
{
	struct io_uring_params params = {0};
	struct io_uring_sqe *entry;
	struct io_uring_cqe *done;
	struct io_uring ring;
	union address to;
	socklen_t size;
	int fd, r;

	usage_unless(argc == 4, "tcp_uring inline|async|sqpoll ADDRESS PORT");
	size = address_read(argv[2], argv[3], &to);
	fd = socket_new(&to, SOCK_STREAM, 0);
	if (!strcmp(argv[1], "sqpoll"))
		params.flags = IORING_SETUP_SQPOLL;
	r = io_uring_queue_init_params(4, &ring, &params);
	if (r < 0)
		skip("no io_uring here: %s", strerror(-r));

	entry = io_uring_get_sqe(&ring);
	io_uring_prep_connect(entry, fd, &to.any, size);
	if (!strcmp(argv[1], "async"))
		io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
	r = io_uring_submit(&ring);
	if (r >= 0)
		r = io_uring_wait_cqe(&ring, &done);
	if (r < 0 || done->res < 0) {
		errno = r < 0 ? -r : -done->res;
		err(1, "connect");
	}
	io_uring_cqe_seen(&ring, done);
	io_uring_queue_exit(&ring);
	close(fd);
	printf("connected\n");
	return 0;
}
