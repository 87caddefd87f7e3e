/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/scriptarg.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/credentials.h"
#include "scratch.h"

static char dir[] = "/tmp/affiant-scriptarg-XXXXXX";

static struct {
	struct event_exec e;
	char data[EVENT_DATA_MAX];
} event;

/* @command: the executable's name, then argv, separated by single spaces. */
static const struct event_exec *event_of(const char *exe, const char *command, const char *cwd)
{
	char copy[256], *part[16], *at = event.e.data;
	int parts = 0;

	memset(&event, 0, sizeof(event));
	event.e.header.type = EVENT_EXEC;
	at = stpcpy(at, exe) + 1;
	at = stpcpy(at, "bin") + 1;
	event.e.exe_len = at - event.e.data;
	snprintf(copy, sizeof(copy), "%s", cwd);
	for (char *save, *word = strtok_r(copy, "/", &save); word;
	     word = strtok_r(NULL, "/", &save))
		part[parts++] = word;
	while (parts-- > 0)
		at = stpcpy(at, part[parts]) + 1;
	at = stpcpy(at, "/") + 1;
	event.e.cwd_len = at - event.e.data - event.e.exe_len;
	for (const char *c = command; *c; c++)
		*at++ = *c == ' ' ? '\0' : *c;
	event.e.argv_len = strlen(command) + 1;
	return &event.e;
}

