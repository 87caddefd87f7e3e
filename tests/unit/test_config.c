/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "event.h"
#include "match.h"
#include "scratch.h"

DEFINE_CLEANUP(struct config *, config_free)

static char directory[] = "/tmp/affiant-config-XXXXXX";
static char file[64];

static int setup(void **state)
{
	(void)state;
	umask(022);
	if (!mkdtemp(directory))
		return -1;
	snprintf(file, sizeof(file), "%s/affiant.yaml", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return scratch_remove(directory);
}

static void write_file(const char *name, const char *text, size_t len)
{
	_cleanup_fclose_ FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
}

static void write_drop_in(const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/conf.d", directory);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/conf.d/%s", directory, name);
	write_file(path, text, strlen(text));
}

static void remove_drop_ins(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/conf.d", directory);
	assert_true(!scratch_remove(path) || errno == ENOENT);
}

static struct config *load(const char *text)
{
	_cleanup_free_ char *why = NULL;
	struct config *c = NULL;

	write_file(file, text, strlen(text));
	if (config_load(file, NULL, &c, &why))
		fail_msg("%s", why ?: "no reason given");
	assert_null(why);
	return c;
}

/* @want: without the directory in front. */
static void expect_mistake(const char *text, size_t len, const char *want)
{
	struct config *c = (void *)0x5a5a;
	_cleanup_free_ char *why = NULL;
	int err;

	write_file(file, text, len);
	err = config_load(file, NULL, &c, &why);
	assert_true(err < 0);
	assert_non_null(why);
	assert_ptr_equal(c, (void *)0x5a5a);
	assert_true(!strncmp(why, directory, strlen(directory)));
	assert_string_equal(why + strlen(directory) + 1, want);
}

#define MISTAKE(text, want)                                                                        \
	{                                                                                          \
		text, sizeof(text) - 1, "affiant.yaml:" want                                       \
	}

