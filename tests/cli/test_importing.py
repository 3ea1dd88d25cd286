"""``pypinger import``: from files and standard input, with one line for what cannot be read."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.test_command import CHECKOUT, pypinger
from tests.config.importing.test_healthchecks import CRON, SIMPLE, UUID
from tests.config.importing.test_sections import parsed


class ImportTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def file(self, content: str | bytes, name: str = "file") -> str:
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def imported(self, *arguments: str) -> str:
        code, out, err = pypinger("import", *arguments)
        self.assertEqual((code, err), (0, ""))
        return out

    def refused(self, words: str, *arguments: str) -> None:
        code, out, err = pypinger("import", *arguments)
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, rf"\Apypinger import: [^\n]*{words}[^\n]*\n\Z")

    def assertValid(self, *outputs: str) -> None:
        """Pasted one below the other, the sections are a valid ini file, without warnings; paused tasks are off."""
        ini = self.file("[web]\nhosts = localhost\n" + "".join(outputs), "pinger.ini")
        code, out, err = pypinger("validate", ini)
        self.assertEqual((code, err), (0, ""))
        count = sum(output.count("[task ") - output.count("enabled = no\n") for output in outputs)
        self.assertIn(f"tasks: {count},", out)


class HealthchecksTests(ImportTestCase):
    def test_a_file(self) -> None:
        out = self.imported("healthchecks", self.file(json.dumps({"checks": [SIMPLE, CRON]})))
        self.assertEqual(list(parsed(out)), ["task Filesystem Backup", "task Database Backup"])
        self.assertIn("by http://localhost:3002/ping/", out)
        self.assertIn(f"\npush_key = {UUID}\n", out)

    def test_validate_takes_it(self) -> None:
        checks = [SIMPLE, CRON, {**SIMPLE, "status": "paused"}]
        self.assertValid(self.imported("healthchecks", self.file(json.dumps(checks))))

    def test_base(self) -> None:
        path = self.file(b"\xef\xbb\xbf" + json.dumps(SIMPLE).encode())
        self.assertIn(
            "by https://p.example/x/ping/", self.imported("healthchecks", path, "--base", "https://p.example/x/")
        )

    def test_new_keys_are_uuids(self) -> None:
        path = self.file(json.dumps([{"name": "a", "grace": 60}, {"name": "b", "grace": 60}]))
        keys = re.findall(r"\npush_key = ([0-9a-f-]{36})\n", self.imported("healthchecks", path))
        self.assertEqual(len(set(keys)), 2)

    def test_what_cannot_be_read(self) -> None:
        for content, words in (("", "not JSON"), ("{}", "no checks in it"), (b"\xff", "not UTF-8 text")):
            path = self.file(content)
            self.refused(f"{re.escape(path)}: {words}", "healthchecks", path)
        self.refused("no such file", "healthchecks", str(self.directory / "none"))
        self.refused("is a directory", "healthchecks", str(self.directory))
        self.refused("not a valid path", "healthchecks", "a\0b")
        with patch("pypinger.cli.importing.MAX_FILE", 3):
            self.refused("larger than 3 bytes", "healthchecks", self.file("[{}]"))


class CrontabTests(ImportTestCase):
    zone = ("--timezone", "Europe/Berlin")

    def test_a_file(self) -> None:
        out = self.imported("crontab", self.file("0 3 * * * /x/backup\n"), *self.zone)
        self.assertEqual(list(parsed(out)), ["task backup"])
        self.assertRegex(
            out, r"pypinger run --schedule '0 3 \* \* \*' --name backup --push http://localhost:3002/push/\S{36} -- "
        )

    def test_validate_takes_it_with_the_checks(self) -> None:
        ping = f"@daily curl https://hc-ping.com/{UUID.replace('3', '4')}\n"
        out = self.imported("crontab", self.file("# Nightly\n0 3 * * * /x/backup | y\n" + ping), *self.zone)
        checks = self.imported("healthchecks", self.file(json.dumps([SIMPLE, CRON])))
        self.assertValid(checks, out)

    def test_standard_input(self) -> None:
        for arguments, terminal in (((), False), (("-",), False), (("-",), True)):
            given = SimpleNamespace(buffer=io.BytesIO(b"@daily /x/a\n"), isatty=lambda terminal=terminal: terminal)
            with patch.object(sys, "stdin", given):
                self.assertIn("[task a]", self.imported("crontab", *arguments))
        with patch.object(sys, "stdin", SimpleNamespace(isatty=lambda: True)):
            self.refused("name a file, or write: crontab -l | pypinger import crontab", "crontab")
        with patch.object(sys, "stdin", None):
            self.refused("standard input: it is closed", "crontab")

    def test_the_zone_of_this_machine(self) -> None:
        with patch.dict(os.environ, {"TZ": "Asia/Kathmandu"}):
            self.assertIn("timezone = Asia/Kathmandu", self.imported("crontab", self.file("@daily /x/a")))

    def test_the_script(self) -> None:
        out = self.imported("crontab", self.file("@daily /x/a"), "--run", "/usr/local/bin/pypinger-report.py")
        self.assertIn("@daily /usr/local/bin/pypinger-report.py --schedule @daily --name a --push ", out)

    def test_the_example_of_the_docs(self) -> None:
        page = (CHECKOUT / "docs" / "migrating.md").read_text()
        table, shown = (
            re.findall(rf"<!-- test: {name} -->\n```\w+\n(.*?)```", page, re.DOTALL)[0]
            for name in ("crontab", "imported")
        )
        prompt, _, expected = shown.partition("\n")
        self.assertEqual(prompt, "$ crontab -l | pypinger import crontab --timezone Europe/Berlin")
        key = re.findall("push_key = (.*)", expected)[0]
        with (
            patch("pypinger.cli.importing._key", lambda: key),
            patch("pypinger.cli.importing._command", lambda: "/opt/py-pinger/bin/pypinger"),
        ):
            self.assertEqual(self.imported("crontab", self.file(table), *self.zone), expected)

    def test_system_crontabs(self) -> None:
        path = self.file("@daily www-data /x/a\n")
        self.assertIn("[task a]", self.imported("crontab", path, "--system"))
        self.assertIn("[task www-data]", self.imported("crontab", path, "--user"))
        path = self.file("@daily root /x/a\n")
        self.refused("its lines name a user; use --system", "crontab", path)

    def test_the_directory_of_the_system(self) -> None:
        with patch("pypinger.cli.importing._SYSTEM", (str(self.directory),)):
            self.assertIn("[task a]", self.imported("crontab", self.file("@daily root /x/a\n")))

    def test_report_files(self) -> None:
        path = self.file("@daily /x/a\n")
        out = self.imported("crontab", path, "--report", "/var/www/tasks", "--url", "http://app.example/tasks/")
        self.assertIn("\nurl = http://app.example/tasks/a-1.json\n", out)
        self.assertIn(" --report /var/www/tasks/a-1.json -- /x/a\n", out)
        self.assertNotIn("push", out)

    def test_a_new_crontab(self) -> None:
        old = b"# caf\xe9\nA=b\n\n0 3 * * * /x/a '\xe9'\n@reboot c\n"
        new = str(self.directory / "new")
        out = self.imported("crontab", self.file(old), "--crontab", new)
        content = Path(new).read_bytes()
        self.assertEqual(stat.S_IMODE(os.stat(new).st_mode), 0o600)
        key = re.search(r"push_key = (\S+)", out)
        assert key is not None
        lines = content.split(b"\n")
        self.assertEqual([*lines[:3], *lines[4:]], [*old.split(b"\n")[:3], *old.split(b"\n")[4:]])
        self.assertTrue(lines[3].startswith(b"0 3 * * * /"), lines[3])
        self.assertTrue(lines[3].endswith(f"/push/{key[1]} -- /x/a '".encode() + b"\xe9'"), lines[3])
        self.assertNotIn(" -- /x/a", out)
        self.refused("file exists", "crontab", self.file(old), "--crontab", new)
        self.assertEqual(Path(new).read_bytes(), content)

    def test_what_cannot_be_read(self) -> None:
        self.refused("no job in it", "crontab", self.file(""))
        self.refused("no job in it; line 1: it has neither", "crontab", self.file("{}"))
        self.refused("no such file", "crontab", str(self.directory / "none"))

    def test_wrong_usage(self) -> None:
        for arguments in (
            (),
            ("cronttab",),
            ("healthchecks",),
            ("crontab", "a", "b"),
            ("crontab", "a", "--user", "--system"),
            ("crontab", "a", "--report", "/x"),
            ("crontab", "a", "--url", "http://x.example/"),
            ("crontab", "a", "--base", "x.example"),
            ("crontab", "a", "--base", "http://u:s3cret@x.example/"),
            ("crontab", "a", "--base", "http://x.example/?key=s3cretkey"),
            ("crontab", "a", "--timezone", "Mars"),
        ):
            code, out, err = pypinger("import", *arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn("usage: pypinger import", err)
            self.assertNotIn("s3cret", err)
