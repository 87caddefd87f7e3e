# SPDX-License-Identifier: Apache-2.0
"""What agents do all day, as a user: what the distribution brought is proven, and what they built themselves never is."""

import collections
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness.cgroups import inside
from harness.proof import NOBODY, worth, worths
from harness.records import sha256, stated_digest

SHARE = 0.99	# of the distribution's programs
DISTRIBUTION = ("/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/libexec/")
BUILT = {"owner", "too_late", "changed"}

MAKEFILE = """
OBJECTS = $(patsubst %.c,%.o,$(sort $(wildcard part*.c)))
all: program
	for n in 1 2 3 4 5; do ./program; done
program: $(OBJECTS)
	gcc -o $@ $^
%.o: %.c
	gcc -O1 -c -o $@ $<
"""

# As autoconf writes it: hundreds of programs that end at once.
CONFIGURE = r"""
set -e
for n in $(seq 1 40); do
	name=$(expr "x/path/to/file$n" : 'x.*/\(.*\)')
	upper=$(printf '%s\n' "$name" | sed 's/file/FILE/' | tr a-z A-Z)
	printf '#define HAVE_%s 1\n' "$upper" >>config.h
	grep -q "HAVE_$upper" config.h
	test "$(uname -s)" = Linux
	cat >conftest.c </dev/null
	rm -f conftest.c
done
awk 'END { print NR }' config.h
"""

# As cargo does it: a build script is compiled, run, and calls the compiler itself.
BUILD_SCRIPT = r"""
#include <stdlib.h>
int main(void)
{
	return system("gcc -O1 -c generated.c") || system("ar rcs libgenerated.a generated.o");
}
"""


@pytest.fixture
def tree(place):
	path = place / "tree"
	path.mkdir()
	shutil.chown(path, *NOBODY)
	return path


def write(tree, **files):
	for name, text in files.items():
		path = tree / name.replace("__", ".")
		path.write_text(text)
		shutil.chown(path, *NOBODY)


def work(new_daemon, tree, script):
	"""Runs it as nobody there, under a daemon that knows no file yet; the execs."""
	daemon = new_daemon("hash: {wait: 10s}\n")
	run = daemon.run("/bin/sh", "-ec", script, user=NOBODY, cwd=tree, env={"HOME": str(tree), "npm_config_cache": str(tree / "npm")})
	assert not daemon.records("--type", "lost")
	return run.records().execs


def path_of(record):
	return record.process.executable.path.decode()


def check(execs, tree, least):
	"""The share of what is proven; all of what stands for itself. Says what it found, for who runs it with -s."""
	distribution = [r for r in execs if path_of(r).startswith(DISTRIBUTION)]
	found = collections.Counter(map(worth, distribution))
	print(f"{len(distribution)} of the distribution: {dict(found)}", file=sys.stderr)
	assert len(distribution) >= least
	missing = collections.Counter((path_of(r), worth(r)) for r in distribution if worth(r) != "observed")
	assert found["observed"] >= SHARE * len(distribution), missing
	assert set(found) <= {"observed", "too_late", "changed"}
	for path in {path_of(r) for r in distribution}:
		digests = {r.process.executable.digest.sha256 for r in distribution if path_of(r) == path} - {b""}
		assert digests <= {sha256(path)}, path
	built = [r for r in execs if path_of(r).startswith(f"{tree}/")]
	assert len(built) + len(distribution) == len(execs), {path_of(r) for r in execs}
	assert {worth(r) for r in built} <= BUILT
	assert not any(r.process.executable.digest.sha256 for r in built)
	return built


def test_make(new_daemon, tree):
	parts = {f"part{n}__c": f"int part{n}(void) {{ return {n}; }}\n" for n in range(8)}
	write(tree, Makefile=MAKEFILE, part9__c="int part0(void);\nint main(void) { return part0(); }\n", **parts)
	execs = work(new_daemon, tree, "make; touch part*.c; make -j4")
	built = check(execs, tree, least=2 * 9 * 3)
	assert len(built) == 10
	# Each was linked anew: what is told of it as unproven may be of the next one.
	assert stated_digest(built[-1].process.executable.digest) in (sha256(tree / "program"), None)


