/* SPDX-License-Identifier: Apache-2.0 */
/* exec_self N: executes /proc/self/exe N times more, with an argv[0] that says something else. */
#include "program.h"

int main(int argc, char **argv)
{
	int left;
	char next[16];

	usage_unless(argc == 2, "exec_self N");
	left = atoi(argv[1]);
	if (left == 0)
		return 0;
	snprintf(next, sizeof(next), "%d", left - 1);
	execl("/proc/self/exe", "rg", next, NULL);
	err(1, "/proc/self/exe");
}
