/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_victim NAME [GO DONE]: says "running", waits for a byte of its input, has the forgery done
 * (a byte to GO; what comes from DONE tells that it is), and says whether the bytes that it runs
 * changed: "changed" or "same".
 */
#include "forge.h"

int main(int argc, char **argv)
{
	usage_unless(argc == 2 || argc == 4, "forge_victim NAME [GO DONE]");
	say("running");
	await_byte(STDIN_FILENO);
	if (argc == 4) {
		signal_byte(atoi(argv[2]));
		await_byte(atoi(argv[3]));
	}
	say(mark[MARK_STATE] == 'B' ? "changed" : "same");
	await_end();
	return 0;
}
