"""The sections of channels."""

from __future__ import annotations

from typing import cast

from pypinger.config.settings import ChannelSettings
from tests.config.samples import SLACK_API, FakeChannel, LoadingTestCase


class ChannelTests(LoadingTestCase):
    def names(self, text: str) -> list[str]:
        return [channel.name for channel in self.load(text).channels]

    def test_off(self) -> None:
        """A section with nothing essential in it is off."""
        self.assertEqual(self.names("[slack]\nuser = me\nemoji = :x:\n[hipchat]\nroom =\nauth =\n[sentry]\n"), [])

    def test_on(self) -> None:
        """Every option is there, with its default where none is given."""
        settings = self.load("[sentry]\nurl = https://key@h/1\nCrons = Yes\n[slack]\nchannel = #x\ntoken = xoxb-1\n")
        slack = {"url": SLACK_API, "channel": "#x", "token": "xoxb-1", "user": "", "emoji": ""}
        sentry = {"url": "https://key@h/1", "environment": "", "crons": "true"}
        self.assertEqual(settings.channels, (ChannelSettings("slack", slack), ChannelSettings("sentry", sentry)))
        self.assertEqual(settings.secrets, {"xoxb-1", "https://key@h/1"})

    def test_flag_default(self) -> None:
        settings = self.load("[sentry]\nurl = https://public@h/1\ncrons =\n")
        self.assertEqual(settings.channels[0].values["crons"], "false")
        self.assertEqual(settings.secrets, {"https://public@h/1", "public"})

    def test_webhook(self) -> None:
        """What is essential depends on the values; a webhook's URL is a secret, the default is none."""
        self.assertEqual(self.load("[slack]\nurl = https://hooks/x\n").secrets, {"https://hooks/x"})
        self.assertEqual(self.load(f"[slack]\nurl = {SLACK_API}\n").secrets, frozenset())

    def test_incomplete(self) -> None:
        """Each missing option is a problem that names it, where it stands or where the section begins."""
        self.assertEqual(
            self.problems("[slack]\ntoken = S3CRET\n[hipchat]\nroom = 5\nauth =\n"),
            [
                "1: [slack] channel: missing; [slack] needs channel and token",
                "5: [hipchat] auth: missing; [hipchat] needs room and auth",
            ],
        )

    def test_forms(self) -> None:
        self.assertEqual(
            self.problems("[sentry]\nurl = S3CRET\ncrons = x\n[hipchat]\nurl = ftp://h/\n"),
            [
                "2: [sentry] url: the URL must start with http:// or https://",
                '3: [sentry] crons: must be true or false, not "x"',
                "5: [hipchat] url: the URL's scheme must be http or https",
            ],
        )

    def test_all_that_is_wrong(self) -> None:
        """One bad option does not hide another, nor is what is bad called missing."""
        cast(FakeChannel, self.channels["sentry"]).bad = {"url": "is no DSN", "crons": "never said"}
        self.assertEqual(
            self.problems(
                "[sentry]\nurl = https://h/\ncrons = x\n[hipchat]\nauth = ${env:NOBODY}\n[slack]\ntoken = ${env:NO}\n"
                "channel = ${env:NO}\n"
            ),
            [
                "2: [sentry] url: is no DSN",
                '3: [sentry] crons: must be true or false, not "x"',
                "4: [hipchat] room: missing; [hipchat] needs room and auth",
                "5: [hipchat] auth: environment variable NOBODY is not set; ${env:NOBODY:-...} would give a default",
                "7: [slack] token: environment variable NO is not set; ${env:NO:-...} would give a default",
                "8: [slack] channel: environment variable NO is not set; ${env:NO:-...} would give a default",
            ],
        )

    def test_check(self) -> None:
        """What the channel itself finds wrong is a problem, without the secrets it may have quoted."""
        cast(FakeChannel, self.channels["hipchat"]).bad = {"auth": "{auth} is bad", "room": "no such room"}
        self.assertEqual(
            self.problems("[hipchat]\nauth = S3CRET\nroom = 5\n"),
            ["2: [hipchat] auth: *** is bad", "3: [hipchat] room: no such room"],
        )

    def test_real_channels(self) -> None:
        """The channels that there are can be read as the contract's tables have them."""
        from pypinger.notify import channels

        self.channels = dict(channels())
        settings = self.load(
            "[slack]\nurl =\nchannel = #x\ntoken = xoxb-1\nuser = u\nemoji = :x:\n"
            "[hipchat]\nroom = 5\nauth = abcd\nemoji = (x)\nurl = https://hipchat.example.com\n"
            "[sentry]\nurl = https://0123456789abcdef@o1.example.com/1\nenvironment = test\ncrons = true\n"
        )
        self.assertEqual({channel.name for channel in settings.channels}, {"slack", "hipchat", "sentry"})
        self.assertEqual(self.load("[slack]\n[hipchat]\n[sentry]\n").channels, ())