static const struct {
	const char *text;
	size_t len;
	const char *want;
} mistakes[] = {
	/* what is not YAML, or more of it than is taken */
	MISTAKE("trust_domain: 'x\n", "2: not YAML: found unexpected end of stream"),
	MISTAKE("# a\n\ttrust_domain: x\n",
		"2: not YAML: found character that cannot start any token"),
	MISTAKE("# a\n# b\ntrust_domain: \xff\n", "3: not YAML: invalid leading UTF-8 octet"),
	MISTAKE("# a\ntrust_domain: \x01\n", "2: not YAML: control characters are not allowed"),
	MISTAKE("trust_domain: a\n---\ntrust_domain: b\n",
		"2: a second document: one file holds one"),
	MISTAKE("trust_domain: \"a\\0b\"\n", "1: trust_domain: holds a NUL character"),
	MISTAKE("state_dir: &a /x\npin_dir: *a\n",
		"2: pin_dir: is an alias: write the value itself"),
	MISTAKE("? [a]\n: b\n", "1: has a key that is not a plain word"),
	MISTAKE("a.b: c\n", "1: has a key that is not a plain word"),
	MISTAKE("hash: {? {a: b} : c}\n", "1: hash: has a key that is not a plain word"),
	MISTAKE("a: [[[[[[[[[x]]]]]]]]]\n", "1: a[0][0][0][0][0][0][0]: nested too deeply"),

	/* keys */
	MISTAKE("# a\nring: 1\n",
		"2: ring: no such key; there are trust_domain, state_dir, runtime_dir, "
		"pin_dir, socket, ring_bytes, max_tags, segment_bytes, state_bytes, hash, redact, "
		"launchers, readers, trusted_owners, "
		"limits, tpm, evidence, agents"),
	MISTAKE("hash:\n  mode: off\n  mod: off\n",
		"3: hash.mod: no such key; there are mode, workers, "
		"max_size, cache_entries, wait"),
	MISTAKE("agents:\n  - name: a\n  - name: b\n    selectors:\n      - unit: a.service\n      "
		"- path: /x\n",
		"6: agents[1].selectors[1].path: no such key; there are unit, user_unit, cgroup, "
		"exe, user, adopt"),
	MISTAKE("launchers:\n  group: [a]\n",
		"2: launchers.group: no such key; there are users, groups, programs"),
	MISTAKE("hash:\n  mode: off\n  wait: 1s\n  mode: observe\n",
		"4: hash.mode: is there twice, first in line 2"),
	MISTAKE("state_dir: /x\n\nstate_dir: /x\n",
		"3: state_dir: is there twice, first in line 1"),
	MISTAKE("ring_bytes:\nmax_tags: 1\n",
		"1: ring_bytes: has no value: give one, or leave the key out"),
	MISTAKE("max_tags: ~\n", "1: max_tags: has no value: give one, or leave the key out"),
	MISTAKE("hash:\n  mode: null\n",
		"2: hash.mode: has no value: give one, or leave the key out"),
	MISTAKE("hash:\n", "1: hash: has no value: give one, or leave the key out"),

	/* shapes */
	MISTAKE("- a\n", "1: must be keys with values"),
	MISTAKE("word\n", "1: must be keys with values"),
	MISTAKE("trust_domain: [a]\n", "1: trust_domain: must be a single value"),
	MISTAKE("max_tags:\n  a: 1\n", "1: max_tags: must be a single value"),
	MISTAKE("hash: off\n", "1: hash: must be keys with values"),
	MISTAKE("agents: x\n", "1: agents: must be a list"),
	MISTAKE("agents:\n  name: x\n", "1: agents: must be a list"),
	MISTAKE("agents:\n  - x\n", "2: agents[0]: must be keys with values"),
	MISTAKE("redact:\n  flags: --a\n", "2: redact.flags: must be a list"),
	MISTAKE("redact:\n  flags: [--a, [--b]]\n", "2: redact.flags[1]: must be a single value"),

	/* values */
	MISTAKE("trust_domain: Example.org\n",
		"1: trust_domain: 'Example.org' is not lower-case letters, digits, "
		"'.', '-' and '_', at most 255"),
	MISTAKE("trust_domain: \"\"\n",
		"1: trust_domain: '' is not lower-case letters, digits, '.', '-' and "
		"'_', at most 255"),
	MISTAKE("state_dir: var/x\n",
		"1: state_dir: 'var/x' is not an absolute path without '.', '..' and empty parts"),
	MISTAKE("state_dir: /\n",
		"1: state_dir: '/' is not an absolute path without '.', '..' and empty parts"),
	MISTAKE("runtime_dir: /run/../x\n",
		"1: runtime_dir: '/run/../x' is not an absolute path without '.', '..' and "
		"empty parts"),
	MISTAKE("pin_dir: /a//b\n",
		"1: pin_dir: '/a//b' is not an absolute path without '.', '..' and empty parts"),
	MISTAKE("socket: /a/\n",
		"1: socket: '/a/' is not an absolute path without '.', '..' and empty parts"),
	MISTAKE("socket: "
		"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaa"
		"aaaaaaaaaaaaa\n",
		"1: socket: is longer than 107 bytes"),
	MISTAKE("ring_bytes: 1x\n", "1: ring_bytes: '1x' is not a size, as in 64KiB, 8MiB, 1GiB"),
	MISTAKE("ring_bytes: 8 MiB\n",
		"1: ring_bytes: '8 MiB' is not a size, as in 64KiB, 8MiB, 1GiB"),
	MISTAKE("ring_bytes: -1\n", "1: ring_bytes: '-1' is not a size, as in 64KiB, 8MiB, 1GiB"),
	MISTAKE("ring_bytes: 3MiB\n", "1: ring_bytes: '3MiB' is not a power of two"),
	MISTAKE("ring_bytes: 8KiB\n", "1: ring_bytes: '8KiB' is not between 16KiB and 1GiB"),
	MISTAKE("ring_bytes: 99999999999999999999GiB\n",
		"1: ring_bytes: '99999999999999999999GiB' is not between 16KiB and 1GiB"),
	MISTAKE("ring_bytes: 16777216TiB\n",
		"1: ring_bytes: '16777216TiB' is not between 16KiB and 1GiB"),
	MISTAKE("max_tags: 0x10\n", "1: max_tags: '0x10' is not a number"),
	MISTAKE("max_tags: 1.5\n", "1: max_tags: '1.5' is not a number"),
	MISTAKE("max_tags: 63\n", "1: max_tags: '63' is not between 64 and 4194304"),
	MISTAKE("max_tags: 18446744073709551616\n",
		"1: max_tags: '18446744073709551616' is not between 64 and 4194304"),
	MISTAKE("segment_bytes: 1KiB\n", "1: segment_bytes: '1KiB' is not between 64KiB and 4GiB"),
	MISTAKE("state_bytes: 1KiB\n", "1: state_bytes: '1KiB' is not between 128KiB and 256TiB"),
	MISTAKE("segment_bytes: 1GiB\nstate_bytes: 1GiB\n",
		"2: state_bytes: state_bytes must hold two segments at least (2 x segment_bytes)"),
	MISTAKE("segment_bytes: 1GiB\n", "1: segment_bytes: state_bytes must hold two segments at "
					 "least (2 x segment_bytes)"),
	MISTAKE("limits: {sessions: 0}\n", "1: limits.sessions: '0' is not between 1 and 65536"),
	MISTAKE("limits:\n  connections: all\n", "2: limits.connections: 'all' is not a number"),
	MISTAKE("hash:\n  mode: hodl\n", "2: hash.mode: 'hodl' is not one of off, observe"),
	MISTAKE("hash:\n  mode: hold\n",
		"2: hash.mode: 'hold' is not available in this version: use 'observe', which "
		"hashes what runs without delaying it"),
	MISTAKE("hash:\n  workers: 65\n", "2: hash.workers: '65' is not between 1 and 64"),
	MISTAKE("hash:\n  max_size: big\n",
		"2: hash.max_size: 'big' is not a size, as in 64KiB, 8MiB, 1GiB"),
	MISTAKE("hash:\n  cache_entries: 1\n",
		"2: hash.cache_entries: '1' is not between 16 and 1048576"),
	MISTAKE("hash:\n  wait: 2\n", "2: hash.wait: '2' is not a duration, as in 500ms, 2s"),
	MISTAKE("hash:\n  wait: 1m\n", "2: hash.wait: '1m' is not between 10ms and 10s"),
	MISTAKE("tpm:\n  tcti: /dev/tpm0\n",
		"2: tpm.tcti: '/dev/tpm0' is not one of device:PATH, swtpm:path=PATH (absolute), none"),
	MISTAKE("tpm:\n  tcti: device:tpm0\n",
		"2: tpm.tcti: 'device:tpm0' is not one of device:PATH, swtpm:path=PATH (absolute), none"),
	MISTAKE("tpm:\n  timeout: 1ms\n", "2: tpm.timeout: '1ms' is not between 100ms and 5m"),
	MISTAKE("tpm:\n  pcrs: sha1:0\n",
		"2: tpm.pcrs: 'sha1:0' is not a selection of the SHA-256 bank, as in sha256:0-7,10"),
	MISTAKE("tpm:\n  pcrs: sha256:0-16\n",
		"2: tpm.pcrs: 'sha256:0-16' is not a list of PCRs 0 to 15, as in sha256:0-7,10"),
	MISTAKE("tpm:\n  pcrs: 'sha256:'\n",
		"2: tpm.pcrs: 'sha256:' is not a list of PCRs 0 to 15, as in sha256:0-7,10"),
	MISTAKE("tpm:\n  pcrs: 'sha256:7-3'\n",
		"2: tpm.pcrs: 'sha256:7-3' is not a list of PCRs 0 to 15, as in sha256:0-7,10"),
	MISTAKE("tpm:\n  pcrs: 'sha256:1,'\n",
		"2: tpm.pcrs: 'sha256:1,' is not a list of PCRs 0 to 15, as in sha256:0-7,10"),
	MISTAKE("tpm:\n  ek: rsa\n",
		"2: tpm.ek: 'rsa' is not one of auto, ecc-p256, ecc-p384, rsa-2048"),
	MISTAKE("evidence:\n  lifetime: 1d\n",
		"2: evidence.lifetime: '1d' is not between 10s and 1h"),
	MISTAKE("evidence:\n  rate: 0\n", "2: evidence.rate: '0' is not between 1 and 1000000"),
	MISTAKE("launchers:\n  users: [root, no-such-user-1]\n",
		"2: launchers.users[1]: there is no user 'no-such-user-1' on this host"),
	MISTAKE("readers:\n  groups:\n    - no-such-group-1\n",
		"3: readers.groups[0]: there is no group 'no-such-group-1' on this host"),
	MISTAKE("readers:\n  users: [4294967295]\n",
		"2: readers.users[0]: there is no user '4294967295' on this host"),
	MISTAKE("redact:\n  defaults: none\n", "2: redact.defaults: 'none' is not one of on, off"),
	MISTAKE("redact:\n  flags:\n    - --a\n    - token\n",
		"4: redact.flags[1]: 'token' is not a flag: it begins with '-' and has no '='"),
	MISTAKE("redact:\n  flags: [--a=b]\n",
		"2: redact.flags[0]: '--a=b' is not a flag: it begins with '-' and has no '='"),
	MISTAKE("redact:\n  patterns: ['a(b']\n",
		"2: redact.patterns[0]: 'a(b' is not a regular expression: Unmatched ( or \\("),
	MISTAKE("redact:\n  patterns: ['a*']\n",
		"2: redact.patterns[0]: 'a*' matches the empty string"),
	MISTAKE("redact:\n  patterns: ['(a)\\1']\n",
		"2: redact.patterns[0]: '(a)\\1' is too costly: at most 256 bytes, "
		"counts that multiply to 4096, no back references"),
	MISTAKE("redact:\n  patterns: ['((a{99}){99}){99}']\n",
		"2: redact.patterns[0]: '((a{99}){99}){99}' is too "
		"costly: at most 256 bytes, counts that multiply to 4096, no back references"),

	/* agents */
	MISTAKE("agents:\n  - isolation: uid\n", "2: agents[0]: has no name"),
	MISTAKE("agents:\n  - name: a/b\n",
		"2: agents[0].name: 'a/b' is not letters, digits, '.', '-' and '_', at most 128, or is 'unknown'"),
	MISTAKE("agents:\n  - name: unknown\n",
		"2: agents[0].name: 'unknown' is not letters, digits, '.', '-' and '_', at most 128, or is 'unknown'"),
	MISTAKE("agents:\n  - name: ..\n",
		"2: agents[0].name: '..' is not letters, digits, '.', '-' and '_', at most 128, or is 'unknown'"),
	MISTAKE("agents:\n  - name: a\n  - name: b\n  - name: a\n",
		"4: agents[2].name: there is an agent 'a' already"),
	MISTAKE("agents:\n  - name: a\n    hash: {mode: hodl}\n",
		"3: agents[0].hash.mode: 'hodl' is not one of off, observe"),
	MISTAKE("agents:\n  - name: a\n  - name: b\n    hash:\n      mode: hold\n",
		"5: agents[1].hash.mode: 'hold' is not available in this version: use 'observe', "
		"which hashes what runs "
		"without delaying it"),
	MISTAKE("agents:\n  - name: a\n    isolation: landlock\n",
		"3: agents[0].isolation: 'landlock' is not one of uid "
		"(without it, each session says what it entered)"),
	MISTAKE("agents:\n  - name: a\n    isolation: uid\n",
		"3: agents[0].isolation: 'uid' needs the key 'user' beside "
		"it: the user that is this agent's alone"),
	MISTAKE("agents:\n  - name: a\n    user: nobody\n",
		"3: agents[0].user: goes with 'isolation: uid' only (to "
		"select by user, write a selector)"),
	MISTAKE("agents:\n  - name: a\n    isolation: uid\n    user: no-such-user-1\n",
		"4: agents[0].user: there is no user 'no-such-user-1' on this host"),
	MISTAKE("agents:\n  - name: a\n    isolation: uid\n    user: root\n",
		"4: agents[0].user: 'root' is root, and isolates from nobody"),
	MISTAKE("agents:\n  - {name: a, isolation: uid, user: 7}\n  - {name: b, isolation: uid, "
		"user: 7}\n",
		"3: agents[1].user: '7' is agent 'a's own user already"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - {}\n",
		"4: agents[0].selectors[0]: has none of unit, user_unit, cgroup, exe, user"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - unit: a.service\n        exe: /x\n",
		"4: agents[0].selectors[0]: has both unit and exe: make it two selectors"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - exe: /x\n        adopt: later\n",
		"5: agents[0].selectors[0].adopt: 'later' is not one of yes, no"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - adopt: no\n",
		"4: agents[0].selectors[0]: has none of unit, user_unit, cgroup, exe, user"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - unit: codex\n",
		"4: agents[0].selectors[0].unit: 'codex' is not a unit's name: it ends in "
		".service, .scope or .slice"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: system.slice\n",
		"4: agents[0].selectors[0].cgroup: "
		"'system.slice' is not a path below the root of cgroup2, as in "
		"/system.slice/agent-*.service"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: /\n",
		"4: agents[0].selectors[0].cgroup: "
		"'/' is not a path below the root of cgroup2, as in /system.slice/agent-*.service"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: /a/b?.scope\n",
		"4: agents[0].selectors[0].cgroup: '/a/b?.scope' has '?' or '[': only '*' stands "
		"for something else"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - unit: 'a[1].service'\n",
		"4: agents[0].selectors[0].unit: 'a[1].service' has '?' or '[': only '*' stands "
		"for something else"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: /a/b*c*d*\n",
		"4: agents[0].selectors[0].cgroup: '/a/b*c*d*' has more than two '*' in one "
		"component"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: /a/b**\n",
		"4: agents[0].selectors[0].cgroup: '/a/b**' has '**' beside other bytes: it stands "
		"alone between two '/'"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: /a/**\n",
		"4: agents[0].selectors[0].cgroup: '/a/**' ends in '**': what is below a cgroup "
		"that matches belongs to it anyway"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - cgroup: "
		"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17\n",
		"4: agents[0].selectors[0].cgroup: "
		"'/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17' has more than 16 components"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - unit: a/b.service\n",
		"4: agents[0].selectors[0].unit: 'a/b.service' is not a unit's name: it has a '/'"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user_unit: {user: root}\n",
		"4: agents[0].selectors[0].user_unit: needs both user and unit"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user_unit:\n          user: "
		"no-such-user-1\n          unit: a.service\n",
		"5: agents[0].selectors[0].user_unit.user: there is no user 'no-such-user-1' on "
		"this host"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user_unit:\n          user: 7\n"
		"          unit: a.timer\n",
		"6: agents[0].selectors[0].user_unit.unit: 'a.timer' is not a unit's name: it ends "
		"in .service, .scope or .slice"),
	MISTAKE("agents:\n  - name: a\n    selectors: [{user_unit: {user: 7, unit: a.scope}}]\n"
		"  - name: b\n    selectors: [{user_unit: {user: 7, unit: a.scope}}]\n",
		"5: agents[1].selectors[0].user_unit: '7 a.scope' is a selector of agent 'a' "
		"already"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user_unit: {user: root, unit: "
		"a.scope}\n      - user_unit: {user: 0, unit: a.scope}\n",
		"5: agents[0].selectors[1].user_unit: '0 a.scope' is a selector of agent 'a' "
		"already"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - exe: bin/x\n",
		"4: agents[0].selectors[0].exe: 'bin/x' is not the absolute path of one file"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - exe: /opt/*/x\n",
		"4: agents[0].selectors[0].exe: '/opt/*/x' is not the absolute path of one file"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user: no-such-user-1\n",
		"4: agents[0].selectors[0].user: there is no user 'no-such-user-1' on this host"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user: 0\n",
		"4: agents[0].selectors[0].user: '0' is root, who runs the host: select by unit, "
		"cgroup or exe"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - exe: /x\n  - name: b\n    "
		"selectors:\n      - exe: /x\n",
		"7: agents[1].selectors[0].exe: '/x' is a selector of agent 'a' already"),
	MISTAKE("agents:\n  - name: a\n    selectors:\n      - user: 7\n      - user: 7\n",
		"5: agents[0].selectors[1].user: '7' is a selector of agent 'a' already"),
};

