"""The documentation leads somewhere: links, anchors and references to the contract."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT / "docs" / "contract.md"
PAGES = [page for folder in (".", "docs", "bench", "contrib") for page in sorted(ROOT.glob(f"{folder}/*.md"))]

#: Files that CONTRIBUTING.md shows how to create.
EXAMPLES = {"pypinger/notify/gotify.py", "tests/notify/test_gotify.py"}

#: What may refer to the contract.
SOURCES = (
    [path for room in ("pypinger", "tests", "bench", "docs", "twisted") for path in ROOT.glob(f"{room}/**/*.py")]
    + list(ROOT.glob("pypinger/**/*.sql"))
    + [path for path in PAGES if path != CONTRACT]
)

#: "contract, section 3", "contract, sections 1, 2 and 7", "contract (section 8)", 'contract, section 3, "Whose fault"'.
REFERENCE = re.compile(
    r"\bcontract(?:'s)?\]?(?:\([^)]*\))?[ ,(]{1,2}sections? "
    r'(?P<numbers>\d+(?:(?:, | and | to )\d+)*)(?:, (?P<headings>"[^"]+"(?:(?:,| and) "[^"]+")*))?'
)


def prose(text: str) -> str:
    """Markdown without its blocks of code, in which # and brackets mean something else."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    return re.findall(r"^#{1,6} (.+?)\s*$", prose(text), re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def links(text: str) -> Iterator[str]:
    """The targets of links and pictures that lead to files of the repository or within the page."""
    without_code = re.sub(r"`[^`\n]*`", "", prose(text))
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code) + re.findall(r'(?:src|srcset|href)="([^"]+)"', without_code)
    # Links whose text is code, such as [`pinger_template.ini`](pinger_template.ini).
    targets += re.findall(r"\[`[^`\n]*`\]\(([^)\s]+)\)", prose(text))
    return (target for target in targets if "://" not in target and not target.startswith("mailto:"))


class LinkTests(SynchronousTestCase):
    def test_links(self) -> None:
        """Relative links lead to files and headings that exist."""
        broken = []
        for page in PAGES:
            for target in links(page.read_text(encoding="utf-8")):
                name, _, fragment = unquote(target).partition("#")
                file = page.parent / name if name else page
                if not file.exists():
                    broken.append(f"{page.relative_to(ROOT)}: {target}: no such file")
                elif fragment and fragment not in map(anchor, headings(file.read_text(encoding="utf-8"))):
                    broken.append(f"{page.relative_to(ROOT)}: {target}: no such heading")
        self.assertEqual(broken, [])

    def test_every_page_is_linked(self) -> None:
        """A reader who starts at the README finds every page."""
        seen: set[Path] = set()
        waiting = [ROOT / "README.md"]
        while waiting:
            page = waiting.pop().resolve()
            if page in seen or not page.exists():
                continue
            seen.add(page)
            if page.suffix == ".md":
                targets = links(page.read_text(encoding="utf-8"))
                waiting.extend(page.parent / target.partition("#")[0] for target in targets if target[0] != "#")
        self.assertEqual([str(page.relative_to(ROOT)) for page in PAGES if page.resolve() not in seen], [])


class PathTests(SynchronousTestCase):
    def test_paths(self) -> None:
        """Files and folders that the documentation names exist."""
        missing = []
        for page in PAGES:
            for path in re.findall(
                r"`((?:pypinger|tests|docs|bench|contrib|twisted)/[\w./-]*)`", prose(page.read_text("utf-8"))
            ):
                if path not in EXAMPLES and not (ROOT / path).exists():
                    missing.append(f"{page.relative_to(ROOT)}: {path}")
        self.assertEqual(missing, [])

    def test_modules_of_the_architecture(self) -> None:
        """The map names modules that exist, and every module of the domain and the runtime."""
        text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
        named = {name.rpartition("/")[2] for name in re.findall(r"`([\w/]+\.py)`", text)}
        there = {path.name for path in ROOT.rglob("pypinger/**/*.py")} | {
            "publisher.py",
            "pypinger-report.py",
            "pypinger_plugin.py",
            "screenshots.py",
            "test_architecture.py",
        }
        self.assertEqual(named - there, set())
        for room in ("domain", "runtime"):
            modules = {path.name for path in (ROOT / "pypinger" / room).glob("*.py")} - {"__init__.py"}
            self.assertEqual(modules - named, set(), room)


class ContractTests(SynchronousTestCase):
    def references(self) -> Iterator[tuple[str, re.Match[str]]]:
        for path in SOURCES:
            # A reference may be broken over two lines, of a comment too.
            text = re.sub(r"\s*\n\s*(?:#:? |-- )?", " ", path.read_text(encoding="utf-8"))
            for found in REFERENCE.finditer(text):
                yield str(path.relative_to(ROOT)), found

    def test_references(self) -> None:
        """Every reference in code, tests and docs leads to a heading of the contract."""
        there = headings(CONTRACT.read_text(encoding="utf-8"))
        numbers = {found[1] for heading in there if (found := re.match(r"(\d+)\. ", heading))}
        broken = []
        count = 0
        for name, reference in self.references():
            count += 1
            if not numbers.issuperset(re.findall(r"\d+", reference["numbers"])):
                broken.append(f"{name}: {reference[0]}")
            wanted = re.findall(r'"([^"]+)"', reference["headings"] or "")
            broken.extend(f"{name}: {reference[0]}" for each in wanted if each not in there)
        self.assertEqual(broken, [])
        self.assertGreater(count, 30, "the references are written in another way than this test reads")

    def test_planned(self) -> None:
        """Every rule is built; a mark of those that are not would have to be defined again."""
        self.assertNotIn("(planned", CONTRACT.read_text(encoding="utf-8"))
