"""The recipes of the README work as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import trustme
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pypinger.config import load
from pypinger.config.settings import Settings
from pypinger.domain import report
from pypinger.domain.model import Answer, Reported
from pypinger.notify import channels
from tests.acceptance.process import free_port

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def snippet(name: str) -> str:
    """The block of code that follows the mark ``<!-- test: name -->``."""
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)\n```", README, re.DOTALL)
    assert found is not None, name
    return found[1] + "\n"


class ReportTests(SynchronousTestCase):
    def test_example(self) -> None:
        body = re.search(r"```json\n(.*?)```", README, re.DOTALL)
        assert body is not None
        finding = report.read(Answer(200, body[1].encode(), 0.0))
        self.assertIsInstance(finding, Reported, finding)


class IniTests(SynchronousTestCase):
    def test_minimal(self) -> None:
        path = self.mktemp()
        Path(path).write_text(snippet("minimal"))
        settings = load(path, channels=channels(), environ={})
        self.assertEqual([task.url for task in settings.tasks], ["http://app-2.example.com/tasks/import.json"])

    def load(self, name: str, environ: dict[str, str]) -> Settings:
        path = self.mktemp()
        Path(path).write_text(snippet(name))
        settings = load(path, channels=channels(), environ=environ)
        self.assertEqual([channel.name for channel in settings.channels], ["slack"])
        self.assertEqual(settings.channels[0].values["token"], "xoxb-1")
        return settings

    def test_example(self) -> None:
        settings = self.load("ini", {"SLACK_TOKEN": "xoxb-1"})
        self.assertEqual(settings.warnings, ())
        self.assertEqual([task.grace for task in settings.tasks], [300.0, 60.0])
        self.assertEqual(settings.tasks[0].name, "Price import")
        self.assertEqual(settings.tasks[0].page, f"https://pinger.example.com/task/{settings.tasks[0].id}")

    def test_credential(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "slack_token").write_text("xoxb-1\n")
        self.load("credential", {"CREDENTIALS_DIRECTORY": str(directory.absolute())})

    def test_nginx(self) -> None:
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if nginx is None:
            raise SkipTest("nginx is not installed here (Debian: nginx-light)")
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        certificate = trustme.CA().issue_cert("pinger.example.com")
        certificate.cert_chain_pems[0].write_to_path(directory / "fullchain.pem")
        certificate.private_key_pem.write_to_path(directory / "privkey.pem")
        server = snippet("nginx").replace("/etc/letsencrypt/live/pinger.example.com", str(directory))
        # Even nginx -t binds the ports.
        for port in (80, 443):
            server = server.replace(f"listen {port}", f"listen 127.0.0.1:{free_port()}")
        (directory / "nginx.conf").write_text(
            f"pid {directory}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
        )
        result = subprocess.run(
            [nginx, "-t", "-q", "-c", directory / "nginx.conf"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
