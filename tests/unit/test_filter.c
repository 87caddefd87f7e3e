/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

struct wish {
	enum filter_kind kind;
	const char *value;
};

/* Which samples pass, by name, joined by commas; "all" and "none". */
static const char *passes(const struct wish *wishes, size_t count)
{
	static char names[2048];
	struct filter *f;
	size_t len = 0, passed = 0;

	assert_int_equal(filter_new(&f), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(filter_add(f, wishes[i].kind, wishes[i].value), 0);
	names[0] = '\0';
	for (size_t i = 0; i < samples_count; i++)
		if (filter_match(f, samples[i].record)) {
			len += snprintf(names + len, sizeof(names) - len, "%s%s", len ? "," : "",
					samples[i].name);
			passed++;
		}
	filter_free(f);
	return passed == samples_count ? "all" : passed ? names : "none";
}

#define PASSES(...)                                                                                \
	passes((struct wish[]){__VA_ARGS__},                                                       \
	       sizeof((struct wish[]){__VA_ARGS__}) / sizeof(struct wish))

#define OF_HOST                                                                                    \
	"daemon_started,lost,lost tag,gap,gap torn,gap tracing_removed,gap void,daemon_stopping"

static void who(void **state)
{
	static const struct wish everybody[] = {
		{FILTER_AGENT, "research"},
		{FILTER_AGENT, "res*"},
		{FILTER_AGENT, "spiffe://example.org/agent/research"},
		{FILTER_SESSION, "01a1990c-5210-7abc-9def-0123456789ab"},
		{FILTER_SESSION, "01A1990C"},
		{FILTER_SESSION, "456789ab"},
		{FILTER_TASK, "T-1042"},
		{FILTER_PRINCIPAL, "alice@*"},
	};
	static const struct wish nobody[] = {
		{FILTER_AGENT, "researc"},
		{FILTER_AGENT, "*.org"},
		{FILTER_SESSION, "1a1990c"},
		{FILTER_SESSION, "01a1990c-5210-7abc-9def-0123456789ac"},
		{FILTER_TASK, "T-1"},
		{FILTER_PRINCIPAL, "bob"},
	};

	(void)state;
	assert_string_equal(passes(NULL, 0), "all");
	for (size_t i = 0; i < sizeof(everybody) / sizeof(*everybody); i++) {
		const char *names = passes(&everybody[i], 1);

		assert_non_null(strstr(names, "session_started,"));
		assert_non_null(strstr(names, ",connect established,"));
		assert_null(strstr(names, "lost"));
		assert_null(strstr(names, "daemon"));
	}
	for (size_t i = 0; i < sizeof(nobody) / sizeof(*nobody); i++)
		assert_string_equal(passes(&nobody[i], 1), "none");
	assert_string_equal(
		PASSES({FILTER_AGENT, "no"}, {FILTER_AGENT, "research"}, {FILTER_TYPE, "exit"}),
		"exit,exit killed");
}

static void destinations(void **state)
{
	static const struct {
		const char *dst, *names;
	} cases[] = {
		{"203.0.113.80", "connect established,connect opener,close"},
		{"203.0.113.80:443", "connect established,connect opener,close"},
		{"203.0.113.80:444", "none"},
		{"203.0.113.80/31", "connect established,connect reset,connect opener,close"},
		{"203.0.113.0/24:25", "connect denied"},
		{"198.51.100.1", "connect rewritten"},                /* what was asked */
		{"10.0.0.0/8:8080", "connect rewritten,close reset"}, /* what was reached */
		{"22", "connect unreachable"},
		{"0", "none"},
		{"2001:db8::/32", "connect refused"},
		{"[2001:db8::7]", "connect refused"},
		{"[2001:db8::/33]:8443", "connect refused"},
		{"[2001:db8::7]:8444", "none"},
		{"fe80::/10", "connect unreachable"},
		{"::/0", "connect refused,connect unreachable"},
		{"0.0.0.0/0:53", "connect udp,connect unsure"},
		{"/run/docker.sock", "connect unix"},
		{"/run/*", "connect unix"},
		{"@*X11*", "connect abstract"},
		{"/tmp/.X11-unix/X0", "none"},
		{"/srv/run/*", "connect relative"}, /* where it led */
		{"192.0.2.200", "folded"},
		{"192.0.2.0/24:9999", "folded"},
		{"/srv/*.sock", "folded"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(PASSES({FILTER_DST, cases[i].dst}), cases[i].names);
	assert_string_equal(PASSES({FILTER_DST, "22"}, {FILTER_DST, "25"}),
			    "connect unreachable,connect denied");
}

static void words(void **state)
{
	(void)state;
	assert_string_equal(PASSES({FILTER_OUTCOME, "refused,timed_out"}),
			    "connect refused,connect timed_out,folded");
	assert_string_equal(PASSES({FILTER_OUTCOME, "denied"}, {FILTER_OUTCOME, "reset"}),
			    "connect reset,connect denied");
	assert_string_equal(PASSES({FILTER_TYPE, "lost,gap,daemon_started,daemon_stopping"}),
			    OF_HOST);
	assert_string_equal(PASSES({FILTER_TYPE, "close"}, {FILTER_OUTCOME, "reset"}), "none");
	assert_string_equal(PASSES({FILTER_TYPE, "folded"}), "folded,folded processes");
	/* One group that matches in all. */
	assert_string_equal(PASSES({FILTER_DST, "192.0.2.200"}, {FILTER_OUTCOME, "timed_out"}), "none");
}

static void values_that_are_none(void **state)
{
	static const struct wish bad[] = {
		{FILTER_SESSION, ""},
		{FILTER_SESSION, "1a2"},
		{FILTER_SESSION, "xyzw"},
		{FILTER_SESSION, "01a1990c-5210-7abc-9def-0123456789ab0"},
		{FILTER_DST, ""},
		{FILTER_DST, "65536"},
		{FILTER_DST, "10.0.0.0/33"},
		{FILTER_DST, "10.0.0.0/"},
		{FILTER_DST, "10.0.0"},
		{FILTER_DST, "10.0.0.0/8:"},
		{FILTER_DST, "10.0.0.0:65536"},
		{FILTER_DST, "[::1"},
		{FILTER_DST, "[::1]443"},
		{FILTER_DST, "[::1]:x"},
		{FILTER_DST, "::1/129"},
		{FILTER_DST, "example.org"},
		{FILTER_DST, "-1"},
		{FILTER_DST, ":443"},
		{FILTER_DST, "10.0.0.0/8:443:1"},
		{FILTER_DST, "::ffff:1.2.3.4.5"},
		{FILTER_OUTCOME, ""},
		{FILTER_OUTCOME, "refused,"},
		{FILTER_OUTCOME, "REFUSED"},
		{FILTER_TYPE, "process"},
		{FILTER_TYPE, "connect,,exec"},
		{FILTER_TYPE, "nonsense"},
	};
	struct filter *f;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (filter_add(f, bad[i].kind, bad[i].value) != -EINVAL)
			fail_msg("'%s' was accepted", bad[i].value);
		assert_non_null(filter_allowed(bad[i].kind));
	}
	for (size_t i = 0; i < samples_count; i++) /* a refused value leaves nothing behind */
		assert_true(filter_match(f, samples[i].record));
	filter_free(f);
}

static void times(void **state)
{
	struct filter *f;
	size_t passed = 0;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	filter_since(f, samples[4].record->wall_ns);
	filter_until(f, samples[7].record->wall_ns);
	for (size_t i = 0; i < samples_count; i++) {
		passed += filter_match(f, samples[i].record);
		assert_int_equal(filter_match(f, samples[i].record), i >= 4 && i <= 7);
	}
	assert_int_equal(passed, 4);
	filter_free(f);
}

static void hidden_losses_are_known(void **state)
{
	struct filter *f;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	for (size_t i = 0; i < samples_count; i++)
		assert_false(filter_hides_loss(f, samples[i].record));
	assert_int_equal(filter_add(f, FILTER_AGENT, "research"), 0);
	for (size_t i = 0; i < samples_count; i++) {
		const char *name = samples[i].name;

		assert_int_equal(filter_hides_loss(f, samples[i].record),
				 !strncmp(name, "lost", 4) || !strncmp(name, "gap", 3));
	}
	filter_since(f, UINT64_MAX);
	for (size_t i = 0; i < samples_count; i++)
		assert_false(filter_hides_loss(f, samples[i].record));
	filter_free(f);
}

/* Where it goes is no more known of what was lost than who it was. */
static void whatever_the_filter_losses_are_known(void **state)
{
	static const struct wish wishes[] = {{FILTER_DST, "192.0.2.1"},
					     {FILTER_OUTCOME, "refused"},
					     {FILTER_TYPE, "exec"},
					     {FILTER_TASK, "other"},
					     {FILTER_TYPE, "gap"}};
	const Affiant__V1__Record *lost = NULL;
	struct filter *f;

	(void)state;
	for (size_t i = 0; i < samples_count; i++)
		if (!strcmp(samples[i].name, "lost"))
			lost = samples[i].record;
	assert_non_null(lost);
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		assert_int_equal(filter_new(&f), 0);
		assert_int_equal(filter_add(f, wishes[i].kind, wishes[i].value), 0);
		/* Who asks for Gaps alone has chosen. */
		assert_int_equal(filter_hides_loss(f, lost), strcmp(wishes[i].value, "gap") != 0);
		filter_free(f);
	}
}

static void losses_of_a_time_are_known(void **state)
{
	Affiant__V1__Lost lost = AFFIANT__V1__LOST__INIT;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	const uint64_t day = UINT64_C(1800000000000000000);
	struct filter *f;

	(void)state;
	r.body_case = AFFIANT__V1__RECORD__BODY_LOST;
	r.lost = &lost;
	r.wall_ns = day + 5000;
	r.boottime_ns = 9000;
	lost.from_boottime_ns = 8000; /* day + 4000 */
	lost.has_from_boottime_ns = true;
	assert_int_equal(filter_new(&f), 0);
	assert_false(filter_hides_loss(f, &r)); /* it is shown */
	filter_until(f, day + 3999);
	assert_false(filter_hides_loss(f, &r));
	filter_until(f, day + 4000);
	assert_true(filter_hides_loss(f, &r));
	filter_since(f, day + 5001);
	assert_false(filter_hides_loss(f, &r));
	/* Nobody knows since when. */
	lost.from_boottime_ns = 0;
	lost.has_from_boottime_ns = false;
	filter_since(f, 0);
	filter_until(f, 1);
	assert_true(filter_hides_loss(f, &r));
	filter_free(f);
}

static size_t hidden(struct wish *wishes, size_t n)
{
	struct filter *f;
	size_t found = 0;

	assert_int_equal(filter_new(&f), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(filter_add(f, wishes[i].kind, wishes[i].value), 0);
	for (size_t i = 0; i < samples_count; i++)
		found += filter_hides_folded(f, samples[i].record);
	filter_free(f);
	return found;
}

#define HIDDEN(...)                                                                                \
	hidden((struct wish[]){__VA_ARGS__},                                                       \
	       sizeof((struct wish[]){__VA_ARGS__}) / sizeof(struct wish))

/* There are two samples: one of connections, one of processes. */
static void hidden_counts_are_known(void **state)
{
	(void)state;
	assert_int_equal(HIDDEN({FILTER_AGENT, "research"}), 0); /* they are shown */
	assert_int_equal(HIDDEN({FILTER_AGENT, "other"}), 0);
	assert_int_equal(HIDDEN({FILTER_TYPE, "folded"}), 0);
	assert_int_equal(HIDDEN({FILTER_TYPE, "connect"}), 1);
	assert_int_equal(HIDDEN({FILTER_TYPE, "close"}), 1);
	assert_int_equal(HIDDEN({FILTER_TYPE, "exec"}), 1);
	assert_int_equal(HIDDEN({FILTER_TYPE, "exit,connect"}), 2);
	assert_int_equal(HIDDEN({FILTER_TYPE, "lost"}), 0);
	assert_int_equal(HIDDEN({FILTER_TYPE, "untracked_socket"}), 1);
	/* Among what it names there is none, among the others there may be. */
	assert_int_equal(HIDDEN({FILTER_DST, "198.51.100.1"}), 1);
	assert_int_equal(HIDDEN({FILTER_OUTCOME, "denied"}), 1);
	assert_int_equal(HIDDEN({FILTER_DST, "198.51.100.1"}, {FILTER_TYPE, "exec"}), 0);
	assert_int_equal(HIDDEN({FILTER_DST, "192.0.2.200"}), 0);
	assert_int_equal(HIDDEN({FILTER_DST, "192.0.2.200"}, {FILTER_TYPE, "connect"}), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who),   cmocka_unit_test(destinations),
		cmocka_unit_test(words), cmocka_unit_test(values_that_are_none),
		cmocka_unit_test(times), cmocka_unit_test(hidden_losses_are_known),
		cmocka_unit_test(whatever_the_filter_losses_are_known),
		cmocka_unit_test(losses_of_a_time_are_known),
		cmocka_unit_test(hidden_counts_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
