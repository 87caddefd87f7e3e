/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hookless raw|ping|ping_connect [ADDRESS]: opens a socket whose packets no sendmsg hook sees.
 * ping_connect: connects it to ADDRESS, which the connect hook does see.
 */
#include "program.h"

int main(int argc, char **argv)
{
	int fd = -1;

	union address to;
	socklen_t size;

	usage_unless(argc == 2 || argc == 3, "hookless raw|ping|ping_connect [ADDRESS]");
	if (!strcmp(argv[1], "raw"))
		fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	else if (!strcmp(argv[1], "ping") || !strcmp(argv[1], "ping_connect"))
		fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	else
		errx(64, "%s: unknown", argv[1]);
	if (fd < 0)
		skip("no %s socket here: %m", argv[1]);
	if (argc == 3) {
		size = address_read(argv[2], "0", &to);
		if (connect(fd, &to.any, size))
			err(1, "connect");
	}
	printf("opened\n");
	return 0;
}
