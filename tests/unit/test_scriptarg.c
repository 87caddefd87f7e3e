/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/scriptarg.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/answers.h"
#include "collect/credentials.h"
#include "collect/procroot.h"
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
		{"python3.11", "python3 --check-hash-based-pycs=always agent.py", NULL},
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
		{"bash", "bash --rcfile rc --norc +O extglob x.sh", "x.sh"},
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
		/* The debugger runs in this process, the script in another. */
		{"node", "node inspect app.js", NULL},
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
		/* Python's names; its two kinds of value */
		{"python3.13t", "python3.13t a.py", "a.py"},
		{"python3.14td", "python3.14td -X gil=0 a.py", "a.py"},
		{"python3.13-nogil", "python3 a.py", "a.py"},
		{"python3.6m", "python3 a.py", "a.py"},
		{"python3.13x", "python3 a.py", NULL},
		{"pythont", "python a.py", NULL},
		{"pypy3.9", "pypy3 -X jit-off --jit off a.py", "a.py"},
		{"python2.7", "python -3 -Qnew a.py", "a.py"},
		{"python3.11", "python3 -3 a.py", NULL},
		{"python3.11", "python3 -I -X utf8 -W ignore a.py x", "a.py"},
		{"python3.11", "python3 -Ic code a.py", NULL},
		{"python3.11", "python3 -Wc a.py", "a.py"},
		{"python3.11", "python3 -W -c a.py", NULL},
		{"python3.11", "python3 --help-all a.py", NULL},
		{"python3.11", "python3 -h a.py", NULL},
		{"python3.11", "python3 -? a.py", NULL},
		{"python3.11", "python3 --unknown a.py", NULL},
		{"python3.11", "python3 -- - a.py", NULL},
		{"python3.11", "python3  a.py", NULL},
		{"python3.11", "python3 -X  a.py", NULL},
		{"python3.11", "python3 .", NULL},
		{"python3.11", "python3 dir/", NULL},
		{"python3.11", "python3 /", NULL},
		{"python3.11", "python3 dir/..", NULL},
		{"python3.11", "python3 ./a.py", "./a.py"},
		{"python3.11", "python3 .a", ".a"},
		{"python3.11", "python3 +x a.py", "+x"},

		/* Shells: each o takes an argument; c and s wherever they stand */
		{"bash", "bash -oe pipefail a.sh", "a.sh"},
		{"bash", "bash -oo errexit pipefail a.sh", "a.sh"},
		{"bash", "bash -oOe errexit extglob a.sh", "a.sh"},
		{"bash", "bash -oopipefail a.sh", NULL},
		{"bash", "bash -O extglob a.sh", "a.sh"},
		{"bash", "bash +O extglob +e a.sh", "a.sh"},
		{"bash", "bash +oe errexit a.sh", "a.sh"},
		{"bash", "bash + a.sh", "a.sh"},
		{"bash", "bash +c a.sh", NULL},
		{"bash", "bash - a.sh", "a.sh"},
		{"bash", "bash -e - a.sh", "a.sh"},
		{"bash", "bash -- - a.sh", NULL},
		{"bash", "bash -- -odd.sh", "-odd.sh"},
		{"bash", "bash -o", NULL},
		{"bash", "bash -oe", NULL},
		{"bash", "bash -oe pipefail", NULL},
		{"bash", "bash -lc code a.sh", NULL},
		{"bash", "bash -cl code a.sh", NULL},
		{"bash", "bash -oc pipefail code a.sh", NULL},
		{"bash", "bash -es a.sh", NULL},
		{"bash", "bash -n a.sh", NULL},
		{"bash", "bash -norc a.sh b.sh c.sh", "a.sh"},
		{"bash", "bash -noprofile a.sh b.sh c.sh", "a.sh"},
		{"bash", "bash -e -norc a.sh b.sh c.sh d.sh", NULL},
		{"bash", "bash -rcfile rc a.sh", "a.sh"},
		{"bash", "bash --rcfile=rc a.sh", NULL},
		{"bash", "bash --rcfile lib.sh -i", NULL},
		{"bash", "bash -x --norc a.sh", NULL},
		{"bash", "bash --norc --noprofile -x a.sh", "a.sh"},
		{"bash", "bash --pretty-print a.sh", NULL},
		{"bash", "bash --unknown a.sh", NULL},
		{"bash", "bash -Z a.sh", NULL},
		{"dash", "sh -oe errexit a.sh", "a.sh"},
		{"dash", "sh --norc a.sh", NULL},
		{"sh", "sh -eo errexit a.sh", "a.sh"},
		{"sh", "sh -oe errexit a.sh", NULL},
		{"sh", "sh -s a.sh", NULL},
		{"busybox", "/bin/sh -oe errexit x.sh", "x.sh"},
		{"zsh5", "zsh -oerrexit a.zsh", "a.zsh"},
		{"zsh", "zsh -oe errexit a.zsh", "errexit"},
		{"zsh", "zsh --emulate sh -f a.zsh", "a.zsh"},
		{"zsh", "zsh -b -x a.zsh", NULL},
		{"ksh93", "ksh -eo errexit a.ksh", "a.ksh"},
		{"ksh93", "ksh -D a.ksh", NULL},
		{"mksh", "mksh -oerrexit a.ksh", "a.ksh"},
		{"mksh-static", "mksh -T tty a.ksh", NULL},
		{"lksh", "lksh -e a.ksh", "a.ksh"},
		{"fish", "fish -C code -N a.fish", "a.fish"},
		{"fish", "fish --init-command=code a.fish", "a.fish"},
		{"fish", "fish -n a.fish", NULL},
		{"fish", "fish --init-comm code a.fish", NULL},

		/* Node's words */
		{"node-22", "node a.js --flag x", "a.js"},
		{"node", "node --enable-source-maps --max-old-space-size=8192 a.js", "a.js"},
		{"node", "node --max_old_space_size=8192 --expose_gc a.js", "a.js"},
		{"node", "node --no-warnings --no-deprecation a.js", "a.js"},
		{"node", "node --no_warnings a.js", "a.js"},
		{"node", "node --no-require x a.js", NULL},
		{"node", "node --no-test a.js", NULL},
		{"node", "node --env-file-if-exists .env a.js", "a.js"},
		{"node", "node --env-file .env --env-file=.env2 a.js", "a.js"},
		{"node", "node --snapshot-blob snap.blob a.js", "a.js"},
		{"node", "node --snapshot-blob snap.blob --build-snapshot a.js", "a.js"},
		{"node", "node --build-snapshot-config c.json a.js", NULL},
		{"node", "node --experimental-sea-config c.json a.js", NULL},
		{"node", "node --build-sea c.json a.js", NULL},
		{"node", "node --build-sea=c.json a.js", NULL},
		{"node", "node --cpu-prof --cpu-prof-dir prof a.js", "a.js"},
		{"node", "node --inspect a.js", "a.js"},
		{"node", "node --inspect=9230 --inspect-port 9231 a.js", "a.js"},
		{"node", "node --watch-path src --watch a.js", "a.js"},
		{"node", "node --stack-trace-limit=50 a.js", "a.js"},
		{"node", "node --stack-trace-limit 50 a.js", NULL},
		{"node", "node --test a.js", NULL},
		{"node", "node --test-reporter spec a.js", "a.js"},
		{"node", "node --run build", NULL},
		{"node", "node --run=build a.js", NULL},
		{"node", "node -pe code a.js", NULL},
		{"node", "node -p code a.js", NULL},
		{"node", "node -c a.js", NULL},
		{"node", "node --check a.js", NULL},
		{"node", "node --import --require a.js b.js", NULL},
		{"node", "node --vfs-load x a.js", NULL},
		{"node", "node --entry-url file:a.js", NULL},
		{"node", "node --unknown a.js", NULL},
		{"node", "node --unknown=x a.js", NULL},
		{"node", "node -r./pre.js a.js", NULL},
		{"node", "node -ir a.js b.js", NULL},
		{"node", "node --prof-process x.log", NULL},
		{"node", "node -- --odd.js", "--odd.js"},
		{"node", "node --warnings=1 a.js", NULL},

		/* Switches with a value in the same argument, or with digits and further switches */
		{"perl", "perl -lne code a.pl", NULL},
		{"perl", "perl -0777ne code a.pl", NULL},
		{"perl", "perl -0777 -l012 -w a.pl", "a.pl"},
		{"perl", "perl -F: -CSD -i.bak a.pl", "a.pl"},
		{"perl", "perl -M strict a.pl", NULL},
		{"perl", "perl -MPOSIX a.pl", "a.pl"},
		{"perl", "perl -S a.pl", NULL},
		{"perl", "perl -x/tmp a.pl", NULL},
		{"perl", "perl -d:Trace a.pl", NULL},
		{"perl", "perl -c a.pl", NULL},
		{"perl5.36-x86_64-linux-gnu", "perl -T a.pl", "a.pl"},
		{"ruby3.3", "ruby -C dir a.rb", NULL},
		{"ruby3.3", "ruby -W0 -W:no-deprecated -I. a.rb", "a.rb"},
		{"ruby3.3", "ruby -W0e code a.rb", NULL},
		{"ruby3.3", "ruby -Ku a.rb", NULL},
		{"ruby3.3", "ruby --parser=prism a.rb", NULL},
		{"php8.2", "php -- a.php", NULL},
		{"php8.2", "php -f a.php -- x", "a.php"},
		{"php8.2", "php -f a.php b.php", "a.php"},
		{"php8.2", "php -f a.php -i", NULL},
		{"php8.2", "php -f=a.php", NULL},
		{"php8.2", "php -S localhost:80 a.php", NULL},
		{"php8.2", "php -l a.php", NULL},
		{"lua5.4", "lua -e x=1 x.lua", "x.lua"},
		{"lua5.4", "lua -iv x.lua", NULL},
		{"lua5.4", "lua -", NULL},
		{"luajit-2.1.0-beta3", "luajit -O3 -joff x.lua", "x.lua"},
		{"luajit", "luajit -b x.lua x.out", NULL},
		{"tclsh8.6", "tclsh -encoding utf-8 x.tcl", "x.tcl"},
		{"tclsh8.6", "tclsh -- x.tcl", NULL},
		{"R", "R --no-echo --no-restore --file=x.R --args a", "x.R"},
		{"R", "R x.R", NULL},
		{"java", "java -jar -Xmx1g x.jar", NULL},
		{"java", "java @options x.jar", NULL},
		{"java", "java -XX:+UseG1GC -ea -javaagent:a.jar=b -jar x.jar", "x.jar"},
		{"java", "java -unknown -jar x.jar", NULL},

		/* Subcommands, and names that are no files */
		{"deno", "deno main.ts", "main.ts"},
		{"deno", "deno run -A main.ts", "main.ts"},
		{"deno", "deno run -R=/etc -NE main.ts", NULL},
		{"deno", "deno run -R=/etc --unstable-kv main.ts", "main.ts"},
		{"deno", "deno run --lock main.ts", NULL},
		{"deno", "deno run --lock=l main.ts", "main.ts"},
		{"deno", "deno run -A npm:pkg", NULL},
		{"deno", "deno run -A npm:@scope/pkg@1.0/x.js", NULL},
		{"deno", "deno run jsr:@std/http/file-server", NULL},
		{"deno", "deno run file:///x/a.ts", NULL},
		{"deno", "deno run build", NULL},
		{"deno", "deno task build.ts", NULL},
		{"deno", "deno test main.ts", NULL},
		{"deno", "deno eval 1.0", NULL},
		{"deno", "deno run run", NULL},
		{"bun", "bun a.ts", "a.ts"},
		{"bun", "bun run build", NULL},
		{"bun", "bun x pkg.js", NULL},
		{"bun", "bun test a.test.ts", NULL},
		{"bun", "bun --env-file .env run a.ts", "a.ts"},
		{"bun", "bun --cwd=/x a.ts", NULL},
		{"bun", "bun run --filter pkg a.ts", NULL},
		{"bun", "bun -e 1 a.ts", NULL},
		{"bun", "bun .", NULL},
		{"ld-linux-x86-64.so.2", "ld.so prog", NULL},
		{"ld-linux-x86-64.so.2", "ld.so --list ./prog", NULL},
		{"ld-linux-x86-64.so.2", "ld.so --preload x --argv0 y ./prog", "./prog"},
		{"ld-musl-x86_64.so.1", "ld.so --library-path=/x ./prog", "./prog"},
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
/* What it is then called is whatever the agent likes. */
static void test_mounted(void **state)
{
	struct event_exec *e;

	(void)state;
	e = (struct event_exec *)event_of("dash", "dash -C trusted other", "/");
	assert_string_equal(scriptarg_name(e), "trusted");
	e->flags = EXEC_MOUNTED;
	assert_null(scriptarg_name(e));
}

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

