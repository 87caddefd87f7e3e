# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed, or take nothing: what is said goes nowhere else, and is not taken for said."""

import os
import subprocess

import pytest

from harness import daemon as daemons
from harness import wait


def shell(daemon, redirect, *command):
	return subprocess.run(["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *map(str, command)], stdin=subprocess.DEVNULL,
			      capture_output=True, text=True, timeout=wait.DEADLINE,
			      env=daemons.environment() | {"AFFIANT_SOCKET": str(daemon.socket)})


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-", "<&- >&-"])
@pytest.mark.parametrize("command", [["status"], ["status", "-o", "json"], ["sessions"], ["events"], ["--help"]], ids=" ".join)
def test_output_that_is_lost(daemon, redirect, command):
	daemon.run("/bin/true").records()	# something to tell
	done = shell(daemon, redirect, daemons.AFFIANT, *command)
	assert done.returncode == 1
	assert done.stderr


def test_command_finds_closed_what_was_closed(daemon):
	done = shell(daemon, "<&- 2>&-", daemons.AFFIANT, "run", "--agent", "tester", "--", "/bin/sh", "-c",
		     "for fd in 0 1 2 3 4 5; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done")
	assert done.returncode == 0
	assert done.stdout.split() == ["1"]


def test_daemon_opens_nothing_in_their_place(new_daemon):
	daemon = new_daemon(start=False)
	command = daemon.command()
	daemon.command = lambda: ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
	daemon.start()
	assert [os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
