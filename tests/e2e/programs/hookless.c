/* SPDX-License-Identifier: Apache-2.0 */
/* hookless raw|ping: opens a socket whose packets no connect or sendmsg hook sees. */
#include "program.h"

int main(int argc, char **argv)
{
	int fd = -1;

	usage_unless(argc == 2, "hookless raw|ping");
	if (!strcmp(argv[1], "raw"))
		fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	else if (!strcmp(argv[1], "ping"))
		fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	else
		errx(64, "%s: unknown", argv[1]);
	if (fd < 0)
		skip("no %s socket here: %m", argv[1]);
	printf("opened\n");
	return 0;
}
