# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, never for a time: the deadline only says when to give up."""

import os
import time

# A machine that is emulated asks for more patience.
DEADLINE = 60.0 * int(os.environ.get("AFFIANT_TEST_PATIENCE", "1"))


def until(what, probe, deadline=DEADLINE, every=0.05, explain=None):
	"""Polls probe() until it returns something true, which is returned.

	explain() adds to the message when the deadline passes.
	"""
	end = time.monotonic() + deadline
	while True:
		found = probe()
		if found:
			return found
		if time.monotonic() > end:
			more = f"\n{explain()}" if explain else ""
			raise AssertionError(f"not within {deadline:.0f} s: {what}{more}")
		time.sleep(every)


def settled(path):
	"""Returns the path once the file's last change is older than the clock's resolution.

	What changed in the very moment of its execution could change once more without a trace, so that it gets no
	digest; that is tested by itself.
	"""
	changed = os.stat(path).st_ctime
	until(f"the clock has moved on from the change of {path}", lambda: time.time() > changed + 0.1, every=0.02)
	return str(path)
