"""
The rules of docs/architecture.md, checked on the source of the package.

Imports are read from the source, wherever in a module they stand, and not followed, so that a failure names the
module that breaks a rule. Imports under ``TYPE_CHECKING`` count.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pypinger"

ROOMS = ("config", "http", "notify", "store", "runtime", "web")

#: Modules beside the rooms. They import each other and what is below; the rooms do not import them.
BESIDE = ("logs", "report", "signals", "streams", "supervision", "systemd")

#: From the bottom to the top. A module imports from its own layer and from those below it.
LAYERS = (
    ("domain",),
    ("ports",),
    (*ROOMS, *BESIDE),
    ("service", "reload", "parts", "servers", "stores"),
    ("tap", "cli"),
    ("testing",),
)

#: Third-party and standard modules that the domain may import: they have no clock and do no I/O.
DOMAIN_MAY_IMPORT = {
    "__future__",
    "array",
    "base64",
    "bisect",
    "collections",
    "cronsim",
    "dataclasses",
    "datetime",
    "difflib",
    "email",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "html",
    "idna",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "msgspec",
    "operator",
    "re",
    "statistics",
    "struct",
    "typing",
    "unicodedata",
    "urllib",
    "zoneinfo",
}

CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}

#: Modules that speak HTTP -> the only package that may import them.
HTTP_MODULES = {
    "treq": "pypinger.http",
    "httptools": "pypinger.http.wire",
    "twisted.web.client": "pypinger.http",
    "http.client": "",
    "urllib.request": "pypinger.http",  # getproxies() reads the environment
    "requests": "",
    "urllib3": "",
    "aiohttp": "",
}

#: What may have attributes that others set: records, which do nothing themselves, and objects of libraries.
CHANGED_BY_OTHERS = {
    *("by_id", "figures", "group", "known", "machine", "mark", "name", "_name", "pending", "question", "queue"),
    *("record", "records", "row", "run", "task", "waiting"),
    *("adapter", "arguments", "check", "choices", "_here", "lexer", "logger", "loop", "options", "reactor", "request"),
    *("sys", "url_map", "verified", "_expiring", "_feeding", "_loop", "_remembering", "_sweeping"),
}

MOST_LINES = 350
MOST_ARGUMENTS = 7

#: Class names that stand for different things in several modules, each with its reason.
SAME_NAMES: dict[str, str] = {}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def path_of(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports; ``from package import module`` names the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{name} imports relatively; write whole names")
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in modules() else module


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@cache
def all_imports() -> list[tuple[str, str]]:
    """(module of the package, module that it imports)"""
    return [(name, imported) for name, tree in modules().items() for imported in imports(name, tree)]


def ours() -> list[tuple[str, str]]:
    """(module, module of the package that it imports)"""
    return [(name, imported) for name, imported in all_imports() if inside(imported, "pypinger")]


def room_of(module: str) -> str:
    """The first part below the package: ``domain``, ``web``, ``service``; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


@cache
def classes() -> list[tuple[str, ast.ClassDef]]:
    return [
        (name, node) for name, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]


