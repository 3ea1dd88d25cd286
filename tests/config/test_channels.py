"""Channel sections."""

from __future__ import annotations

from typing import cast

from pypinger.domain.model import Event
from pypinger.domain.routing import DEFAULT_EVENTS
from tests.config.samples import SLACK_API, FakeChannel, LoadingTestCase


class ChannelTests(LoadingTestCase):
    def names(self, text: str) -> list[str]:
        return [channel.name for channel in self.load(text).channels]

    def test_off(self) -> None:
        """A section without any essential value is off."""
        self.assertEqual(self.names("[slack]\nuser = me\nemoji = :x:\n[hipchat]\nroom =\nauth =\n[sentry]\n"), [])

    def test_on(self) -> None:
        """All options have values, defaults where none is given; the channels are in the order of the file."""
        settings = self.load("[sentry]\nurl = https://key@h/1\nCrons = Yes\n[slack]\nchannel = #x\ntoken = xoxb-1\n")
        slack = {"url": SLACK_API, "channel": "#x", "token": "xoxb-1", "user": "", "emoji": ""}
        sentry = {"url": "https://key@h/1", "environment": "", "crons": "true"}
        self.assertEqual(
            [(each.name, each.kind, each.values) for each in settings.channels],
            [("sentry", "sentry", sentry), ("slack", "slack", slack)],
        )
        self.assertEqual(settings.secrets, {"xoxb-1", "https://key@h/1"})

    def test_flag_default(self) -> None:
        settings = self.load("[sentry]\nurl = https://public@h/1\ncrons =\n")
        self.assertEqual(settings.channels[0].values["crons"], "false")
        self.assertEqual(settings.secrets, {"https://public@h/1", "public"})

    def test_webhook(self) -> None:
        """Essential options may depend on values; a webhook's URL is a secret, the default URL is not."""
        self.assertEqual(self.load("[slack]\nurl = https://hooks/x\n").secrets, {"https://hooks/x"})
        self.assertEqual(self.load(f"[slack]\nurl = {SLACK_API}\n").secrets, frozenset())

    def test_incomplete(self) -> None:
        """Each missing option is a problem at its own line, or at that of the section."""
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
                "5: [hipchat] url: ftp://h/: the URL's scheme must be http or https",
            ],
        )

    def test_several_problems(self) -> None:
        """A bad option neither hides another nor is reported as missing."""
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
                "5: [hipchat] auth: environment variable NOBODY is not set; ${env:NOBODY:-...} sets a default",
                "7: [slack] token: environment variable NO is not set; ${env:NO:-...} sets a default",
                "8: [slack] channel: environment variable NO is not set; ${env:NO:-...} sets a default",
            ],
        )

    def test_check(self) -> None:
        """Problems that the channel finds are reported, with quoted secrets masked."""
        cast(FakeChannel, self.channels["hipchat"]).bad = {"auth": "{auth} is bad", "room": "no such room"}
        self.assertEqual(
            self.problems("[hipchat]\nauth = S3CRET\nroom = 5\n"),
            ["2: [hipchat] auth: *** is bad", "3: [hipchat] room: no such room"],
        )

    def test_real_channels(self) -> None:
        """The channels of the package accept the options of the contract's table."""
        from pypinger.notify import channels

        self.channels = dict(channels())
        settings = self.load(
            "[slack]\nurl =\nchannel = #x\ntoken = xoxb-1\nuser = u\nemoji = :x:\n"
            "[hipchat]\nroom = 5\nauth = abcd\nemoji = (x)\nurl = https://hipchat.example.com\n"
            "[sentry]\nurl = https://0123456789abcdef@o1.example.com/1\nenvironment = test\ncrons = true\n"
            f"[webhook]\nurl = https://hooks.example/1\nheaders =\n  X-A: one-secret\n  X-B: 2\nsecret = three-secret\n"
            f"template = {self.write('body.json', '$task_name')}\n"
            "[pagerduty]\nrouting_key = four-secret\nurl = https://events.eu.pagerduty.com/v2/enqueue\n"
            "[alertmanager]\nurl = http://me:five-secret@localhost:9093\n"
            "[email]\nserver = smtp://mail\ntls = yes\nuser = u\npassword = six-secret\nfrom = P <p@x.example>\n"
            "to = a@x.example, b@x.example\n  c@x.example\n"
            "[apprise]\nurls =\n  json://h/seven-secret\n  ntfy://eight-secret\n"
        )
        self.assertEqual({channel.name for channel in settings.channels}, set(self.channels))
        values = {channel.name: channel.values for channel in settings.channels}
        self.assertEqual(values["webhook"]["headers"], "X-A: one-secret\nX-B: 2")
        self.assertEqual(values["email"]["to"], "a@x.example, b@x.example\nc@x.example")
        for secret in ("https://hooks.example/1", "X-A: one-secret", "three-secret", "four-secret", "five-secret"):
            self.assertIn(secret, settings.secrets)
        for secret in ("six-secret", "json://h/seven-secret", "ntfy://eight-secret"):
            self.assertIn(secret, settings.secrets)
        self.assertEqual(self.load("".join(f"[{name}]\n" for name in self.channels)).channels, ())

    def test_problems_of_webhook_and_alertmanager(self) -> None:
        """They have the line of their option, and quote no secret."""
        from pypinger.notify import channels

        self.channels = dict(channels())
        self.write("body.json", "{}\n$task_nam")
        problems = self.problems(
            "[webhook]\nurl = https://hooks.example/1\nheaders = TOKEN\ntemplate = body.json\n"
            "[alertmanager]\nurl = http://am:9093/api/v2/alerts\n[pagerduty]\nurl = http://h/\nrouting_key = a b\n"
        )
        self.assertEqual(
            problems,
            [
                '3: [webhook] headers: header 1 must be written as "Name: value"',
                f"4: [webhook] template: {self.cwd}/body.json: line 2: unknown field $task_nam; "
                "did you mean $task_name?",
                "6: [alertmanager] url: must be the URL of Alertmanager's root, without /api/v2/alerts",
                "9: [pagerduty] routing_key: must consist of printable ASCII characters without spaces",
            ],
        )

    def test_named_sections(self) -> None:
        """Each has its own options; nothing is inherited between them."""
        settings = self.load(
            "[slack]\nchannel = #x\ntoken = xoxb-1\n[slack  night shift]\nurl = https://hooks/x\n"
            "[slack off]\nuser = me\n"
        )
        self.assertEqual(
            [(each.name, each.kind, each.values["channel"]) for each in settings.channels],
            [("slack", "slack", "#x"), ("slack night shift", "slack", "")],
        )

    def test_a_section_that_inherits_nothing_is_off(self) -> None:
        off = "is off, since no option that it needs is set; nothing is inherited from other sections"
        self.assertEqual(
            self.warnings_of("[urls]\nprod = http://h/\n[slack ops]\n[slack]\nmatch = *\n[hipchat]\nroom =\n"),
            [f"3: [slack ops]: {off}", f"4: [slack]: {off}"],
        )

    def test_a_url_for_a_name(self) -> None:
        self.assertEqual(
            self.problem("[sentry https://h/S3CRET?S3CRET]\nurl = https://key@h/1\n"),
            "1: [sentry https://h/S3CRET?…]: has a URL where its name belongs; a URL goes into an option",
        )

    def test_named_sections_with_problems(self) -> None:
        self.assertEqual(
            self.problems(
                "[slack ops]\ntoken = S3CRET\nrom = x\n[slack  ops]\nurl = https://hooks/x\n"
                "[slak ops]\n[hipchat a]\nroom=1\n"
            ),
            [
                "1: [slack ops] channel: missing; [slack] needs channel and token",
                "3: [slack ops] rom: unknown option; [slack] has url, channel, token, user, emoji,"
                " match, events, after",
                "4: [slack ops]: duplicate section, first given in line 1; merge the two",
                "6: [slak ops]: unknown section; did you mean [slack]?",
                "7: [hipchat a] auth: missing; [hipchat] needs room and auth",
            ],
        )

    def test_routing(self) -> None:
        on = "channel = #x\ntoken = xoxb-1\n"
        route = (
            self.load(
                f"[urls]\nprod = http://h/a\n[slack]\n{on}match = !name:dev* server:db*\n"
                "events = Problem, recovered\nafter = 1h\n"
            )
            .channels[0]
            .route
        )
        self.assertEqual((route.channel, route.match.text, route.after), ("slack", "!name:dev* server:db*", 3600.0))
        self.assertEqual(route.events, {Event.PROBLEM, Event.RECOVERED})
        route = self.load(f"[slack]\n{on}").channels[0].route
        self.assertEqual((route.match.words, route.events, route.after), ((), DEFAULT_EVENTS, 0.0))

    def test_routing_with_problems(self) -> None:
        on = "channel = #x\ntoken = xoxb-1\n"
        self.assertEqual(
            self.problems(f"[slack]\n{on}match = srv:x\nevents = problem recoverd\nafter = soon\n"),
            [
                "4: [slack] match: unknown prefix srv:; did you mean server:?",
                '5: [slack] events: unknown event "recoverd"; did you mean recovered?',
                '6: [slack] after: must be a length of time of 0 or more (90, 90s, 5m, 1h 30m), not "soon"',
            ],
        )
        self.assertIn(
            '"everything-there-is"; there are problem, changed,',
            self.problem(f"[slack]\n{on}events = everything-there-is\n"),
        )
        settings = self.load(f"[urls]\nprod = http://h/a\n[slack]\n{on}match = group:shop\n[web]\nhosts = h\n")
        self.assertEqual(len(settings.channels), 1)
        self.assertIn('[slack] match: "group:shop" matches no task', settings.warnings[0])