static void test_names(void **state)
{
	static const struct {
		const char *exe, *command, *script;
	} cases[] = {
		{"python3.11", "python3 agent.py", "agent.py"},
		{"python3.11", "python3 agent.py -c other.py", "agent.py"},
		{"python3.11", "python3 -u -X dev agent.py", "agent.py"},
		{"python3.11", "python3 -Xdev -Wignore -uB agent.py", "agent.py"},
		{"python3.11", "python3 -uW ignore agent.py", "agent.py"},
		{"python3.11", "python3 --check-hash-based-pycs always agent.py", "agent.py"},
		{"python3.11", "python3 --check-hash-based-pycs=always agent.py", "agent.py"},
		{"python3.11", "python3 -- -odd.py", "-odd.py"},
		{"python3.11", "python3 -m mod agent.py", NULL},
		{"python3.11", "python3 -um mod", NULL},
		{"python3.11", "python3 -c print(1) agent.py", NULL},
		{"python3.11", "python3 - agent.py", NULL},
		{"python3.11", "python3", NULL},
		{"python3.11", "python3 -X", NULL},
		{"python3.11", "python3 --version agent.py", NULL},
		{"python3.11", "python3 -Y agent.py", NULL},
		{"python2.7", "python agent.py", "agent.py"},
		{"pythonista", "python agent.py", NULL},
		{"bash", "bash x.sh arg", "x.sh"},
		{"bash", "bash -ex x.sh", "x.sh"},
		{"bash", "bash -o pipefail x.sh", "x.sh"},
		{"bash", "bash -eo pipefail x.sh", "x.sh"},
		{"bash", "bash +O extglob --rcfile rc --norc x.sh", "x.sh"},
		{"bash", "bash -c x.sh", NULL},
		{"bash", "bash -ec x.sh", NULL},
		{"bash", "bash -s x.sh", NULL},
		{"bash", "-bash", NULL},
		{"dash", "sh -e x.sh", "x.sh"},
		{"dash", "sh -c true", NULL},
		{"zsh", "zsh -f x.zsh", "x.zsh"},
		{"busybox", "sh x.sh", "x.sh"},
		{"busybox", "busybox sh -c x.sh", NULL},
		{"busybox", "busybox ash x.sh", "x.sh"},
		{"busybox", "ls x.sh", NULL},
		{"busybox", "busybox", NULL},
		{"node", "node app.js", "app.js"},
		{"node", "node --max-old-space-size=4096 --require ./pre.js app.js", "app.js"},
		{"node", "node -r ./pre.js app.js", "app.js"},
		{"node", "node inspect app.js", "app.js"},
		{"node", "node -e 1 app.js", NULL},
		{"node", "node --eval 1 app.js", NULL},
		{"node", "node --eval=1 app.js", NULL},
		{"nodejs", "nodejs app.js", "app.js"},
		{"perl", "perl -w -Ilib x.pl", "x.pl"},
		{"perl", "perl -I lib x.pl", "x.pl"},
		{"perl5.36.0", "perl -Mstrict -ne1 x.pl", NULL},
		{"perl", "perl -pi.bak x.pl", "x.pl"},
		{"ruby", "ruby -w -r json x.rb", "x.rb"},
		{"ruby3.1", "ruby -wrjson x.rb", "x.rb"},
		{"ruby", "ruby -e 1 x.rb", NULL},
		{"php8.2", "php -d a=b x.php", "x.php"},
		{"php8.2", "php -f x.php", "x.php"},
		{"php8.2", "php --file=x.php", "x.php"},
		{"php8.2", "php -r 1 x.php", NULL},
		{"lua5.4", "lua -l mod x.lua", "x.lua"},
		{"java", "java -cp a:b -jar x.jar", "x.jar"},
		{"java", "java -Xmx1g -Da=b Main.java", "Main.java"},
		{"java", "java -cp a:b com.example.Main x.jar", NULL},
		{"java", "java --module-path p -m mod x.java", NULL},
		{"deno", "deno run --allow-net main.ts", "main.ts"},
		{"deno", "deno run -A --config c.json main.ts", "main.ts"},
		{"deno", "deno fmt main.ts", NULL},
		{"deno", "deno run https://example.org/x.ts", NULL},
		{"bun", "bun run index.ts", "index.ts"},
		{"bun", "bun install", NULL},
		{"ld-linux-x86-64.so.2", "ld.so --library-path /x ./prog", "./prog"},
		{"ld-linux-x86-64.so.2", "ld.so ./prog", "./prog"},
		{"ls", "ls x.py", NULL},
		{"node", "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *found = scriptarg_name(event_of(cases[i].exe, cases[i].command, "/"));

		if (!cases[i].script != !found || (found && strcmp(found, cases[i].script) != 0))
			fail_msg("%s (%s): %s", cases[i].command, cases[i].exe,
				 found ? found : "none");
	}
}

/* An argv that was cut ends somewhere: what is not there to its end is not there. */
static void test_cut(void **state)
{
	static const char command[] = "python3 -u -X dev agent.py";
	const struct event_exec *e;
	const char *found;

	(void)state;
	for (size_t len = 0; len <= sizeof(command); len++) {
		e = event_of("python3", command, "/");
		event.e.argv_len = len;
		/* Bytes after it are not argv's. */
		memset(event.e.data + e->exe_len + e->cwd_len + len, 'A', 64);
		found = scriptarg_name(e);
		if (len < sizeof(command))
			assert_null(found);
		else
			assert_string_equal(found, "agent.py");
	}
	event_of("python3", command, "/");
	event.e.exe_len = 0;
	assert_null(scriptarg_name(&event.e));
}

static const char *path_of(const char *name)
{
	static char path[8][PATH_MAX];
	static unsigned int turn;
	char *p = path[turn++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void make(const char *name, mode_t mode)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, name, strlen(name)), strlen(name));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static uint64_t start_of(pid_t pid)
{
	const uint64_t tick = 1000000000u / sysconf(_SC_CLK_TCK);
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long start;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(
		fscanf(f,
		       "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
		       "%*d %*d %llu",
		       &start),
		1);
	return start * tick + tick / 2;
}

/* A process that waits, with that user, group, supplementary group and root. */
static pid_t someone(uid_t uid, gid_t gid, gid_t group, const char *root)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if ((root && chroot(root) < 0) ||
		    (uid && (setgroups(1, &group) < 0 || setgid(gid) < 0 || setuid(uid) < 0)))
			_exit(1);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int try_open(pid_t pid, const char *cwd, const char *name)
{
	struct scriptarg *s = NULL;
	int r;

	event_of("python3", "python3 x", cwd);
	event.e.header.actor.tgid = pid;
	event.e.header.actor.start_boottime = start_of(pid);
	assert_int_equal(scriptarg_new(&event.e, name, &s), 0);
	r = scriptarg_open(s);
	scriptarg_free(s);
	return r;
}

static void check_open(pid_t pid, const char *cwd, const char *name, const char *content)
{
	_cleanup_close_ int fd = try_open(pid, cwd, name);
	char text[64] = "";

	if (fd < 0)
		fail_msg("%s: %s", name, strerror(-fd));
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, content);
}

static void need_root(void)
{
	struct credentials c = {.uid = 4711, .gid = 4711};
	struct credentials_saved saved;

	if (credentials_assume(&c, &saved) < 0) {
		print_message("needs CAP_SETUID and CAP_SETGID\n");
		skip();
	}
	credentials_restore(&saved);
}

