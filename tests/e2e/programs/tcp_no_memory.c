/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_no_memory ADDRESS PORT: connects with a socket whose option memory was filled as far as it
 * goes (SO_ATTACH_FILTER), so that a kernel program finds none for its own storage unless it took
 * it at the creation.
 */
#include "option_memory.h"
#include "program.h"

int main(int argc, char **argv)
{
	union address to;
	socklen_t size;
	int fd, instructions;

	usage_unless(argc == 3, "tcp_no_memory ADDRESS PORT");
	size = address_read(argv[1], argv[2], &to);
	fd = socket_new(&to, SOCK_STREAM, 0);
	instructions = option_memory_fill(fd);
	if (connect(fd, &to.any, size))
		err(1, "connect");
	close(fd);
	printf("connected with a filter of %d instructions\n", instructions);
	return 0;
}
