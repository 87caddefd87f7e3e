/* SPDX-License-Identifier: Apache-2.0 */
/* unix_connect PATH: connects to a Unix socket; a PATH that begins with @ is an abstract name. */
#include "program.h"

#include <stddef.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	usage_unless(argc == 2 && strlen(argv[1]) < sizeof(to.sun_path), "unix_connect PATH");
	strcpy(to.sun_path, argv[1]);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	if (fd < 0 || connect(fd, (struct sockaddr *)&to,
			      offsetof(struct sockaddr_un, sun_path) + strlen(argv[1])))
		err(1, "%s", argv[1]);
	printf("connected\n");
	return 0;
}