static void test_paths(void **state)
{
	pid_t pid, jailed;

	(void)state;
	need_root();
	pid = someone(0, 0, 0, NULL);
	make("a.py", 0644);
	assert_int_equal(symlink("a.py", path_of("link.py")), 0);
	check_open(pid, dir, "a.py", "a.py");
	check_open(pid, dir, "./a.py", "a.py");
	check_open(pid, path_of("sub"), "../a.py", "a.py");
	check_open(pid, "/", path_of("a.py"), "a.py");
	check_open(pid, dir, "link.py", "a.py");
	assert_int_equal(try_open(pid, dir, "none.py"), -ENOENT);
	assert_int_equal(try_open(pid, dir, "sub"), -EINVAL);
	assert_int_equal(try_open(pid, dir, "/dev/zero"), -EINVAL);
	/* Would wait for a writer. */
	assert_int_equal(mkfifo(path_of("fifo.py"), 0644), 0);
	assert_int_equal(try_open(pid, dir, "fifo.py"), -EINVAL);
	/* Magic links lead out of any root. */
	assert_int_equal(try_open(pid, "/", "/proc/self/exe"), -ELOOP);
	finish(pid);

	/* Another root: nothing above it can be reached, by name or by link. */
	make("sub/inside.py", 0644);
	assert_int_equal(symlink("/inside.py", path_of("sub/abs.py")), 0);
	assert_int_equal(symlink("../../../../../../inside.py", path_of("sub/up.py")), 0);
	jailed = someone(0, 0, 0, path_of("sub"));
	check_open(jailed, "/", "inside.py", "sub/inside.py");
	check_open(jailed, "/", "abs.py", "sub/inside.py");
	check_open(jailed, "/", "up.py", "sub/inside.py");
	check_open(jailed, "/", "../inside.py", "sub/inside.py");
	assert_int_equal(try_open(jailed, "/", "../a.py"), -ENOENT);
	assert_int_equal(try_open(jailed, "/", path_of("a.py")), -ENOENT);
	finish(jailed);
}

/* What the agent can't read itself is not read for it. */
static void test_rights(void **state)
{
	pid_t nobody, member, root;

	(void)state;
	need_root();
	nobody = someone(65534, 65534, 65534, NULL);
	member = someone(65534, 65534, 4242, NULL);
	root = someone(0, 0, 0, NULL);
	make("open.py", 0644);
	make("secret.py", 0600);
	make("group.py", 0640);
	assert_int_equal(chown(path_of("group.py"), 0, 4242), 0);
	make("own.py", 0400);
	assert_int_equal(chown(path_of("own.py"), 65534, 0), 0);
	assert_int_equal(mkdir(path_of("closed"), 0700), 0);
	make("closed/x.py", 0644);
	assert_int_equal(chmod(dir, 0755), 0);

	check_open(nobody, dir, "open.py", "open.py");
	check_open(nobody, dir, "own.py", "own.py");
	assert_int_equal(try_open(nobody, dir, "secret.py"), -EACCES);
	assert_int_equal(try_open(nobody, dir, "group.py"), -EACCES);
	assert_int_equal(try_open(nobody, dir, "closed/x.py"), -EACCES);
	check_open(member, dir, "group.py", "group.py");
	check_open(root, dir, "secret.py", "secret.py");
	check_open(root, dir, "own.py", "own.py"); /* by its CAP_DAC_OVERRIDE */
	/* And we are what we were. */
	assert_int_equal(access(path_of("secret.py"), R_OK), 0);
	check_open(root, dir, "closed/x.py", "closed/x.py");
	finish(nobody);
	finish(member);
	finish(root);
}

static void test_gone(void **state)
{
	struct scriptarg *s = NULL;
	pid_t pid;

	(void)state;
	need_root();
	pid = someone(0, 0, 0, NULL);
	event_of("python3", "python3 x", dir);
	event.e.header.actor.tgid = pid;
	event.e.header.actor.start_boottime = start_of(pid);
	assert_int_equal(scriptarg_new(&event.e, "a.py", &s), 0);
	finish(pid);
	assert_int_equal(scriptarg_open(s), -ESRCH);
	scriptarg_free(s);
	assert_int_equal(scriptarg_new(&event.e, "a.py", &s), -ESRCH);

	/* The pid is another's now. */
	event.e.header.actor.tgid = getpid();
	event.e.header.actor.start_boottime = start_of(getpid()) - 1000000000;
	assert_int_equal(scriptarg_new(&event.e, "a.py", &s), 0);
	assert_int_equal(scriptarg_open(s), -ESRCH);
	scriptarg_free(s);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) && mkdir(path_of("sub"), 0755) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return scratch_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_paths), cmocka_unit_test(test_rights),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests_name("scriptarg", tests, make_dir, remove_dir);
}
