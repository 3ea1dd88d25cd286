"""What is shipped: the sdist, the wheel, the twistd plugin and the unit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pypinger import __version__
from tests.shared import directory, once
from tests.test_architecture import all_imports

CHECKOUT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv*",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "build",
    "dist",
    "*.egg-info",
    "_trial_temp*",
    "pinger.ini",
)

#: Some of the files in contrib/.
CONTRIB = (
    "contrib/README.md",
    "contrib/pypinger-report.py",
    "contrib/grafana/py-pinger.json",
    "contrib/nagios/check_pypinger",
)

#: Import name -> name of the distribution, where they differ.
DISTRIBUTIONS = {"OpenSSL": "pyopenssl", "zope": "zope.interface"}


def run(*command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command; the time limit allows for a slow machine."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**inherited, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def built(kind: str, source: Path) -> Path:
    """Build as pip does, but in this environment, so that no package index is needed."""
    if find_spec("setuptools") is None:
        raise SkipTest("setuptools is not installed here")
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(directory())!r}))"
    result = run(sys.executable, "-c", code, cwd=source)
    if result.returncode:
        raise AssertionError(result.stdout + result.stderr)
    return directory() / result.stdout.split()[-1]


@once
def sdist() -> Path:
    shutil.copytree(CHECKOUT, directory() / "source", ignore=LEFT_OUT)
    return built("sdist", directory() / "source")


@once
def wheel() -> Path:
    """The wheel, built from the sdist."""
    unpacked = directory() / "unpacked"
    shutil.unpack_archive(sdist(), unpacked)
    return built("wheel", next(unpacked.iterdir()))


@once
def site() -> Path:
    """``bin/python`` of an environment with the wheel and the other packages of this environment."""
    environment = directory() / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=CHECKOUT).stdout.strip()
    )
    with zipfile.ZipFile(wheel()) as archive:
        archive.extractall(packages)
    # Python searches the paths in a .pth file, but does not read the .pth files there (an editable install's, say).
    (packages / "others.pth").write_text(f"{get_path('purelib')}\n{get_path('platlib')}\n")
    return python


class WheelTests(SynchronousTestCase):
    def names(self) -> list[str]:
        with zipfile.ZipFile(wheel()) as archive:
            return archive.namelist()

    def test_plugin(self) -> None:
        names = [name for name in self.names() if name.startswith("twisted/")]
        self.assertEqual(names, ["twisted/plugins/pypinger_plugin.py"])

    def test_all_files_of_the_package(self) -> None:
        expected = {
            str(path.relative_to(CHECKOUT))
            for path in (CHECKOUT / "pypinger").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        self.assertIn("pypinger/py.typed", expected)
        self.assertEqual(expected, {name for name in self.names() if name.startswith("pypinger/")})

    def test_nothing_else(self) -> None:
        stem = f"py_pinger-{__version__}"
        places = {name.partition("/")[0] for name in self.names()}
        self.assertEqual(places, {"pypinger", "twisted", f"{stem}.data", f"{stem}.dist-info"})

    def test_share(self) -> None:
        share = f"py_pinger-{__version__}.data/data/share/py-pinger"
        for name in ("pinger_template.ini", "py-pinger.service", "contrib/pypinger-report.py"):
            with zipfile.ZipFile(wheel()) as archive:
                self.assertEqual(archive.read(f"{share}/{Path(name).name}"), (CHECKOUT / name).read_bytes())

    def test_command(self) -> None:
        with zipfile.ZipFile(wheel()) as archive:
            text = archive.read(f"py_pinger-{__version__}.dist-info/entry_points.txt").decode()
        self.assertIn("pypinger = pypinger.cli:main", text)

    def test_twistd_outside_the_checkout(self) -> None:
        code = "from twisted.scripts.twistd import run; run()"
        elsewhere = Path(self.mktemp())
        elsewhere.mkdir()
        result = run(site(), "-c", code, "pypinger", "--help", cwd=elsewhere)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("--config", result.stdout)

    def test_command_outside_the_checkout(self) -> None:
        code = "import pypinger.cli, sys; print(pypinger.__file__); sys.exit(pypinger.cli.main(['--version']))"
        elsewhere = Path(self.mktemp())
        elsewhere.mkdir()
        result = run(site(), "-c", code, cwd=elsewhere)
        self.assertEqual(result.returncode, 0, result.stderr)
        where, version = result.stdout.splitlines()
        self.assertTrue(where.startswith(str(directory() / "environment")), where)
        self.assertEqual(version, f"Py Pinger {__version__}")

    def test_contract_suites_outside_the_checkout(self) -> None:
        """As a package that adds a channel runs them, with unittest."""
        elsewhere = Path(self.mktemp())
        elsewhere.mkdir()
        (elsewhere / "test_it.py").write_text(CONTRACT_TEST)
        result = run(site(), "-m", "unittest", "-v", "test_it", cwd=elsewhere)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("test_refusal_is_permanent (test_it.HipChatTests", result.stderr)
        self.assertIn("environment", result.stdout)


#: A test of a channel that imports nothing but the package.
CONTRACT_TEST = """
import json

