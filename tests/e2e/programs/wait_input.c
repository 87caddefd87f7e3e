/* SPDX-License-Identifier: Apache-2.0 */
/* wait_input: says that it runs, ends when its standard input does. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	char byte;

	puts("running");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
