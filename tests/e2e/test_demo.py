# SPDX-License-Identifier: Apache-2.0
"""tools/demo shows what it promises: the session, evidence that is affirmed, and six forgeries that are not."""

import re
import subprocess
import sys

from harness.daemon import BUILD, TOP, environment
import pytest

FORGERIES = {
	"replayed for another request (nonce)": "nonce",
	"taken to another service (audience)": "audience",
	"another user named, claims signed anew": "quote_extra",
	"the value of PCR 0 replaced": "quote_pcrs",
	"the quote signed outside the TPM": "quote_signature",
	"a byte behind the quote": "malformed_quote",
}


def test_demo():
	if BUILD != TOP / "build" / "release":
		pytest.skip("the demo shows the release build")
	done = subprocess.run([sys.executable, "-B", TOP / "tools" / "demo.d" / "demo.py"], stdin=subprocess.DEVNULL,
			      capture_output=True, text=True, timeout=120, env=environment() | {"NO_COLOR": "1"}, check=False)
	assert done.returncode == 0, done.stdout + done.stderr
	assert "Nothing was lost." in done.stdout
	assert re.search(r"^  affirmed$", done.stdout, re.MULTILINE)
	assert dict(re.findall(r"^  (\S.+?) +(?:refused|malformed): (\w+)$", done.stdout, re.MULTILINE)) == FORGERIES
