"""Channels of other packages that cannot be used, and those that fail while the ini file is read."""

from __future__ import annotations

from collections.abc import Mapping

from pypinger.config import ConfigErrors, load
from pypinger.config.settings import Settings
from pypinger.ports.notifying import OptionSpec, UnusableChannel
from tests.config.samples import FakeChannel, LoadingTestCase

TASK = "[urls]\nprod = http://a.example/\n[web]\nhosts = localhost\n"
FAX = UnusableChannel("fax", "the package acme-fax cannot be used: no line")
SLACK = UnusableChannel("slack", "the package acme-slack cannot be used: [slack] is a section of Py Pinger itself")


class UnusableTests(LoadingTestCase):
    unusable: tuple[UnusableChannel, ...] = (FAX, SLACK)

    def load(self, content: str | bytes) -> Settings:
        self.write("pinger.ini", content)
        return load("pinger.ini", channels=self.channels, environ={}, cwd=self.cwd, unusable=self.unusable)

    def test_not_used(self) -> None:
        """A package that is installed and not used stops nothing."""
        self.assertEqual(
            self.load(TASK).warnings,
            (
                "pinger.ini: [fax]: the package acme-fax cannot be used: no line",
                "pinger.ini: [slack]: the package acme-slack cannot be used: [slack] is a section of Py Pinger itself",
            ),
        )

    def test_used(self) -> None:
        """One line for each section; the options of an unknown channel are not judged."""
        self.assertEqual(
            self.problems(f"{TASK}[fax]\nnumber = 555\n[fax ops]\nmatch = (\n"),
            [
                "5: [fax]: the package acme-fax cannot be used: no line",
                "7: [fax ops]: the package acme-fax cannot be used: no line",
            ],
        )

    def test_name_of_a_built_in_channel(self) -> None:
        """The built-in channel keeps its sections."""
        (channel,) = self.load(f"{TASK}[slack]\nchannel = c\ntoken = t\n").channels
        self.assertEqual(channel.kind, "slack")

    def test_name_of_a_section(self) -> None:
        self.unusable = (UnusableChannel("urls", "taken"), UnusableChannel("task", "taken"))
        settings = self.load(f"{TASK}[task http://a.example/]\nname = A\n")
        self.assertEqual([task.name for task in settings.tasks], ["A"])
        self.assertEqual(settings.warnings, ("pinger.ini: [urls]: taken", "pinger.ini: [task]: taken"))


class Broken(FakeChannel):
    """A channel whose methods fail."""

    def __init__(self, method: str) -> None:
        super().__init__("fax", (OptionSpec("number", secret=True),), "number")
        self.method = method

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        if self.method == "essential":
            raise RuntimeError(f"no line to\n{values['number']}")
        return ("area",) if self.method == "option" else ("number",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        raise RuntimeError(f"no line to\n{values['number']}")


class BrokenTests(LoadingTestCase):
    def fails(self, method: str) -> str:
        self.channels["fax"] = Broken(method)
        return self.problem(f"{TASK}[fax]\nnumber = 555-SECRET\n")

    def test_errors_of_a_channel(self) -> None:
        """An error of the channel's own code is one line without secrets."""
        for method in ("essential", "check"):
            self.assertEqual(self.fails(method), "5: [fax]: the channel is broken: RuntimeError: no line to ***")

    def test_unknown_essential_option(self) -> None:
        self.assertEqual(self.fails("option"), "5: [fax]: the channel is broken: KeyError: 'area'")

    def test_other_problems_are_listed(self) -> None:
        self.channels["fax"] = Broken("check")
        error = self.assertRaises(ConfigErrors, self.load, f"{TASK}[fax]\nnumber = 5\n[slak]\n")
        self.assertEqual(len(error.problems), 2)