from twisted.trial.unittest import SynchronousTestCase

import pypinger.testing
from pypinger.testing.channels import NotifierContract, reply
import pypinger.testing.contract, pypinger.testing.partial, pypinger.testing.threads

print(pypinger.testing.__file__)


class HipChatTests(NotifierContract, SynchronousTestCase):
    section = "hipchat"
    values = {"room": "ops", "auth": "SECRET-auth", "emoji": "", "url": "https://hipchat.example"}
    secrets = ("SECRET-auth",)

    def accepted(self):
        return reply(204)

    def refused(self, words):
        return reply(401, json.dumps({"error": {"message": words}}))
"""


class SourceTests(SynchronousTestCase):
    def test_sdist(self) -> None:
        with tarfile.open(sdist()) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        ours = ("Makefile", "README.md", "LICENSE", "pinger_template.ini", "pyproject.toml", ".ci/oldest.txt")
        for name in (*ours, *CONTRIB):
            self.assertIn(name, names)

    def test_no_init_under_twisted(self) -> None:
        self.assertEqual([str(path) for path in (CHECKOUT / "twisted").rglob("__init__.py")], [])

    def test_plugin_imports_nothing_of_ours(self) -> None:
        code = (
            "import sys; from twisted.plugins import pypinger_plugin as plugin; maker = plugin.pypinger;"
            "print(maker.tapname, maker.module, *(name for name in ('pypinger', 'klein', 'twisted.internet.reactor')"
            " if name in sys.modules))"
        )
        result = run(sys.executable, "-c", code, cwd=CHECKOUT, PYTHONPATH=str(CHECKOUT))
        self.assertEqual(result.stdout, "pypinger pypinger.tap\n", result.stderr)

    def test_changelog_begins_with_this_version(self) -> None:
        versions = re.findall(r"^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
        self.assertEqual(versions[0], __version__)


class DependencyTests(SynchronousTestCase):
    """What is imported is declared, and what is declared is tested at its lower bound."""

    def declared(self) -> dict[str, str]:
        """Distribution -> lower bound, those of the extras too."""
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
        extras = [each for name, extra in project["optional-dependencies"].items() if name != "test" for each in extra]
        every = (*project["dependencies"], *extras)
        return dict(re.sub(r"\[.*\]", "", requirement).split(">=") for requirement in every)

    def test_imports_are_declared(self) -> None:
        imported = {name.partition(".")[0] for _, name in all_imports()}
        others = imported - sys.stdlib_module_names - {"pypinger"}
        needed = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in others}
        self.assertEqual(needed - self.declared().keys(), set())

    def test_lower_bounds_are_pinned(self) -> None:
        lines = (CHECKOUT / ".ci" / "oldest.txt").read_text().splitlines()
        pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
        self.assertEqual(pinned.keys(), self.declared().keys())
        for name, bound in self.declared().items():
            self.assertIn(pinned[name], (bound, f"{bound}.0"), name)


class UnitTests(SynchronousTestCase):
    unit = CHECKOUT / "py-pinger.service"

    def analyze(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not installed here (Debian: systemd)")
        return run("systemd-analyze", *arguments, cwd=CHECKOUT)

    def test_verify(self) -> None:
        unit = Path(self.mktemp())
        unit.mkdir()
        unit /= self.unit.name
        # systemd-analyze checks that the program exists.
        unit.write_text(re.sub("/opt/py-pinger/bin/[a-z]+", sys.executable, self.unit.read_text()))
        result = self.analyze("verify", "--man=no", "--recursive-errors=no", unit.absolute())
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_exposure(self) -> None:
        result = self.analyze("security", "--offline=true", "--no-pager", "--threshold=14", self.unit)
        self.assertEqual(result.returncode, 0, result.stdout[-200:] + result.stderr)

    def test_tls_is_not_broken(self) -> None:
        self.assertNotIn("\nMemoryDenyWriteExecute", self.unit.read_text())

    def test_runs_the_daemon_in_the_foreground(self) -> None:
        text = self.unit.read_text()
        self.assertIn("\nType=notify\n", text)
        self.assertIn("twistd -n --pidfile= pypinger --config /etc/py-pinger/pinger.ini\n", text)

    def test_reload_validates_first(self) -> None:
        reloads = re.findall("^ExecReload=(.*)$", self.unit.read_text(), re.MULTILINE)
        self.assertEqual(
            reloads,
            ["/opt/py-pinger/bin/pypinger validate /etc/py-pinger/pinger.ini", "/bin/kill -HUP $MAINPID"],
        )

    def test_restarted_for_as_long_as_it_takes(self) -> None:
        text = self.unit.read_text()
        self.assertIn("\nRestart=on-failure\n", text)
        self.assertIn("\nStartLimitIntervalSec=0\n", text)
