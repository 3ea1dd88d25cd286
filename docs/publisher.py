"""
Writes ``contrib/pypinger-report.py``: the package ``pypinger.report`` in one file, for machines without Py Pinger.

``make publisher`` runs this after a change of the package or of the version; ``tests/report/test_single_file.py``
compares the result. The modules follow each other, with their imports gathered at the top.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

from pypinger import __version__

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pypinger" / "report"
FILE = ROOT / "contrib" / "pypinger-report.py"

#: The modules, each after those that it imports.
MODULES = ("values", "content", "destinations", "push", "child", "decorator", "command_line")

HEAD = '''\
#!/usr/bin/env python3
"""
Runs a command and publishes its task report for Py Pinger: pypinger-report.py [OPTIONS] -- COMMAND...

This file needs Python 3.8 or later and nothing else; --help lists the options. To decorate Python functions, copy it
into a project as pypinger_report.py and import monitored from it.

docs/publisher.py made it of the package pypinger.report: change that.
"""
'''

FOOT = """
if __name__ == "__main__":
    sys.exit(main())
"""


def single_file() -> str:
    """Return the text of the file."""
    imports: list[ast.Import | ast.ImportFrom] = []
    bodies = []
    for name in MODULES:
        text = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
        docstring, *rest = ast.parse(text).body
        imports += [node for node in rest if isinstance(node, ast.Import | ast.ImportFrom) and not is_ours(node)]
        first = next(node for node in rest if not isinstance(node, ast.Import | ast.ImportFrom))
        assert isinstance(docstring, ast.Expr)
        assert isinstance(docstring.value, ast.Constant)
        lines = text.splitlines()
        begin = first.lineno - 1
        # The comments above the first statement belong to it.
        while lines[begin - 1].startswith("#"):
            begin -= 1
        title = "\n".join(f"# {line}".rstrip() for line in str(docstring.value.value).strip().splitlines())
        bodies.append(f"{'#' * 100}\n{title}\n\n" + "\n".join(lines[begin:]) + "\n")
    top = "\n".join((*gathered(imports), "", f'__version__ = "{__version__}"\n'))
    return "\n".join((HEAD, top + "\n", *(body + "\n" for body in bodies), FOOT.lstrip("\n")))


def gathered(imports: list[ast.Import | ast.ImportFrom]) -> list[str]:
    """The lines of imports, one for each module."""
    plain: set[str] = set()
    names: dict[str, set[str]] = defaultdict(set)
    for node in imports:
        if isinstance(node, ast.Import):
            plain.update(f"import {alias.name}" for alias in node.names)
        else:
            names[str(node.module)].update(alias.name for alias in node.names)
    future = names.pop("__future__")
    lines = [f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(names.items())]
    return [f"from __future__ import {', '.join(future)}", "", *sorted(plain), *lines]


def is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pypinger"


def main(path: str = str(FILE)) -> None:
    file = Path(path)
    file.write_text(single_file(), encoding="utf-8")
    file.chmod(0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
