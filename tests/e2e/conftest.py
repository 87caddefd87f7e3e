# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests.

daemon      an affiantd shared by a module: not to be stopped. Defaults, but for the wait for digests: a busy machine
            is not what the tests are about
new_daemon  new_daemon(config=TEXT, options=[...], start=True): one of the test's own; new_daemon_of_module lets it live
            as long as the module
attested    a daemon of the module's own with a software TPM; enrolled: once its host is enrolled
programs    programs["name"]: the compiled programs/name.c
place       an empty directory that every user can enter
cgroup      a cgroup of the test's own
cgroup_slice  likewise, that is a slice: below it may be units
netns       a network namespace with loopback, of the test's own
lab         two namespaces joined by a veth pair, with holes and rejects (see Lab)
"""

import os
import pathlib
import shutil
import tempfile

import pytest

from harness import cgroups, net
from harness import daemon as daemons
from harness.enrolled import Enrolment
from harness.evidence import Attested
from harness.programs import Programs


def pytest_addoption(parser):
	parser.addoption("--long", action="store_true", help="run the tests marked as long too")


def pytest_collection_modifyitems(config, items):
	if os.geteuid() != 0:
		missing = "needs root"
	elif not os.access(daemons.AFFIANTD, os.X_OK):
		missing = f"{daemons.AFFIANTD} is not built"
	else:
		missing = None
	for item in items:
		if missing:
			item.add_marker(pytest.mark.skip(reason=missing))
		elif item.get_closest_marker("long") and not config.getoption("--long"):
			item.add_marker(pytest.mark.skip(reason="long: tools/test --long runs it"))


def _directory():
	path = pathlib.Path(tempfile.mkdtemp(prefix="affiant-test-"))
	path.chmod(0o755)
	return path


@pytest.fixture
def place():
	path = _directory()
	yield path
	shutil.rmtree(path)


@pytest.fixture(scope="module")
def daemon():
	path = _directory()
	instance = daemons.Daemon(path, "hash: {wait: 10s}\n")
	try:
		yield instance.start()
	finally:
		instance.remove()
		shutil.rmtree(path)


def _new_daemons():
	made = []

	def make(config=None, options=(), start=True, env=None):
		instance = daemons.Daemon(_directory(), config, options, env)
		made.append(instance)
		return instance.start() if start else instance

	yield make
	failures = []
	for instance in made:
		try:
			instance.remove()
		except AssertionError as error:
			failures.append(str(error))
		shutil.rmtree(instance.directory)
	assert not failures, "\n".join(failures)


new_daemon = pytest.fixture(_new_daemons, name="new_daemon")
new_daemon_of_module = pytest.fixture(_new_daemons, scope="module", name="new_daemon_of_module")


@pytest.fixture(scope="module")
def attested(new_daemon_of_module):
	instance = Attested(new_daemon_of_module)
	yield instance
	instance.remove()


@pytest.fixture(scope="module")
def enrolled(attested, tmp_path_factory):
	enrolment = Enrolment(attested, tmp_path_factory.mktemp("enrolment"))
	enrolment()
	return enrolment


@pytest.fixture(scope="session")
def programs():
	path = _directory()
	yield Programs(path)
	shutil.rmtree(path)


@pytest.fixture
def cgroup():
	instance = cgroups.Cgroup()
	yield instance
	instance.remove()


@pytest.fixture
def cgroup_slice():
	instance = cgroups.Cgroup(".slice")
	yield instance
	instance.remove()


@pytest.fixture
def netns():
	namespace = net.Namespace()
	yield namespace
	namespace.remove()


class Lab:
	"""The agent's namespace and a peer's, joined.

	host4, host6: the peer, which answers. hole: packets to it vanish. unreachable, prohibited: an ICMP error
	comes back. absent: nobody answers ARP for it. nowhere: no route leads to it.
	"""

	host4, host6 = "10.99.0.2", "fd99::2"
	hole = "10.99.1.1"
	unreachable = "10.99.2.1"
	prohibited = "10.99.3.1"
	absent = "10.99.0.200"
	nowhere = "192.0.2.1"
	broadcast = "10.99.0.255"
	unreachable6 = "fd99:2::1"
	prohibited6 = "fd99:3::1"

	def __init__(self):
		self.agent = net.Namespace()
		self.peer = net.Namespace()
		device = net.pair(self.agent, self.peer, [("10.99.0.1/24", "10.99.0.2/24"), ("fd99::1/64", "fd99::2/64")])
		for last, what in ((self.hole, "blackhole"), (self.unreachable, "unreachable"), (self.prohibited, "prohibit")):
			self.agent.route(last, "via", self.host4, "dev", device)
			self.peer.route(what, last)
		for last, what in ((self.unreachable6, "unreachable"), (self.prohibited6, "prohibit")):
			self.agent.route(last, "via", self.host6, "dev", device)
			self.peer.route(what, last)
		self.peer.sysctl("net.ipv6.conf.all.forwarding", 1)
		self.peer.sysctl("net.ipv4.ip_forward", 1)
		self.peer.sysctl("net.ipv4.icmp_ratelimit", 0)

	def remove(self):
		self.agent.remove()
		self.peer.remove()


@pytest.fixture(scope="module")
def lab():
	instance = Lab()
	yield instance
	instance.remove()
