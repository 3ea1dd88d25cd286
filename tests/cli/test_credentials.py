"""Commands outside the service, where its credentials are missing (contract, section 6)."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.test_command import pypinger

TEXT = """
[main]
timeout = 2s
[urls]
prod = http://127.0.0.1:1/, http://me:${credential:password}@127.0.0.1:1/with-password
[token_auth]
token = Bearer ${credential:token}
[task http://127.0.0.1:1/]
token_auth = no
[task http://127.0.0.1:1/with-token]
[slack]
channel = c
token = ${credential:slack}
"""


class CredentialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        Path(self.path).write_text(TEXT)

    def test_check_that_needs_one(self) -> None:
        for path in ("with-password", "with-token"):
            code, out, err = pypinger("check", "--config", self.path, f"http://127.0.0.1:1/{path}")
            self.assertEqual((code, err), (3, ""))
            self.assertEqual(out, "UNKNOWN - the task needs a credential of the service; pypinger validate names it\n")

    def test_check_of_a_file(self) -> None:
        report = self.mktemp()
        Path(report).write_text("{}")
        code, out, _ = pypinger("check", "--config", self.path, report)
        self.assertEqual(code, 2, out)

    def test_replay(self) -> None:
        """The ini file is valid; only the store is missing."""
        code, _, err = pypinger("replay", self.path)
        self.assertEqual(code, 3, err)

    def test_notify_test_needs_them(self) -> None:
        code, out, err = pypinger("notify-test", self.path)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("[slack] token: credential slack is missing", err)
