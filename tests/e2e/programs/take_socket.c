/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take_socket PATH ADDRESS PORT: listens at PATH, takes the socket passed there, connects it to
 * ADDRESS PORT.
 */
#include "descriptor.h"
#include "program.h"

#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un here = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), over, fd;
	union address to;
	socklen_t size;

	usage_unless(argc == 4, "take_socket PATH ADDRESS PORT");
	size = address_read(argv[2], argv[3], &to);
	snprintf(here.sun_path, sizeof(here.sun_path), "%s", argv[1]);
	if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof(here)) ||
	    listen(listener, 1))
		err(1, "%s", argv[1]);
	printf("listening\n");
	fflush(stdout);

	over = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (over < 0)
		err(1, "accept");
	fd = receive_descriptor(over);
	if (connect(fd, &to.any, size))
		err(1, "connect");
	close(fd);
	printf("connected\n");
	return 0;
}
