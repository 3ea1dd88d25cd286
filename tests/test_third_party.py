"""
``tests/toy``, a package that adds a channel (contract, section 5), as its users and its author see it.

Py Pinger is installed from its wheel, the package by pip, and both run outside the checkout.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.acceptance.channels import Message, Service, event_of
from tests.acceptance.endpoints import Endpoints, Request, body, report
from tests.acceptance.process import Daemon, Process, free_port, ini, until
from tests.shared import directory, once
from tests.test_contributing import snippet
from tests.test_packaging import CHECKOUT, run, site

TOY = CHECKOUT / "tests" / "toy"
TRIAL = "import sys; from twisted.scripts.trial import run; sys.argv[0] = 'trial'; run()"
TWISTD = "from twisted.scripts.twistd import run; run()"
PYPINGER = "import sys; from pypinger.cli import main; sys.exit(main(sys.argv[1:]))"


def installed(source: Path, name: str) -> Path:
    """Install a package as pip does, offline. Returns the directory to put on ``sys.path``."""
    if find_spec("pip") is None or find_spec("setuptools") is None:
        raise SkipTest("pip or setuptools is not installed here")
    # setuptools writes into the source.
    copy, target = directory() / f"{name}-source", directory() / name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    result = run(sys.executable, "-m", "pip", "install", *options, "--target", target, copy, cwd=directory())
    if result.returncode:
        raise AssertionError(result.stdout + result.stderr)
    return target


@once
def toy() -> Path:
    return installed(TOY, "toy")


@once
def broken() -> Path:
    """A second package, which cannot be imported."""
    path = directory() / "broken"
    info = path / "acme_fax-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-fax\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pypinger.channels]\nfax = acme_fax:CHANNEL\n")
    (path / "acme_fax.py").write_text("import acme_modem\n")
    return path


class ToyService(Service):
    accepts = staticmethod(body(b"", 202))

    def section(self, name: str = "toy") -> str:
        return f"[{name}]\nurl = {self.origin}/post\ntoken = toy-token\n"

    def read(self, request: Request) -> Message:
        payload = json.loads(request.body)
        return Message(payload["ids"][0], event_of(payload["text"]), payload["text"], payload)


class ContractTests(SynchronousTestCase):
    def test_published_suite(self) -> None:
        """The package's own tests run the contract suite that Py Pinger's wheel has."""
        elsewhere = directory() / "toy-tests"
        elsewhere.mkdir()
        shutil.copy(TOY / "test_toy.py", elsewhere)
        result = run(site(), "-c", TRIAL, "test_toy", cwd=elsewhere, PYTHONPATH=str(toy()))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        ran = re.search(r"^Ran ([0-9]+) tests", result.stdout, re.MULTILINE)
        assert ran is not None, result.stdout
        self.assertGreater(int(ran[1]), 10)

    def test_walk_through(self) -> None:
        """The package that CONTRIBUTING.md shows can be installed, and is found."""
        source = directory() / "gotify"
        source.mkdir()
        (source / "pyproject.toml").write_text(snippet("package", "toml"))
        (source / "pypinger_gotify.py").write_text(snippet("channel"))
        code = "from pypinger.notify import channels, unusable; print(*channels(), *unusable())"
        path = installed(source, "gotify-installed")
        result = run(site(), "-c", code, cwd=directory(), PYTHONPATH=str(path))
        self.assertIn("gotify", result.stdout.split(), result.stderr)
        self.assertNotIn("Unusable", result.stdout)

    def test_both_say_the_same(self) -> None:
        """The walk-through and the toy have metadata of the same shape."""
        shown, real = (
            tomllib.loads(text) for text in (snippet("package", "toml"), (TOY / "pyproject.toml").read_text())
        )
        self.assertEqual(shown["build-system"], real["build-system"])
        self.assertEqual(shown["project"].keys(), real["project"].keys())
        self.assertEqual(shown["project"]["entry-points"].keys(), real["project"]["entry-points"].keys())


class DaemonTests(TestCase):
    timeout = 120

    def daemon(self, text: str, port: int, *paths: Path) -> Daemon:
        environ = {"PYTHONPATH": ":".join(map(str, paths))}
        return Daemon(self, text, port, command=(str(site()), "-c", TWISTD), environ=environ)

    async def test_alerts(self) -> None:
        """The daemon sends alerts through the package's channel, in a section with a name, too."""
        tasks, one, two = Endpoints(self), ToyService(self), ToyService(self)
        url = tasks.url("/task", report())
        port = free_port()
        text = ini(port, [url], "interval = 0.5\ngroup_wait = 0", one.section() + two.section("toy night"))
        daemon = self.daemon(text, port, toy())
        await daemon.is_ready()
        tasks.url("/task", report(status="error", reason="disk full"))
        for service in (one, two):
            await until(lambda service=service: service.events() == ["started", "problem"])
            self.assertIn("disk full", service.messages()[1].text)
            self.assertEqual(service.requests[0].headers["authorization"], "Bearer toy-token")
        await daemon.stop()

    async def test_broken_package(self) -> None:
        """It is named in one line of the log, and stops neither the daemon nor the other packages."""
        tasks, service = Endpoints(self), ToyService(self)
        port = free_port()
        text = ini(port, [tasks.url("/task", report())], "", service.section())
        daemon = self.daemon(text, port, toy(), broken())
        await daemon.is_ready()
        await until(lambda: service.events() == ["started"])
        await daemon.stop()
        words = "[fax]: the package acme-fax cannot be used: cannot import acme_fax:CHANNEL: ModuleNotFoundError: "
        self.assertEqual(daemon.log.count("acme-fax"), 1, daemon.log)
        self.assertIn(words, daemon.log)

    async def test_section_of_a_broken_package(self) -> None:
        """The daemon and ``pypinger validate`` refuse it with the same line."""
        text = ini(free_port(), ["http://127.0.0.1:1/"], "", "[fax]\nnumber = 555\n")
        daemon = self.daemon(text, 0, broken())
        self.assertEqual(await daemon.end(), 1)
        self.assertRegex(daemon.log, r"\A[^\n]*\[fax\]: the package acme-fax cannot be used: [^\n]*\n\Z")
        validate = Process(
            self,
            *(str(site()), "-c", PYPINGER, "validate", "pinger.ini"),
            directory=daemon.directory,
            environ={"PYTHONPATH": str(broken())},
        )
        self.assertEqual((await validate.end(), validate.log), (1, daemon.log))
