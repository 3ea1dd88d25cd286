"""Schemathesis reads the OpenAPI description and finds no answer that violates it."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import Daemon, free_port, ini


class SchemathesisTests(TestCase):
    timeout = 300

    if find_spec("schemathesis") is None:
        skip = "schemathesis is not installed"

    async def test_answers_match_the_description(self) -> None:
        tasks = Endpoints(self)
        good, bad = tasks.url("/good?token=x", report()), tasks.url("/bad", report(status="error", reason="boom"))
        port = free_port()
        daemon = Daemon(self, ini(port, [good, bad], "interval = 1"), port)
        await daemon.becomes(good, kind="ok")
        await daemon.becomes(bad, kind="failed")
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            [
                "-m",
                "schemathesis.cli",
                "run",
                f"http://127.0.0.1:{port}/api/v1/openapi.json",
                "--max-examples=12",
                "--seed=1",
                "--no-color",
            ],
        )
        self.assertEqual(code, 0, (out + err).decode(errors="replace")[-4000:])
        self.assertIn(b"No issues found", out)
        await daemon.stop()