/* The kernel has room for so many, of all agents together. */
static void test_patterns(void **state)
{
	_cleanup_free_ char *text = malloc(65536);
	_cleanup_(config_freep) struct config *c = NULL;
	size_t len = sprintf(text, "agents:\n  - name: a\n    selectors:\n");

	(void)state;
	for (int i = 0; i < PATTERNS_MAX - 1; i++)
		len += sprintf(text + len, "      - cgroup: /a/%d-*\n", i);
	len += sprintf(text + len, "      - exe: /x\n");
	len += sprintf(text + len, "  - name: b\n    selectors:\n      - unit: a.service\n");
	c = load(text);
	assert_int_equal(c->patterns_count, PATTERNS_MAX);
	for (int i = 0; i < PATTERNS_MAX - 1; i++)
		assert_int_equal(c->agents[0].selectors[i].pattern->selector,
				 c->agents[0].selectors[i].id);
	assert_null(c->agents[0].selectors[PATTERNS_MAX - 1].pattern);
	len += sprintf(text + len, "      - unit: b.service\n");
	expect_mistake(text, len,
		       "affiant.yaml:71: agents[1].selectors[1].unit: more than 64 of unit, "
		       "user_unit and cgroup in all");
}

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++)
		expect_mistake(mistakes[i].text, mistakes[i].len, mistakes[i].want);
}

