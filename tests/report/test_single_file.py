"""``contrib/pypinger-report.py``: the package in one file, for Python 3.8 and later."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.report.endpoint import Endpoint

CHECKOUT = Path(__file__).parent.parent.parent
PACKAGE = CHECKOUT / "pypinger" / "report"
SINGLE_FILE = CHECKOUT / "contrib" / "pypinger-report.py"
OLDEST = (3, 8)


def loaded(name: str, path: Path) -> ModuleType:
    """A module that is in no package."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def pythons() -> list[tuple[str, str]]:
    """Version and path of the other Pythons of this machine, the oldest supported one first."""
    found = []
    folders = [*os.environ.get("PATH", "").split(os.pathsep)]
    # Another user's folder may be closed to this one.
    with contextlib.suppress(PermissionError):
        folders += map(str, sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")))
    for minor in range(OLDEST[1], 15):
        if minor == sys.version_info.minor:
            continue
        for folder in folders:
            path = shutil.which(f"python3.{minor}", path=folder)
            # A shim of pyenv is there for versions that are switched off, too. "-I" ignores the PYTHONPATH of trial's
            # workers, which has the modules of this Python.
            if path and subprocess.run([path, "-I", "-c", "import json"], capture_output=True).returncode == 0:
                found.append((f"3.{minor}", path))
                break
    return found


class SourceTests(SynchronousTestCase):
    maxDiff = None

    def test_up_to_date(self) -> None:
        """After a change of the package or of the version, ``make publisher`` writes the file anew."""
        script = loaded("publisher_script", CHECKOUT / "docs" / "publisher.py")
        self.assertEqual(script.single_file(), SINGLE_FILE.read_text(encoding="utf-8"))

    def test_every_module(self) -> None:
        script = loaded("publisher_script", CHECKOUT / "docs" / "publisher.py")
        there = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
        self.assertEqual(set(script.MODULES), there)

    def test_executable(self) -> None:
        self.assertTrue(os.access(SINGLE_FILE, os.X_OK))
        self.assertTrue(SINGLE_FILE.read_bytes().startswith(b"#!/usr/bin/env python3\n"))

    def test_syntax(self) -> None:
        ast.parse(SINGLE_FILE.read_text(encoding="utf-8"), feature_version=OLDEST)

    def test_no_dependencies(self) -> None:
        """Neither of the file nor of the package."""
        for path in (SINGLE_FILE, *PACKAGE.glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                for name in names:
                    ours = path != SINGLE_FILE and (name == "pypinger" or name.startswith("pypinger.report"))
                    self.assertTrue(ours or name.partition(".")[0] in sys.stdlib_module_names, f"{path.name}: {name}")

    def test_names_are_unique(self) -> None:
        """No module replaces what another one defines."""
        names: Counter[str] = Counter()
        for node in ast.parse(SINGLE_FILE.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names[node.name] += 1
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
        self.assertGreater(len(names), 50)
        self.assertEqual([name for name, count in names.items() if count > 1], [])


class OtherPythonTests(SynchronousTestCase):
    """With other Pythons of this machine, without their site-packages."""

    def others(self) -> list[tuple[str, str]]:
        found = pythons()
        if not found:
            raise SkipTest("there is no other Python from 3.8 on here")
        return found

    def test_run(self) -> None:
        for version, python in self.others():
            path = Path(self.mktemp()).absolute()
            command = [python, "-I", str(SINGLE_FILE), "--schedule", "0 3 * * *", "--timezone", "Europe/Berlin"]
            command += ["--sleep", "22:00 + 1h", "--report", str(path), "--", "sh", "-c", "echo no >&2; exit 3"]
            result = subprocess.run(command, capture_output=True, timeout=60)
            self.assertEqual((result.returncode, result.stdout, result.stderr), (3, b"", b"no\n"), version)
            report = json.loads(path.read_bytes())
            self.assertEqual((report["status"], report["reason"]), ("error", "exit code 3: no"), version)
            self.assertEqual(report["timezone"], "Europe/Berlin")

    def oldest_and_newest(self) -> list[tuple[str, str]]:
        """All of them would take long."""
        found = self.others()
        return found if len(found) == 1 else [found[0], found[-1]]

    def test_push(self) -> None:
        for version, python in self.oldest_and_newest():
            endpoint = Endpoint(self)
            environ = {"PATH": "/usr/bin:/bin", "PYPINGER_PUSH_URL": endpoint.url}
            result = subprocess.run([python, str(SINGLE_FILE), "--", "false"], env=environ, timeout=60)
            self.assertEqual(result.returncode, 1, version)
            self.assertEqual([report["status"] for report in endpoint.reports], ["ok", "error"], version)

    def test_monitored(self) -> None:
        """The file as a module of a project, with functions and coroutines."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        shutil.copy(SINGLE_FILE, directory / "pypinger_report.py")
        (directory / "jobs.py").write_text(JOBS)
        for version, python in self.oldest_and_newest():
            environ = {"PATH": "/usr/bin:/bin"}
            result = subprocess.run([python, "jobs.py"], cwd=directory, env=environ, capture_output=True, timeout=60)
            self.assertEqual((result.returncode, result.stderr), (0, b""), version)
            for name, reason in (("function", "ValueError: no"), ("coroutine", "cancelled")):
                report = json.loads((directory / f"{name}.json").read_bytes())
                self.assertEqual((report["process"], report["reason"]), (name, reason), version)


JOBS = """
import asyncio

from pypinger_report import monitored


@monitored(every="5m", report="function.json")
def function():
    raise ValueError("no")


@monitored(schedule="@daily", report="coroutine.json")
async def coroutine():
    await asyncio.sleep(60)


async def main():
    task = asyncio.ensure_future(coroutine())
    await asyncio.sleep(0.05)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


try:
    function()
except ValueError:
    pass
asyncio.run(main())
"""
