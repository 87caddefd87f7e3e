/* SPDX-License-Identifier: Apache-2.0 */
/*
 * give_socket PATH [full]: opens a TCP socket and passes it to who listens at the Unix socket PATH;
 * full: with its option memory filled.
 */
#include "descriptor.h"
#include "option_memory.h"
#include "program.h"

#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un there = {.sun_family = AF_UNIX};
	int over = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	usage_unless(argc == 2 || (argc == 3 && !strcmp(argv[2], "full")),
		     "give_socket PATH [full]");
	snprintf(there.sun_path, sizeof(there.sun_path), "%s", argv[1]);
	if (over < 0 || fd < 0 || connect(over, (struct sockaddr *)&there, sizeof(there)))
		err(1, "%s", argv[1]);
	if (argc == 3)
		option_memory_fill(fd);
	send_descriptor(over, fd);
	printf("passed by %d\n", getpid());
	fflush(stdout);
	while (read(over, &byte, 1) > 0) /* alive until the receiver is done */
		;
	return 0;
}