static void test_too_much(void **state)
{
	_cleanup_free_ char *text = malloc(1100000);
	size_t len = 0;

	(void)state;
	memset(text, '#', 1100000);
	expect_mistake(text, 1048577, "affiant.yaml:1: longer than 1048576 bytes");

	len = sprintf(text, "trust_domain: ");
	memset(text + len, 'a', 5000);
	expect_mistake(text, len + 5000, "affiant.yaml:1: trust_domain: is longer than 4096 bytes");

	len = sprintf(text, "agents:\n");
	for (int i = 0; i < 1025; i++)
		len += sprintf(text + len, "  - name: a%d\n", i);
	expect_mistake(text, len, "affiant.yaml:1: agents: has more than 1024 entries");

	len = sprintf(text, "agents:\n");
	for (int i = 0; i < 80000; i++)
		len += sprintf(text + len, "- a\n");
	expect_mistake(text, len, "affiant.yaml:16385: more than 16384 keys");

	len = sprintf(text, "agents:\n  - name: a\n    selectors:\n");
	for (int i = 0; i < 65; i++)
		len += sprintf(text + len, "      - exe: /x/%d\n", i);
	expect_mistake(text, len, "affiant.yaml:3: agents[0].selectors: has more than 64 entries");

	len = sprintf(text, "agents:\n");
	for (int a = 0; a < 65; a++) {
		len += sprintf(text + len, "  - name: a%d\n    selectors:\n", a);
		for (int i = 0; i < 64; i++)
			len += sprintf(text + len, "      - exe: /x/%d/%d\n", a, i);
	}
	expect_mistake(
		text, len,
		"affiant.yaml:4228: agents[64].selectors[0]: more than 4096 selectors in all");
}

