# SPDX-License-Identifier: Apache-2.0
"""A daemon's host enrolled by files: affiant enroll here, affiant ca as the verifier's."""

import subprocess

from harness import daemon as daemons


class Enrolment:
	"""The files of one enrolment in place, and the two commands."""

	def __init__(self, attested, place):
		self.attested = attested
		self.place = place
		self.ca("init")

	def path(self, name):
		return self.place / name

	def run(self, *command, refused=None):
		done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=self.place,
				      env=daemons.environment())
		assert done.returncode == (1 if refused else 0), done.stderr
		assert not refused or refused in done.stderr
		return done

	def ca(self, verb, *arguments, refused=None):
		return self.run(daemons.AFFIANT, "ca", verb, "--dir", self.path("ca"), *arguments, refused=refused)

	def enroll(self, *arguments, refused=None):
		return self.run(daemons.AFFIANT, "enroll", "--socket", self.attested.daemon.socket, *arguments, refused=refused)

	def challenge(self):
		tpm = self.attested.tpm
		self.enroll("-o", "request.json")
		self.ca("challenge", "--trust", tpm.ca, "--trust", tpm.issuer, "--allow-software-tpm", "-O", "challenge.json", "request.json")

	def certificate(self):
		self.challenge()
		self.enroll("--activate", "challenge.json", "-o", "answer.json")
		self.ca("issue", "-O", "certificate.pem", "answer.json")

	def __call__(self):
		self.certificate()
		self.enroll("--install", "certificate.pem")
