"""The recipes of the README work as written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

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
    def assert_report(self, body: bytes, *, ok: bool, **members: object) -> None:
        finding = report.read(Answer(200, body, 0.0))
        self.assertIsInstance(finding, Reported, finding)
        assert isinstance(finding, Reported)
        self.assertEqual(finding.report.ok, ok)
        self.assertLess(abs(finding.report.lastrun - time.time()), 600)
        for name, value in members.items():
            self.assertEqual(getattr(finding.report, name), value)

    def test_example(self) -> None:
        body = re.search(r"```json\n(.*?)```", README, re.DOTALL)
        assert body is not None
        finding = report.read(Answer(200, body[1].encode(), 0.0))
        self.assertIsInstance(finding, Reported, finding)

    def cron(self, *command: str) -> tuple[int, bytes]:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        script = directory / "report-task"
        script.write_text(snippet("cron"))
        published = directory / "task.json"
        result = subprocess.run(["/bin/sh", script, published, "10", *command], check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(sorted(os.listdir(directory)), ["report-task", "task.json"])
        return result.returncode, published.read_bytes()

    def test_cron(self) -> None:
        code, body = self.cron("true")
        self.assertEqual(code, 0)
        self.assert_report(body, ok=True, frequency=10.0, process="true", server=os.uname().nodename)

    def test_cron_with_a_task_that_fails(self) -> None:
        code, body = self.cron("sh", "-c", "exit 7")
        self.assertEqual(code, 7)
        self.assert_report(body, ok=False, reason="exit code 7", process="sh")

    def test_flask(self) -> None:
        try:
            import flask  # noqa: F401
        except ImportError:
            raise SkipTest("Flask is not installed here") from None
        names: dict[str, Any] = {"__name__": "snippet"}
        exec(snippet("flask"), names)
        names["REPORT"] = Path(self.mktemp())
        names["publish"]("error", 'it said "no"')
        answer = names["app"].test_client().get("/tasks/import")
        self.assert_report(answer.data, ok=False, frequency=10.0, process="import", reason='it said "no"')
        names["publish"]("ok")
        self.assert_report(names["app"].test_client().get("/tasks/import").data, ok=True)

    def test_django(self) -> None:
        """With stand-ins for the parts of Django that it uses."""
        kept: dict[str, Any] = {}

        def keep(name: str, value: object, timeout: None) -> None:
            kept[name] = value

        modules = {
            "django": {},
            "django.core": {},
            "django.core.cache": {"cache": SimpleNamespace(get=kept.get, set=keep)},
            "django.http": {"JsonResponse": lambda value: json.dumps(value).encode()},
        }
        for name, members in modules.items():
            module = ModuleType(name)
            vars(module).update(members)
            sys.modules[name] = module
            self.addCleanup(sys.modules.pop, name)
        names: dict[str, Any] = {}
        exec(snippet("django"), names)
        never = report.read(Answer(200, names["import_report"](None), 0.0))
        assert isinstance(never, Reported), never
        self.assertEqual(never.report.reason, "it has not run yet")
        names["publish"]("ok")
        self.assert_report(names["import_report"](None), ok=True, process="import")


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