static void test_defaults(void **state)
{
	_cleanup_(config_freep) struct config *c = load("# nothing\n");

	(void)state;
	assert_string_equal(c->trust_domain, "affiant.invalid");
	assert_string_equal(c->state_dir, "/var/lib/affiant");
	assert_string_equal(c->runtime_dir, "/run/affiant");
	assert_string_equal(c->pin_dir, "/sys/fs/bpf/affiant");
	assert_string_equal(c->socket, "/run/affiant/affiant.sock");
	assert_string_equal(c->tpm.tcti, "device:/dev/tpmrm0");
	assert_int_equal(c->tpm.pcrs, 0x4fff);
	assert_int_equal(c->ring_bytes, 0);
	assert_int_equal(c->max_tags, 65536);
	assert_int_equal(c->segment_bytes, 64 << 20);
	assert_int_equal(c->state_bytes, 1 << 30);
	assert_int_equal(c->hash.mode, CONFIG_HASH_OBSERVE);
	assert_int_equal(c->hash.max_size, 0);
	assert_int_equal(c->hash.wait_ns, 2000000000);
	assert_true(c->any_agent);
	assert_true(c->redact.usual);
	assert_int_equal(c->redact.flags_count + c->redact.patterns_count, 0);
	assert_int_equal(c->launchers.users_count, 0);
}