/* A script named early counts only if all options are there that could take it back. */
static void test_cut_after(void **state)
{
	static const char command[] = "php -f a.php -i";
	const struct event_exec *e;

	(void)state;
	for (size_t len = 0; len <= sizeof(command); len++) {
		e = event_of("php", command, "/");
		event.e.argv_len = len;
		event.e.flags |= EXEC_ARGV_CUT;
		assert_null(scriptarg_name(e));
	}
}

/* Clusters and values as long as an argv can be, of every letter. */
static void test_long(void **state)
{
	static const char *const exes[] = {"python3", "bash", "sh", "zsh",  "node", "perl",
					   "ruby",    "php",  "R",  "java", "deno", "ld-linux-x"};
	static char command[EVENT_ARGV_MAX];
	static const char tail[] = " a.sh";
	const size_t most = sizeof(command) - sizeof(tail);
	const char *found;

	(void)state;
	for (size_t i = 0; i < sizeof(exes) / sizeof(*exes); i++) {
		for (char c = '!'; c <= '~'; c++) {
			int n = snprintf(command, sizeof(command), "x -");

			memset(command + n, c, most - n);
			strcpy(command + most, tail);
			found = scriptarg_name(event_of(exes[i], command, "/"));
			/* php -fNAME, R -fNAME */
			if (c == 'f' && found && *found == 'f')
				continue;
			assert_true(!found || strcmp(found, "a.sh") == 0);
			/* Without anything after it. */
			command[most] = '\0';
			assert_null(scriptarg_name(event_of(exes[i], command, "/")));
		}
	}
	/* As many o's as there are arguments, and one less. */
	assert_string_equal(scriptarg_name(event_of("bash", "bash -ooo a b c x.sh", "/")), "x.sh");
	assert_null(scriptarg_name(event_of("bash", "bash -oooo a b c x.sh", "/")));
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

static ino_t foreign; /* lies on a filesystem of a server's */

/* As the kernel programs would say. */
static int describe(void *context, int fd, struct object_facts *ret)
{
	struct statfs fs;
	struct stat st;

	(void)context;
	assert_int_equal(fstat(fd, &st) | fstatfs(fd, &fs), 0);
	*ret = (struct object_facts){
		.id = {.inode = st.st_ino,
		       .magic = st.st_ino == foreign ? FUSE_SUPER_MAGIC : fs.f_type},
		.guard.mode = st.st_mode};
	return 0;
}

static const struct answering answering = {.describe = describe};

static int try_open(pid_t pid, const char *cwd, const char *name)
{
	struct scriptarg *s = NULL;
	int r;

	event_of("python3", "python3 x", cwd);
	event.e.header.actor.tgid = pid;
	event.e.header.actor.start_boottime = start_of(pid);
	assert_int_equal(scriptarg_new(&event.e, name, &answering, &s), 0);
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
	int r;

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
	/* Magic links lead out of any root; and procfs is nobody's who answers by himself. */
	r = try_open(pid, "/", "/proc/self/exe");
	assert_true(r == -ELOOP || r == -EREMOTE);
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

/* Name by name, what /proc/self/fd says it came to. */
static void check_walk(int root, const char *path, const char *want)
{
	_cleanup_close_ int fd = procroot_walk(root, "/", path, &answering);
	char link[32], at[PATH_MAX] = "";

	assert_true(fd >= 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, at, sizeof(at) - 1) > 0);
	assert_string_equal(at, path_of(want));
}

static int walk(int root, const char *path)
{
	_cleanup_close_ int fd = procroot_walk(root, "/", path, &answering);

	return fd < 0 ? fd : 0;
}

/* As the kernel walks within a root, but that nobody is asked who need not answer. */
static void test_walk(void **state)
{
	_cleanup_close_ int root = -1;
	struct stat st;

	(void)state;
	assert_int_equal(mkdir(path_of("w"), 0755), 0);
	assert_int_equal(mkdir(path_of("w/a"), 0755), 0);
	assert_int_equal(mkdir(path_of("w/a/b"), 0755), 0);
	make("w/a/b/x.py", 0644);
	assert_int_equal(symlink("/a/b", path_of("w/whole")), 0);
	assert_int_equal(symlink("b/x.py", path_of("w/a/part")), 0);
	assert_int_equal(symlink("../../../../..", path_of("w/a/b/out")), 0);
	assert_int_equal(symlink("loop", path_of("w/loop")), 0);
	root = open(path_of("w"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	check_walk(root, "/a/b/x.py", "w/a/b/x.py");
	check_walk(root, "//a/./b//x.py", "w/a/b/x.py");
	check_walk(root, "/a/b/../../../a/b/x.py", "w/a/b/x.py");
	check_walk(root, "/whole/x.py", "w/a/b/x.py");
	check_walk(root, "/whole/../part", "w/a/b/x.py");
	check_walk(root, "/a/b/out/a/part", "w/a/b/x.py");
	check_walk(root, "/", "w");
	assert_int_equal(walk(root, "/a/none"), -ENOENT);
	assert_int_equal(walk(root, "/a/b/x.py/y"), -ENOTDIR);
	assert_int_equal(walk(root, "/loop"), -ELOOP);

	/* What lies in it has to be asked for, what it is has not. */
	assert_int_equal(stat(path_of("w/a/b"), &st), 0);
	foreign = st.st_ino;
	check_walk(root, "/a/b", "w/a/b");
	assert_int_equal(walk(root, "/a/b/x.py"), -EREMOTE);
	assert_int_equal(walk(root, "/whole/x.py"), -EREMOTE);
	foreign = 0;
}

/* Nor is such a file opened, although the kernel has it in memory. */
static void test_foreign_file(void **state)
{
	struct stat st;
	pid_t pid;

	(void)state;
	need_root();
	pid = someone(0, 0, 0, NULL);
	make("served.py", 0644);
	check_open(pid, dir, "served.py", "served.py");
	assert_int_equal(stat(path_of("served.py"), &st), 0);
	foreign = st.st_ino;
	assert_int_equal(try_open(pid, dir, "served.py"), -EREMOTE);
	foreign = 0;
	finish(pid);
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
	assert_int_equal(scriptarg_new(&event.e, "a.py", &answering, &s), 0);
	finish(pid);
	assert_int_equal(scriptarg_open(s), -ESRCH);
	scriptarg_free(s);
	assert_int_equal(scriptarg_new(&event.e, "a.py", &answering, &s), -ESRCH);

	/* The pid is another's now. */
	event.e.header.actor.tgid = getpid();
	event.e.header.actor.start_boottime = start_of(getpid()) - 1000000000;
	assert_int_equal(scriptarg_new(&event.e, "a.py", &answering, &s), 0);
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
		cmocka_unit_test(test_names),  cmocka_unit_test(test_mounted),
		cmocka_unit_test(test_cut),    cmocka_unit_test(test_cut_after),
		cmocka_unit_test(test_long),   cmocka_unit_test(test_paths),
		cmocka_unit_test(test_walk),   cmocka_unit_test(test_foreign_file),
		cmocka_unit_test(test_rights), cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests_name("scriptarg", tests, make_dir, remove_dir);
}
