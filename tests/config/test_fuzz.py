"""Any file gives settings or problems, and no other error."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config import ConfigErrors, load
from pypinger.config.known import NAMED_OPTIONS, OPTIONS
from tests.config.samples import fake_channels, new_directory

OPTIONS_OF = {
    **OPTIONS,
    **{name: tuple(spec.name for spec in channel.options) for name, channel in fake_channels().items()},
    "task http://h/": NAMED_OPTIONS["task"],
    "task http://[::1]/?a]": NAMED_OPTIONS["task"],
    "task x": NAMED_OPTIONS["task"],
    "group *": NAMED_OPTIONS["group"],
    "group http://h/* !group:1|x": NAMED_OPTIONS["group"],
    "group kind:": NAMED_OPTIONS["group"],
    "maintenance x": NAMED_OPTIONS["maintenance"],
    "maintenance": NAMED_OPTIONS["maintenance"],
    "DEFAULT": ("x",),
}
PIECES = [
    *(
        "${env:A}",
        "${file:.}",
        "${file:x}",
        "${credential:x}",
        "${env:",
        "${",
        "}",
        "$",
        "%",
        "%(x)s",
        "\ud7ff",
        "\x85",
    ),
    *(
        "http://h/",
        "https://u:p@h:1/?q",
        "http://[",
        "//",
        ":",
        ",",
        "\n  ",
        "\n",
        "-",
        "1",
        "0",
        "9" * 20,
        "1e308",
        "true",
    ),
    *("tcp:", "systemd:", "ssl:", "unix:", "domain=", "name=", "haproxy:", "\\", "=", "env", "direct", "/", "\t", "é"),
    *("0 3 * * *", "@daily", "Europe/Berlin", "2026-03-01", "T22:00Z", "name:", "kind:", "!", "|", "*", '"', "30m"),
]
VALUES = st.lists(st.sampled_from(PIECES), max_size=5).map("".join) | st.text(max_size=12)


@st.composite
def likely_texts(draw: st.DrawFn) -> str:
    """Known sections with some of their options and nearly valid values."""
    lines: list[str] = []
    for section in draw(st.lists(st.sampled_from(sorted(OPTIONS_OF)), max_size=5, unique=True)):
        lines.append(f"[{section}]")
        names = draw(st.lists(st.sampled_from(OPTIONS_OF[section]), max_size=5, unique=True))
        lines.extend(f"{name} = {draw(VALUES)}" for name in names)
    return "\n".join(lines)


class FuzzTests(SynchronousTestCase):
    def check(self, content: bytes) -> None:
        directory = new_directory()
        with open(os.path.join(directory, "pinger.ini"), "wb") as file:
            file.write(content)
        # The text is included, too.
        with open(os.path.join(directory, "main.ini"), "w") as file:
            file.write("[main]\ninclude = pinger.ini\n[urls]\nprod = http://h/\n")
        for name in ("pinger.ini", "main.ini"):
            self.check_file(directory, name)

    def check_file(self, directory: str, name: str) -> None:
        environ = {"A": "a\udc80", "CREDENTIALS_DIRECTORY": directory}
        try:
            loaded = load(name, channels=fake_channels(), environ=environ, cwd=directory)
        except ConfigErrors as errors:
            self.assertTrue(errors.problems)
            self.assertEqual(len(str(errors).split("\n")), len(errors.problems))
            places = [(problem.file != name, problem.line) for problem in errors.problems]
            self.assertEqual(places, sorted(places))
        else:
            for text in (*loaded.warnings, *loaded.secrets, loaded.greeting):
                text.encode()

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=80))
    def test_bytes(self, content: bytes) -> None:
        self.check(content)

    @settings(deadline=None, max_examples=250)
    @given(likely_texts())
    def test_likely_texts(self, text: str) -> None:
        """Texts like those that operators write."""
        self.check(text.encode("utf-8", "replace"))