static void test_everything(void **state)
{
	_cleanup_(config_freep) struct config *c = load(
		"trust_domain: example.org\nstate_dir: /s\nruntime_dir: /r\npin_dir: /p\n"
		"ring_bytes: 64KiB\nmax_tags: 100\nsegment_bytes: 1MiB\nstate_bytes: 2MiB\n"
		"hash: {mode: off, workers: 3, max_size: 1GiB, cache_entries: 17, wait: 1s500ms}\n"
		"redact: {defaults: off, flags: [--pin], patterns: ['pin=([0-9]+)']}\n"
		"launchers: {users: [12, nobody], groups: [13]}\nreaders: {}\n"
		"limits: {sessions: 5, connections: 64, udp_flows: 7}\n"
		"tpm: {tcti: 'swtpm:path=/run/x', timeout: 1s, pcrs: 'sha256:0,2-4', ek: rsa-2048}\n"
		"evidence: {lifetime: 1m, rate: 2, burst: 3}\n"
		"agents:\n"
		"  - name: a\n    hash: {mode: observe}\n    selectors: [{unit: 'a-*.service'}, "
		"{user: 14, adopt: no}, {exe: /x, adopt: yes}]\n"
		"  - {name: B.c, isolation: uid, user: 15}\n");
	const struct config_agent *a;

	(void)state;
	assert_string_equal(c->trust_domain, "example.org");
	assert_string_equal(c->socket, "/r/affiant.sock");
	assert_int_equal(c->ring_bytes, 65536);
	assert_int_equal(c->max_tags, 100);
	assert_int_equal(c->segment_bytes, 1 << 20);
	assert_int_equal(c->state_bytes, 2 << 20);
	assert_int_equal(c->hash.mode, CONFIG_HASH_OFF);
	assert_int_equal(c->hash.workers, 3);
	assert_int_equal(c->hash.max_size, 1 << 30);
	assert_int_equal(c->hash.cache_entries, 17);
	assert_int_equal(c->hash.wait_ns, 1500000000);
	assert_false(c->redact.usual);
	assert_int_equal(c->redact.flags_count, 1);
	assert_string_equal(c->redact.flags[0], "--pin");
	assert_int_equal(c->redact.patterns_count, 1);
	assert_int_equal(c->launchers.users_count, 2);
	assert_int_equal(c->launchers.users[0], 12);
	assert_int_equal(c->launchers.groups[0], 13);
	assert_int_equal(c->readers.users_count + c->readers.groups_count, 0);
	assert_string_equal(c->tpm.tcti, "swtpm:path=/run/x");
	assert_int_equal(c->tpm.timeout_ns, 1000000000);
	assert_int_equal(c->tpm.pcrs, 0x1d);
	assert_int_equal(c->tpm.ek, CONFIG_EK_RSA_2048);
	assert_int_equal(c->evidence.lifetime_ns, 60000000000);
	assert_int_equal(c->evidence.rate, 2);
	assert_int_equal(c->evidence.burst, 3);
	assert_int_equal(c->limits.sessions, 5);
	assert_int_equal(c->limits.connections, 64);
	assert_int_equal(c->limits.udp_flows, 7);
	assert_false(c->any_agent);
	assert_int_equal(c->agents_count, 2);
	assert_int_equal(c->selectors_count, 3);

	a = config_agent(c, "a");
	assert_ptr_equal(a, &c->agents[0]);
	assert_false(a->own_user);
	assert_int_equal(a->hash, CONFIG_HASH_OBSERVE);
	assert_string_equal(a->selectors[0].words, "unit a-*.service");
	assert_int_equal(a->selectors[1].uid, 14);
	assert_true(a->selectors[1].exec_only && !a->selectors[2].exec_only);
	a = config_agent(c, "B.c");
	assert_true(a->own_user);
	assert_int_equal(a->uid, 15);
	assert_int_equal(a->hash, CONFIG_HASH_OFF);
	assert_null(config_agent(c, "b.c"));
}