def test_configure(new_daemon, tree):
	write(tree, configure=CONFIGURE)
	assert not check(work(new_daemon, tree, "for n in 1 2 3; do rm -f config.h; sh configure; done"), tree, least=3 * 40 * 7)


def test_build_script(new_daemon, tree):
	write(tree, build__c=BUILD_SCRIPT, generated__c="int generated;\n", main__c="int main(void) { return 0; }\n")
	execs = work(new_daemon, tree, "gcc -o build-script build.c; ./build-script; gcc -o main main.c -L. -lgenerated; ./main")
	assert len(check(execs, tree, least=10)) == 2


def test_python(new_daemon, tree):
	"""An environment's python is a link to the distribution's, or a copy, which is the agent's own."""
	write(tree, agent__py="import subprocess, sys\nfor _ in range(20): subprocess.run(['/bin/uname'], stdout=subprocess.DEVNULL)\n")
	execs = work(new_daemon, tree, "/usr/bin/python3 -m venv --without-pip linked; /usr/bin/python3 -m venv --without-pip --copies copied\n"
		     "linked/bin/python agent.py; copied/bin/python agent.py; linked/bin/python -m compileall -q linked")
	built = check(execs, tree, least=44)
	assert {path_of(r) for r in built} == {str(pathlib.Path(os.path.realpath(tree)) / "copied/bin/python")}


def test_node(new_daemon, tree):
	if not os.path.exists("/usr/bin/node") or os.stat("/usr/bin/node").st_uid or not os.path.exists("/usr/bin/npm"):
		pytest.skip("the distribution's node and npm are not installed")
	write(tree, package__json='{"name": "x", "version": "1.0.0", "scripts": {"build": "node build.js", "test": "./tool && node build.js"}}\n',
	      build__js="for (let n = 0; n < 10; n++) require('child_process').execFileSync('/bin/sh', ['-c', 'cat package.json | wc -l']);\n",
	      tool="#!/bin/sh\ncp /bin/true ./brought && ./brought\n")
	(tree / "tool").chmod(0o755)
	execs = work(new_daemon, tree, "node build.js; npm run build; npm test")
	built = check(execs, tree, least=3 * 31)
	assert {path_of(r) for r in built} == {f"{tree}/brought"}


def test_git(new_daemon, tree):
	script = ("git init -q; git config user.email a@example.com; git config user.name a\n"
		  "for n in 1 2 3 4 5 6 7 8 9 10; do echo $n >file; git add file; git commit -qm $n; git log --oneline >log; git status >log; done\n"
		  "git gc -q; git clone -q . copy")
	assert not check(work(new_daemon, tree, script), tree, least=50)


def test_root_builds(new_daemon, tree):
	"""The same work as root: nothing is proven, nothing is called so."""
	write(tree, main__c="int main(void) { return 0; }\n")
	daemon = new_daemon("hash: {wait: 10s}\n")
	run = daemon.run("/bin/sh", "-ec", "gcc -o main main.c; ./main; uname", cwd=tree)
	assert set(worths(run.records())) <= {"power", "changed", "too_late"}


def test_first_exec_of_a_selector(new_daemon, programs, place, cgroup):
	"""Its tag comes with the exec, whose file fanotify told of before: short programs that no cache knows have a digest, too."""
	daemon = new_daemon(f"hash: {{wait: 10s}}\nagents:\n  - name: research\n    selectors:\n      - cgroup: {cgroup.name}\n")
	paths = [programs.copy("nothing", place / f"program-{n}") for n in range(100)]
	for path in paths:
		subprocess.run(inside(cgroup, path), check=True)
	records = daemon.wait_records("all sessions", lambda found: len(found.of("session_ended")) == len(found.execs) == len(paths))
	found = {path_of(r): stated_digest(r.process.executable.digest) for r in records.execs}
	missing = [path for path in paths if found[path] is None]
	assert len(missing) <= (1 - SHARE) * len(paths), missing
	assert all(found[path] in (sha256(path), None) for path in paths)
