"""
The walls of the house (docs/architecture.md), as the imports show them.

Imports are read from the source, wherever in a module they stand, and not followed: a wall that is broken is named by
the module that breaks it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pypinger"

ROOMS = ("config", "http", "notify", "store", "runtime", "web")

#: Of what is not ours, the core may use only what has no clock and does no I/O.
CORE_MAY_IMPORT = {
    "__future__",
    "base64",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "email",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "idna",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "msgspec",
    "re",
    "typing",
    "urllib",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{name} imports relatively; say whole names")
            module = node.module or ""
            yield module
            # "from pypinger import x" names a module too.
            yield from (f"{module}.{alias.name}" for alias in node.names if module.startswith("pypinger"))


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


class ImportTests(SynchronousTestCase):
    """Imports point down only: domain, ports, the rooms, service, and at last tap and cli."""

    def ours(self, package: str) -> Iterator[tuple[str, str]]:
        """(module, what it imports of ours) for every module of a package."""
        for name, tree in modules():
            if inside(name, package):
                for imported in imports(name, tree):
                    if inside(imported, "pypinger"):
                        yield name, imported

    def test_core_is_pure(self) -> None:
        for name, tree in modules():
            if not inside(name, "pypinger.domain"):
                continue
            for imported in imports(name, tree):
                if inside(imported, "pypinger"):
                    allowed = imported == "pypinger" or inside(imported, "pypinger.domain")
                else:
                    allowed = imported.partition(".")[0] in CORE_MAY_IMPORT
                self.assertTrue(allowed, f"{name} imports {imported}")
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    self.assertNotIn(node.attr, {"now", "utcnow", "today"}, f"{name} asks for the time")

    def test_ports_know_the_core_alone(self) -> None:
        for name, imported in self.ours("pypinger.ports"):
            allowed = inside(imported, "pypinger.domain") or inside(imported, "pypinger.ports")
            self.assertTrue(allowed, f"{name} imports {imported}")

    def test_rooms_do_not_know_each_other(self) -> None:
        for room in ROOMS:
            for name, imported in self.ours(f"pypinger.{room}"):
                allowed = imported == "pypinger" or any(
                    inside(imported, each) for each in (f"pypinger.{room}", "pypinger.ports", "pypinger.domain")
                )
                self.assertTrue(allowed or imported.startswith("pypinger.__"), f"{name} imports {imported}")

    def test_service_does_not_know_who_starts_it(self) -> None:
        for name, imported in self.ours("pypinger.service"):
            for above in ("pypinger.tap", "pypinger.cli"):
                self.assertFalse(inside(imported, above), f"{name} imports {imported}")

    def test_only_the_top_knows_the_service(self) -> None:
        for name, imported in self.ours("pypinger"):
            if inside(imported, "pypinger.service"):
                self.assertTrue(
                    any(inside(name, top) for top in ("pypinger.service", "pypinger.tap", "pypinger.cli")),
                    f"{name} imports {imported}",
                )

    def test_plugin_imports_nothing_of_ours(self) -> None:
        path = ROOT / "twisted" / "plugins" / "pypinger_plugin.py"
        found = set(imports("plugin", ast.parse(path.read_text(encoding="utf-8"))))
        self.assertEqual(found, {"twisted.application.service"})