/* Tags outlive the daemon: the number of a selector must not depend on what stands around it. */
static void test_selector_numbers(void **state)
{
	_cleanup_(config_freep) struct config *one =
		load("agents: [{name: a, selectors: [{exe: /x}, {exe: /y}]}]\n");
	_cleanup_(config_freep) struct config *two = load(
		"agents: [{name: n, selectors: [{user: 9}]}, {name: a, selectors: [{exe: /y}]}]\n");
	const struct config_agent *agent = NULL;
	uint32_t id = one->agents[0].selectors[1].id;

	(void)state;
	assert_int_not_equal(one->agents[0].selectors[0].id, id);
	assert_ptr_equal(config_selector(two, id, &agent), &two->agents[1].selectors[0]);
	assert_ptr_equal(agent, &two->agents[1]);
	assert_null(config_selector(two, one->agents[0].selectors[0].id, &agent));
}

static void test_drop_ins(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct sha256 want;

	(void)state;
	write_drop_in("b.yaml", "agents: [{name: b}]\n");
	write_drop_in("a.yaml", "agents: [{name: a}]\n");
	write_drop_in("B.yaml", "# none\n");
	write_drop_in(".c.yaml", "agents: [{name: hidden}]\n");
	write_drop_in("d.yaml.dpkg-new", "agents: [{name: other}]\n");
	c = load("agents: [{name: main}]\n");
	assert_int_equal(c->agents_count, 3);
	assert_string_equal(c->agents[0].name, "main");
	assert_string_equal(c->agents[1].name, "a");
	assert_string_equal(c->agents[2].name, "b");
	assert_int_equal(sha256_of("agents: [{name: main}]\n# none\nagents: [{name: a}]\nagents: "
				   "[{name: b}]\n",
				   70, &want),
			 0);
	assert_memory_equal(c->digest.bytes, want.bytes, SHA256_SIZE);

	write_drop_in("z.yaml", "trust_domain: evil.org\n");
	expect_mistake("", 0, "conf.d/z.yaml:1: trust_domain: no such key; there are agents");
	write_drop_in("z.yaml", "# x\nagents:\n  - name: b\n");
	expect_mistake("", 0, "conf.d/z.yaml:3: agents[0].name: there is an agent 'b' already");
	remove_drop_ins();
}

static void test_files(void **state)
{
	struct config *c = NULL;
	char *why = NULL, path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/absent", directory);
	assert_int_equal(config_load(path, NULL, &c, &why), -ENOENT);
	assert_non_null(strstr(why, "absent: No such file or directory"));
	free(why);

	assert_int_equal(config_load(directory, NULL, &c, &why), -EINVAL);
	assert_non_null(strstr(why, ": is not a file"));
	free(why);

	write_file(file, "", 0);
	assert_int_equal(chmod(file, 0666), 0);
	assert_int_equal(config_load(file, NULL, &c, &why), -EPERM);
	assert_non_null(
		strstr(why, "can be written by others than its owner (mode 0666): chmod go-w it"));
	free(why);
	assert_int_equal(chmod(file, 0644), 0);

	write_drop_in("a.yaml", "");
	snprintf(path, sizeof(path), "%s/conf.d", directory);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(config_load(file, NULL, &c, &why), -EPERM);
	assert_non_null(strstr(
		why, "conf.d: can be written by others than its owner (mode 0777): chmod go-w it"));
	free(why);
	remove_drop_ins();

	/* Who may write to the directory puts another file there. */
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(config_load(file, NULL, &c, &why), -EPERM);
	assert_non_null(strstr(why, "(mode 0777): chmod go-w it"));
	assert_null(strstr(why, ".yaml"));
	free(why);
	assert_int_equal(chmod(directory, 0700), 0);

	if (geteuid() == 0) {
		assert_int_equal(chown(file, 1234, 0), 0);
		assert_int_equal(config_load(file, NULL, &c, &why), -EPERM);
		assert_non_null(strstr(why, "belongs to user 1234: chown it to root"));
		free(why);
		assert_int_equal(unlink(file), 0);
	}
	assert_null(c);
}

static void test_paths(void **state)
{
	const struct config_paths paths = {
		.state_dir = "/tmp/s", .runtime_dir = "/tmp/r", .pin_dir = "/tmp/p"};
	const struct config_paths with_socket = {.runtime_dir = "/tmp/r", .socket = "/tmp/x"};
	const struct config_paths relative = {.pin_dir = "p"};
	struct config *c = NULL;
	char *why = NULL;

	(void)state;
	config_free(load("runtime_dir: /a\nsocket: /b/c\nstate_dir: /d\npin_dir: /e\n"));
	assert_int_equal(config_load(file, &paths, &c, &why), 0);
	assert_string_equal(c->state_dir, "/tmp/s");
	assert_string_equal(c->pin_dir, "/tmp/p");
	assert_string_equal(c->socket, "/tmp/r/affiant.sock");
	config_free(c);
	assert_int_equal(config_load(file, &with_socket, &c, &why), 0);
	assert_string_equal(c->state_dir, "/d");
	assert_string_equal(c->socket, "/tmp/x");
	config_free(c);
	assert_int_equal(config_load(file, &relative, &c, &why), -EINVAL);
	assert_string_equal(why, "--pin-dir: 'p' is not an absolute path");
	free(why);
}

