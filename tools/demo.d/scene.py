# SPDX-License-Identifier: Apache-2.0
"""What the demo's agent meets: a network of its own with loopback only, and the servers in it."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
CLONE_NEWNET = 0x40000000

MODEL = ("127.0.1.1", "8080")
TOOLS = ("127.0.2.1", "8081")
SITE = ("127.0.3.1", "8443")
NOBODY = ("127.0.9.1", "443")

# What the demo knows of the addresses it made up. affiant does not: it never looks a name up.
WHO = {MODEL[0]: "the model", TOOLS[0]: "tool server (MCP)", SITE[0]: "website", NOBODY[0]: "nobody listens"}


def leave_network():
	"""From now on this process and its children have a network with nothing but loopback."""
	libc = ctypes.CDLL(None, use_errno=True)
	if libc.unshare(CLONE_NEWNET):
		raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
	subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def quiet(*command, cwd=None):
	subprocess.run(list(map(str, command)), cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
		       stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent",
						    "GIT_CONFIG_GLOBAL": "/dev/null"})


def make_certificate(place):
	"""A throwaway certificate for the website, which is its own authority."""
	quiet("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
	      "-subj", "/CN=affiant demo", "-addext", f"subjectAltName=IP:{SITE[0]}", "-keyout", place / "key.pem",
	      "-out", place / "ca.pem")
	os.chmod(place / "key.pem", 0o600)


def make_site(place):
	"""A page, a list, and a git repository that is served as plain files."""
	site, work = place / "site", place / "inventory"
	shutil.copytree(HERE / "site", site)
	shutil.move(site / "inventory", work)
	git = ["git", "-c", "user.name=demo", "-c", "user.email=demo@example.com", "-c", "init.defaultBranch=main"]
	quiet(*git, "init", "--quiet", cwd=work)
	quiet(*git, "add", ".", cwd=work)
	quiet(*git, "commit", "--quiet", "-m", "inventory", cwd=work)
	quiet(*git, "clone", "--quiet", "--bare", work, site / "inventory.git")
	quiet(*git, "update-server-info", cwd=site / "inventory.git")


@contextlib.contextmanager
def server(script, *arguments, uid, gid):
	"""Runs one of the servers as that user, from when it listens until the block is left."""
	process = subprocess.Popen([PYTHON, HERE / script, *map(str, arguments)], stdin=subprocess.DEVNULL,
				   stdout=subprocess.PIPE, user=uid, group=gid, extra_groups=[], start_new_session=True,
				   cwd="/", env={"PATH": "/usr/bin:/bin"})
	try:
		if process.stdout.readline() != b"ready\n":
			raise RuntimeError(f"{script} did not start")
		yield process
	finally:
		process.terminate()
		process.wait()


@contextlib.contextmanager
def servers(place, script, uid, gid):
	"""All of them. place: a directory of the demo's; script: what the model says."""
	make_certificate(place)
	make_site(place)
	os.chown(place / "key.pem", uid, gid)
	with contextlib.ExitStack() as stack:
		stack.enter_context(server("model.py", *MODEL, script, uid=uid, gid=gid))
		stack.enter_context(server("toolserver.py", *TOOLS, HERE / "notes.json", uid=uid, gid=gid))
		stack.enter_context(server("website.py", *SITE, place / "site", place / "ca.pem", place / "key.pem", uid=uid,
					   gid=gid))
		yield
