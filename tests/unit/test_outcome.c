/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/outcome.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define O(x) AFFIANT__V1__OUTCOME__##x

/* As it was tried on a kernel, case by case. */
static const struct {
	const char *what;
	struct event_outcome e;
	Affiant__V1__Outcome outcome;
	int32_t error; /* -1: can't be known */
} outcomes[] = {
	{"handshake done", {.from = TCP_SYN_SENT, .to = TCP_ESTABLISHED}, O(ESTABLISHED), 0},
	{"handshake done, with an error from before",
	 {.from = TCP_SYN_SENT, .to = TCP_ESTABLISHED, .error = 104},
	 O(ESTABLISHED),
	 0},
	{"refused",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = ECONNREFUSED},
	 O(REFUSED),
	 ECONNREFUSED},
	{"no answer",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = ETIMEDOUT},
	 O(TIMED_OUT),
	 ETIMEDOUT},
	{"ARP failed, later",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = EHOSTUNREACH, .error_soft = EHOSTUNREACH},
	 O(UNREACHABLE),
	 EHOSTUNREACH},
	{"ICMP unreachable",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = 113, .error_soft = 113},
	 O(UNREACHABLE),
	 EHOSTUNREACH},
	{"no network",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = ENETUNREACH},
	 O(UNREACHABLE),
	 ENETUNREACH},
	{"IPv6, prohibited",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = EACCES},
	 O(UNREACHABLE),
	 EACCES},
	{"ICMP, protocol",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = ENOPROTOOPT},
	 O(UNREACHABLE),
	 ENOPROTOOPT},
	{"closed by the program",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .shutdown = 3},
	 O(ABORTED),
	 0},
	{"closed by the program, an ICMP pending",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .shutdown = 3, .error_soft = 113},
	 O(ABORTED),
	 0},
	{"reset in the handshake",
	 {.from = TCP_SYN_RECV, .to = TCP_CLOSE, .error = ECONNRESET},
	 O(RESET),
	 ECONNRESET},
	{"killed by ss -K",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = ECONNABORTED},
	 O(ABORTED),
	 ECONNABORTED},
	{"an errno that says nothing",
	 {.from = TCP_SYN_SENT, .to = TCP_CLOSE, .error = ENOBUFS},
	 O(OUTCOME_UNKNOWN),
	 ENOBUFS},
	{"no route", {.flags = OUTCOME_RELEASE}, O(NOT_SENT), -1},
	{"no route, then another attempt", {.flags = OUTCOME_REUSED}, O(NOT_SENT), -1},
	{"sent, the rest unseen",
	 {.flags = OUTCOME_RELEASE, .from = TCP_SYN_SENT},
	 O(OUTCOME_UNKNOWN),
	 -1},
	{"sent, the rest unseen, then another attempt",
	 {.flags = OUTCOME_REUSED, .from = TCP_SYN_SENT},
	 O(OUTCOME_UNKNOWN),
	 -1},
	{"UDP, port unreachable",
	 {.flags = OUTCOME_REPORT, .error = ECONNREFUSED},
	 O(REFUSED),
	 ECONNREFUSED},
	{"UDP, host unreachable",
	 {.flags = OUTCOME_REPORT, .error = EHOSTUNREACH},
	 O(UNREACHABLE),
	 EHOSTUNREACH},
	{"UDP, too long", {.flags = OUTCOME_REPORT, .error = EMSGSIZE}, O(ATTEMPTED), EMSGSIZE},
};

static void tells_outcomes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		int32_t error = 12345;
		Affiant__V1__Outcome outcome = outcome_of(&outcomes[i].e, &error);

		if (outcome != outcomes[i].outcome || error != outcomes[i].error)
			fail_msg("%s: outcome %d, errno %d", outcomes[i].what, outcome, error);
	}
}

static const struct {
	const char *what;
	struct event_close e;
	bool counted, reset;
} closes[] = {
	{"clean, client first", {.from = TCP_FIN_WAIT2, .to = TCP_CLOSE}, true, false},
	{"clean, peer first", {.from = TCP_LAST_ACK, .to = TCP_CLOSE}, true, false},
	{"both at once", {.from = TCP_CLOSING, .to = TCP_CLOSE}, true, false},
	{"orphan in FIN_WAIT1",
	 {.from = TCP_FIN_WAIT1, .to = TCP_CLOSE, .error = ETIMEDOUT},
	 true,
	 false},
	{"reset by the peer",
	 {.from = TCP_ESTABLISHED, .to = TCP_CLOSE, .error = ECONNRESET},
	 true,
	 true},
	{"reset by the peer after its FIN",
	 {.from = TCP_CLOSE_WAIT, .to = TCP_CLOSE, .error = EPIPE},
	 true,
	 true},
	{"unread data, or LINGER 0",
	 {.from = TCP_ESTABLISHED, .to = TCP_CLOSE, .shutdown = 3},
	 true,
	 true},
	{"the same after the peer's FIN",
	 {.from = TCP_CLOSE_WAIT, .to = TCP_CLOSE, .shutdown = 3},
	 true,
	 true},
	{"timed out", {.from = TCP_ESTABLISHED, .to = TCP_CLOSE, .error = ETIMEDOUT}, true, false},
	{"unseen, told by the release", {.flags = OUTCOME_RELEASE}, false, false},
	{"unseen, told by the next attempt", {.flags = OUTCOME_REUSED}, false, false},
};

static void tells_resets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(closes) / sizeof(closes[0]); i++)
		if (was_reset(&closes[i].e) != closes[i].reset ||
		    close_is_counted(&closes[i].e) != closes[i].counted)
			fail_msg("%s", closes[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_outcomes),
		cmocka_unit_test(tells_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