static void test_sample(void **state)
{
	_cleanup_free_ char *text = calloc(1, 65536);
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_fclose_ FILE *f = fopen(TEST_DATA "/../../packaging/affiant.yaml", "r");

	(void)state;
	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 1000);
	c = load(text);
	assert_string_equal(c->trust_domain, "affiant.invalid");
}

#define POD "2fc932ce_fdcc_454b_97bd_aadfdeb4c340"
#define POD_PLAIN "8daa50c3a64c9ff60bb9eab7b44b56fd" /* of a static pod */
#define CONTAINER "aaefb9d8feed2d453b543f6d928cede7a4dbefa6a0ae7c9b990dd234c56e93b9"

/* The leaves that kubelet and its runtimes make. */
static const char *const containers[] = {
	"/kubepods.slice/kubepods-pod" POD ".slice/cri-containerd-" CONTAINER ".scope",
	"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD
	".slice/cri-containerd-" CONTAINER ".scope",
	"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_PLAIN
	".slice/cri-containerd-" CONTAINER ".scope",
	"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD
	".slice/cri-containerd-" CONTAINER ".scope",
	"/kubepods.slice/kubepods-pod" POD ".slice/crio-" CONTAINER ".scope",
	"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD
	".slice/crio-" CONTAINER ".scope",
	"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD
	".slice/crio-" CONTAINER ".scope",
	"/kubepods/podc6cd1b1e-92df-11e7-b27e-507b9d4141fa/" CONTAINER,
	"/kubepods/burstable/pod941dc160-92df-11e7-b27e-507b9d4141fa/" CONTAINER,
	"/kubepods/besteffort/pod" POD_PLAIN "/" CONTAINER,
};

/* The cgroup itself, not one above it; all is root's. */
static bool is_taken(const struct config_agent *a, const char *path)
{
	for (size_t i = 0; i < a->selectors_count; i++) {
		const struct pattern *p = a->selectors[i].pattern;
		struct pattern_step s = {.from = pattern_start(p), .by_root = 1};

		for (const char *at = path; *at; at += s.len) {
			s.len = strcspn(++at, "/");
			memcpy(s.name, at, s.len);
			pattern_step(p, &s);
			if (pattern_matched(p, &s) && !at[s.len])
				return true;
			s.from = pattern_matched(p, &s) ? 0 : s.to;
		}
	}
	return false;
}

/*
 * What the sample shows commented out is taken as well: a line whose "#" is not followed by just
 * one blank.
 */
static void test_sample_uncommented(void **state)
{
	_cleanup_free_ char *text = calloc(1, 65536);
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_fclose_ FILE *f = fopen(TEST_DATA "/../../packaging/affiant.yaml", "r");
	size_t len = 0;
	char line[512];

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		bool comment =
			line[0] == '#' && (line[1] == '\n' || (line[1] == ' ' && line[2] != ' '));

		if (!comment)
			len += snprintf(text + len, 65536 - len, "%s", line + (line[0] == '#'));
	}
	c = load(text);
	assert_true(c->agents_count >= 2);
	assert_true(c->selectors_count >= 4);
	for (size_t i = 0; i < sizeof(containers) / sizeof(*containers); i++)
		if (!is_taken(config_agent(c, "pods"), containers[i]))
			fail_msg("the sample does not take %s", containers[i]);
	assert_false(is_taken(config_agent(c, "pods"), "/kubepods.slice"));
	assert_false(is_taken(config_agent(c, "pods"), "/system.slice/kubelet.service"));
	assert_false(is_taken(config_agent(c, "pods"), "/kubepods/burstable"));
}

static void test_check(void **state)
{
	_cleanup_free_ char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	write_file(file, "hash: {mode: hodl}\n", 19);
	assert_int_equal(config_check(file, f), -EBADMSG);
	write_file(file, "agents: [{name: a}]\n", 20);
	assert_int_equal(config_check(file, f), 0);
	fclose(f);
	assert_non_null(
		strstr(out, "/affiant.yaml:1: hash.mode: 'hodl' is not one of off, observe\n"));
	assert_non_null(strstr(
		out, "good: trust domain affiant.invalid, agents: 1, selectors: 0, SHA-256 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_selector_numbers),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_drop_ins),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_sample_uncommented),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
