"""A test case that loads ini texts, with fake channels, an ini file of the original Py Pinger and PEM files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import NoReturn

import trustme
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config import ConfigErrors, load
from pypinger.config.settings import Settings
from pypinger.config.web import ANY_HOST
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.ports.notifying import Channel, ChannelContext, OptionSpec

SLACK_API = "https://slack.com/api/chat.postMessage"

#: An ini file of the original Py Pinger with all its options, some of them empty.
ORIGINAL = """\
[main]
debug = false
debug_now =
only_log = False
greeting = Py Pinger is up: 100% ready
interval = 60
error_interval: 480

[hipchat]
room =
auth =
emoji = (boom)

[slack]
url = https://slack.com/api/chat.postMessage
channel = #ops
token = xoxb-original-token
user = pinger
emoji = :boom:

[sentry]
url =

[token_auth]
token =
username = pinger@example.com
password = original%password
url = https://example.com/api/login?next=%2F
header = X-Auth-Token

[urls]
prod = https://example.com/cron/a, https://example.com/cron/b?only=1%2C2,
    https://example.com/cron/c

    ; a comment in between
    https://example.com/cron/d
dev =
    http://localhost:8000/cron/a
"""


class FakeChannel:
    """A channel of the contract's table; its check returns `bad`."""

    events = DEFAULT_EVENTS
    resolves = False

    def __init__(self, name: str, options: tuple[OptionSpec, ...], *essential: str) -> None:
        self.name = name
        self.options = options
        self.bad: dict[str, str] = {}
        self._essential = essential

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        if self.name == "slack" and not values["url"].endswith("/api/chat.postMessage"):
            return ("url",)
        return self._essential

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return {name: words.format(**values) for name, words in self.bad.items()}

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> NoReturn:
        raise AssertionError("loading must not make a notifier")


def fake_channels() -> dict[str, Channel]:
    """Slack, HipChat and Sentry (contract, section 5)."""
    option = OptionSpec
    text = [option("channel"), option("token", secret=True), option("user"), option("emoji")]
    url = option("url", form="url", default=SLACK_API, secret=True)
    hipchat = (
        option("room"),
        option("auth", secret=True),
        option("emoji"),
        option("url", form="url", default="https://h/"),
    )
    sentry = (
        option("url", form="url", secret=True),
        option("environment"),
        option("crons", form="flag", default="false"),
    )
    return {
        "slack": FakeChannel("slack", (url, *text), "channel", "token"),
        "hipchat": FakeChannel("hipchat", hipchat, "room", "auth"),
        "sentry": FakeChannel("sentry", sentry, "url"),
    }


class LoadingTestCase(SynchronousTestCase):
    """Loads texts as ``pinger.ini`` in an empty directory."""

    def setUp(self) -> None:
        self.cwd = os.path.realpath(self.mktemp())
        os.makedirs(self.cwd)
        self.environ: dict[str, str] = {}
        self.channels = fake_channels()

    def write(self, name: str, content: str | bytes) -> str:
        path = os.path.join(self.cwd, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def load(self, content: str | bytes) -> Settings:
        self.write("pinger.ini", content)
        return load("pinger.ini", channels=self.channels, environ=self.environ, cwd=self.cwd)

    def errors(self, content: str | bytes) -> ConfigErrors:
        return self.assertRaises(ConfigErrors, self.load, content)

    def problems(self, content: str | bytes) -> list[str]:
        """All problems as texts without the file's name."""
        return [str(problem).removeprefix("pinger.ini:") for problem in self.errors(content).problems]

    def problem(self, content: str | bytes) -> str:
        """The only problem as text without the file's name."""
        (problem,) = self.problems(content)
        return problem

    def warnings_of(self, content: str) -> list[str]:
        """All warnings as texts without the file's name, but for that of ``[web] hosts``."""
        warnings = [warning.removeprefix("pinger.ini:") for warning in self.load(content).warnings]
        return [warning for warning in warnings if not warning.endswith(ANY_HOST)]


def pem_files(directory: str) -> dict[str, str]:
    """Paths of a CA, a client certificate, its key, both in one file, and a key that does not match."""
    ca = trustme.CA()
    mine, other = ca.issue_cert("pinger.example.com"), ca.issue_cert("other.example.com")
    certificate = mine.cert_chain_pems[0].bytes()
    contents = {
        "ca.pem": ca.cert_pem.bytes(),
        "client.pem": certificate,
        "client.key": mine.private_key_pem.bytes(),
        "both.pem": mine.private_key_pem.bytes() + certificate,
        "other.key": other.private_key_pem.bytes(),
    }
    paths = {name: os.path.join(directory, name) for name in contents}
    for name, path in paths.items():
        with open(path, "wb") as file:
            file.write(contents[name])
    return paths


def new_directory() -> str:
    """A directory for one example of a property test."""
    return tempfile.mkdtemp(dir=os.getcwd())
