"""Channels of other packages (contract, section 5), found by the metadata that pip installs."""

from __future__ import annotations

import sys
from importlib import invalidate_caches
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import pypinger.notify
from pypinger.config.known import NAMED_OPTIONS, OPTIONS
from pypinger.notify import channels, make_notifier, unusable
from pypinger.notify.packages import found
from pypinger.ports.notifying import RESERVED, DeliveryError, Notifier, UnusableChannel
from pypinger.testing.channels import RecordingClient, alert, context

CHANNEL = """
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.ports.notifying import OptionSpec


class Fax:
    name = "fax"
    events = DEFAULT_EVENTS
    resolves = False
    options = (OptionSpec("number", secret=True),)

    def essential(self, values):
        return ("number",)

    def check(self, values):
        return {}

    def notifier(self, values, context):
        raise RuntimeError(f"no line to {values['number']}")


CHANNEL = Fax()
"""


class PackagesTestCase(SynchronousTestCase):
    """Installs packages of one module each on ``sys.path``, as pip would leave them."""

    def setUp(self) -> None:
        self.site = Path(self.mktemp()).absolute()
        self.site.mkdir()
        sys.path.insert(0, str(self.site))
        self.addCleanup(sys.path.remove, str(self.site))
        self.forget()
        self.addCleanup(self.forget)

    def forget(self) -> None:
        pypinger.notify.registry.cache_clear()
        invalidate_caches()
        for name in [name for name in sys.modules if name.startswith("acme_")]:
            del sys.modules[name]

    def install(self, package: str, code: str = CHANNEL, *, name: str = "fax", value: str = "") -> None:
        module = package.replace("-", "_")
        (self.site / f"{module}.py").write_text(code)
        info = self.site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pypinger.channels]\n{name} = {value or f'{module}:CHANNEL'}\n")


class FoundTests(PackagesTestCase):
    def test_usable(self) -> None:
        self.install("acme-fax")
        self.assertEqual(list(channels()), sorted([*channels()]))
        self.assertEqual([option.name for option in channels()["fax"].options], ["number"])
        self.assertEqual(list(unusable()), [])

    def words(self, code: str = CHANNEL, **entry: str) -> str:
        """What is wrong with the only package."""
        self.install("acme-fax", code, **entry)
        self.forget()
        (only,) = found(["slack"])
        assert isinstance(only, UnusableChannel), only
        self.assertEqual(only.name, entry.get("name", "fax"))
        self.assertEqual(only.words.splitlines(), [only.words])
        return only.words

    def test_import_fails(self) -> None:
        prefix = "the package acme-fax cannot be used: cannot import acme_fax:CHANNEL: "
        self.assertEqual(self.words("import acme_modem"), f"{prefix}ModuleNotFoundError: No module named 'acme_modem'")

    def test_exit_at_import(self) -> None:
        self.assertIn("SystemExit: 3", self.words("raise SystemExit(3)"))

    def test_syntax(self) -> None:
        self.assertIn("SyntaxError: ", self.words("def"))

    def test_long_words(self) -> None:
        self.assertLess(len(self.words("raise ValueError('ab\\n' * 100_000)")), 400)

    def test_no_such_object(self) -> None:
        self.assertIn("AttributeError: ", self.words("CHANEL = 1"))

    def test_no_channel(self) -> None:
        words = self.words("CHANNEL = 1")
        self.assertIn("acme_fax:CHANNEL is no channel: it has no name, events, resolves, options, ", words)

    def test_class(self) -> None:
        self.assertIn("acme_fax:Fax is a class", self.words(value="acme_fax:Fax"))

    def test_other_name(self) -> None:
        self.assertIn("has the name fax, but its entry point is phone", self.words(name="phone"))

    def test_no_word(self) -> None:
        self.assertIn("a name that no section can have", self.words(name="Fax.1"))

    def test_name_taken(self) -> None:
        """A package cannot take the place of a built-in channel, nor is it imported."""
        words = self.words("raise SystemExit", name="slack")
        self.assertIn("[slack] is a section of Py Pinger itself", words)

    def test_reserved(self) -> None:
        self.assertIn("[urls] is a section of Py Pinger itself", self.words(name="urls"))
        self.assertLessEqual(OPTIONS.keys() | NAMED_OPTIONS.keys(), RESERVED)

    def test_two_packages(self) -> None:
        """Neither of two packages with the same name is preferred."""
        self.install("acme-fax")
        self.install("acme-fax-too")
        one, two = found([])
        assert isinstance(one, UnusableChannel)
        assert isinstance(two, UnusableChannel)
        self.assertIn("acme-fax-too has a channel of this name, too", one.words)
        self.assertIn("acme-fax has a channel of this name, too", two.words)

    def test_options(self) -> None:
        for option, words in (
            ('OptionSpec("match")', "an option match: "),
            ('OptionSpec("number")', "an option number: "),
            ('OptionSpec("Number 2")', "an option Number 2: "),
            ('OptionSpec("area", form="area")', "unknown form"),
            ('"area"', "no tuple of OptionSpec"),
        ):
            with self.subTest(option):
                code = CHANNEL.replace("secret=True),)", f"secret=True), {option})")
                self.assertIn(words, self.words(code))
                self.uninstall()

    def uninstall(self) -> None:
        for path in sorted(self.site.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def test_events(self) -> None:
        self.assertIn("no set of Event", self.words(CHANNEL.replace("= DEFAULT_EVENTS", '= {"problem"}')))


class NotifierTests(PackagesTestCase):
    """A channel that fails when its notifier is made refuses alerts, and stops nothing else."""

    def made(self, code: str = CHANNEL) -> tuple[Notifier, str]:
        """The notifier, and what is logged about it."""
        self.install("acme-fax", code)
        logged: list[str] = []

        def observe(event: dict[str, object]) -> None:
            if event.get("log_level") is LogLevel.critical:
                logged.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        made = make_notifier("fax", {"number": "555-SECRET"}, context(RecordingClient(), "fax ops"))
        return made, "\n".join(logged)

    def refused(self, code: str) -> str:
        notifier, logged = self.made(code)
        error = self.failureResultOf(Deferred.fromCoroutine(notifier.send([alert()])), DeliveryError).value
        self.assertEqual((notifier.name, notifier.groups, error.permanent), ("fax ops", False, True))
        self.assertEqual(error.words, logged.removeprefix("the channel [fax ops] cannot be used: "))
        return error.words

    def test_raises(self) -> None:
        self.assertEqual(self.refused(CHANNEL), "RuntimeError: no line to ***")

    def test_no_notifier(self) -> None:
        self.assertIn("AttributeError", self.refused(CHANNEL.replace("raise RuntimeError", "return str")))

    def test_other_name(self) -> None:
        """The outbox finds a channel's queue by the name of the section."""
        notifier = "from types import SimpleNamespace as N; return N(name='fax', spacing=0, groups=True, send=print)"
        code = CHANNEL.replace("""raise RuntimeError(f"no line to {values['number']}")""", notifier)
        self.assertIn("does not have the members", self.refused(code))