def holder(node: ast.expr) -> str:
    """The name of a value: that of a variable, an attribute, a method whose result it is, or a collection."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return holder(node.value)
    return holder(node.func) if isinstance(node, ast.Call) else ast.unparse(node)


class SourceCase(SynchronousTestCase):
    unmeasured = True


class ImportTests(SourceCase):
    def test_every_module_has_a_layer(self) -> None:
        rooms = {room_of(name) for name in modules()} - {""}
        self.assertEqual(rooms - {room for layer in LAYERS for room in layer}, set())

    def test_imports_point_down(self) -> None:
        level = {room: number for number, layer in enumerate(LAYERS) for room in layer}
        wrong = [
            f"{name} imports {imported}"
            for name, imported in ours()
            if room_of(imported) and room_of(name) and level[room_of(imported)] > level[room_of(name)]
        ]
        self.assertEqual(wrong, [])

    def test_rooms_do_not_import_each_other(self) -> None:
        wrong = [
            f"{name} imports {imported}"
            for name, imported in ours()
            if (room_of(name) in LAYERS[2] and room_of(imported) in ROOMS and room_of(name) != room_of(imported))
            or (room_of(name) in ROOMS and room_of(imported) in BESIDE)
        ]
        self.assertEqual(wrong, [])

    def test_no_circle(self) -> None:
        """Nor between a package and its own modules."""
        graph: dict[str, set[str]] = defaultdict(set)
        for name, imported in ours():
            graph[name].add(imported)
        done: set[str] = set()
        circles = []

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                circles.append(" -> ".join((*path[path.index(name) :], name)))
            elif name not in done:
                for imported in sorted(graph[name]):
                    visit(imported, (*path, name))
                done.add(name)

        for name in modules():
            visit(name, ())
        self.assertEqual(circles, [])

    def test_domain_is_pure(self) -> None:
        wrong = [
            f"{name} imports {imported}"
            for name, imported in all_imports()
            if inside(name, "pypinger.domain")
            and not inside(imported, "pypinger")
            and imported.partition(".")[0] not in DOMAIN_MAY_IMPORT
        ]
        for name, tree in modules().items():
            if not inside(name, "pypinger.domain"):
                continue
            for node in ast.walk(tree):
                # A field `now` of a value is a parameter; only datetime and date read the clock.
                if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS:
                    wrong.append(f"{name} uses {ast.unparse(node)}")
        self.assertEqual(wrong, [])

    def test_one_way_over_http(self) -> None:
        """Reports, logins and messages go through treq over our own agents. The publisher runs without all of these."""
        wrong = [
            f"{name} imports {imported}"
            for name, imported in all_imports()
            if not inside(name, "pypinger.report")
            for module, package in HTTP_MODULES.items()
            if inside(imported, module) and not (package and inside(name, package))
        ]
        self.assertEqual(wrong, [])
        users = {name for name, imported in all_imports() if inside(imported, "treq")}
        self.assertNotEqual(users, set(), "nothing fetches with treq")

    def test_contract_suites_need_no_test_of_ours(self) -> None:
        """Other packages import them from the wheel, which has no tests."""
        wrong = [f"{name} imports {imported}" for name, imported in all_imports() if inside(imported, "tests")]
        self.assertEqual(wrong, [])

    def test_plugin_imports_nothing_of_ours(self) -> None:
        path = ROOT / "twisted" / "plugins" / "pypinger_plugin.py"
        found = set(imports("plugin", ast.parse(path.read_text(encoding="utf-8"))))
        self.assertEqual(found, {"twisted.application.service"})


class WeightTests(SourceCase):
    maxDiff = None

    def test_lines(self) -> None:
        long = {
            name: count
            for name in modules()
            if (count := len(path_of(name).read_text(encoding="utf-8").splitlines())) > MOST_LINES
        }
        self.assertEqual(long, {})

    def slots(self, node: ast.ClassDef) -> set[str]:
        for statement in node.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
                return set(ast.literal_eval(statement.value))
        return set()

    def test_constructor_arguments(self) -> None:
        """
        Value structs have as many fields as they need.

        Those are NamedTuple, msgspec.Struct, frozen dataclasses, and classes whose slots are their arguments.
        """
        long = {}
        for name, node in classes():
            for statement in node.body:
                if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                    arguments = statement.args
                    count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
                    names = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)} - {"self"}
                    if count > MOST_ARGUMENTS and names != self.slots(node):
                        long[f"{name}.{node.name}"] = count
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if any(text.startswith("dataclass") and "frozen=True" not in text for text in decorators):
                count = sum(isinstance(statement, ast.AnnAssign) for statement in node.body)
                if count > MOST_ARGUMENTS:
                    long[f"{name}.{node.name}"] = count
        self.assertEqual(long, {})

    def test_no_object_sets_attributes_of_another(self) -> None:
        wrong = [
            f"{module} sets {ast.unparse(node)}"
            for module, tree in modules().items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            if holder(node.value) not in {"self", "cls", *CHANGED_BY_OTHERS}
        ]
        self.assertEqual(wrong, [])

    def test_one_class_a_name(self) -> None:
        where = defaultdict(list)
        for name, node in classes():
            if not node.name.startswith("_"):
                where[node.name].append(name)
        twice = {name: places for name, places in where.items() if len(places) > 1 and name not in SAME_NAMES}
        self.assertEqual(twice, {})


def own_attributes(tree: ast.AST) -> set[str]:
    """The attributes of ``self`` that are read or set."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


@cache
def private_names(base: type) -> set[str]:
    """The private names that a class defines or sets on ``self``."""
    names = set(vars(base))
    try:
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base)))
    except (OSError, TypeError, SyntaxError):
        tree = ast.Module([], [])
    names.update(own_attributes(tree))
    return {name for name in names if name.startswith("_") and not name.endswith("__")}


class TwistedTests(SourceCase):
    """
    Subclasses of Twisted's classes keep to what is public there.

    Neither a class attribute, a method nor an attribute set on ``self`` may have the name of a private one of a base
    class from Twisted, Klein or treq: the next release may change what it means.
    """

    foreign = ("twisted", "klein", "treq")

    def test_no_private_name_of_a_base_class(self) -> None:
        wrong = []
        for name, node in classes():
            module = import_module(name)
            made = getattr(module, node.name, None)
            if not isinstance(made, type) or made.__module__ != name:
                continue
            mine = own_attributes(node) | set(vars(made))
            for base in made.__mro__:
                if base.__module__.partition(".")[0] in self.foreign:
                    wrong += [
                        f"{name}.{node.name} uses {base.__qualname__}.{each}"
                        for each in sorted(mine & private_names(base))
                    ]
        self.assertEqual(wrong, [])

    def test_no_private_module(self) -> None:
        wrong = [
            f"{name} imports {imported}"
            for name, imported in all_imports()
            if imported.partition(".")[0] in self.foreign and any(part.startswith("_") for part in imported.split("."))
        ]
        self.assertEqual(wrong, [])
