"""Warnings about values that are valid and hardly meant so, and what problems say of such forms."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypinger.config import forms
from tests.config.samples import LoadingTestCase

#: A task, so that nothing else is worth a warning.
TASK = "[urls]\nprod = http://h/orders\n"


class CommentTests(LoadingTestCase):
    def test_behind_a_value_that_stays_valid(self) -> None:
        for option, mark in (
            ("[slack]\nchannel = #ops # alerts\ntoken = x", "#"),
            ("[slack]\nchannel = ops\ntoken = S3CRET ; of the app", ";"),
            ("[main]\ngreeting = Hello\t; at the start", ";"),
            ("[main]\ngreeting =\n  Hello\n  there #", "#"),
            ("[task http://h/orders]\nname = Orders # by cron", "#"),
        ):
            (warning,) = self.warnings_of(f"{TASK}{option}\n")
            self.assertIn(
                f'has " {mark}" in it, and what follows is part of the value; a comment needs a line of its own',
                warning,
            )
            self.assertNotIn("S3CRET", warning)
        (warning,) = self.warnings_of(f"{TASK}[slack]\nchannel = ops # a\ntoken = x\n")
        self.assertTrue(warning.startswith("4: [slack] channel: "), warning)

    def test_what_is_no_comment(self) -> None:
        self.environ = {"PASSWORD": "a ; b"}
        text = (
            "[main]\n# a comment\ngreeting = Py Pinger #1 is up; C# too;\n  ; another\n"
            "[slack]\nchannel = #ops\ntoken = x;y\n"
            "[token_auth]\nurl = http://h/#x\nusername = #\npassword = ${env:PASSWORD}\n"
        )
        self.assertEqual(self.warnings_of(f"{TASK}{text}"), [])

    def test_behind_a_value_that_is_invalid(self) -> None:
        """The problem says it."""
        for option in (
            "[main]\ninterval = 60 ; seconds",
            "[main]\nfailures = 3 #three",
            "[main]\nonly_log = no\t# send",
            "[main]\nca_file = ca.pem ; ours",
            "[urls]\nprod = http://h/a\n  http://h/b # orders\n  http://h/c",
            "[web]\npublic_url = https://h/ ; pages",
            "[sentry]\nurl = https://S3CRET@h/1 ; dsn",
        ):
            problem = self.problem(option)
            self.assertTrue(problem.endswith("; a comment needs a line of its own"), problem)
            self.assertNotIn("S3CRET", problem)

    def test_another_problem_of_the_option(self) -> None:
        """Only the line that is wrong counts."""
        self.assertEqual(
            self.problem("[urls]\nprod = ftp://h/a\n  http://h/b\n"),
            "2: [urls] prod: ftp://h/a: the URL's scheme must be http or https",
        )
        self.assertNotIn("comment", self.problem("[main]\nhello = 5 ; x\n").partition("unknown option")[0])


class QuoteTests(LoadingTestCase):
    def test_around_a_value_that_stays_valid(self) -> None:
        for option in (
            '[slack]\nchannel = "#ops"\ntoken = x',
            "[slack]\nchannel = ops\ntoken = 'S3CRET'",
            '[task http://h/orders]\nname = "Orders"',
            '[main]\ngreeting = ""',
        ):
            (warning,) = self.warnings_of(f"{TASK}{option}\n")
            self.assertTrue(warning.endswith("has quotes around it, which are part of the value; remove them"), warning)
            self.assertNotIn("S3CRET", warning)

    def test_quotes_that_belong_to_the_value(self) -> None:
        text = (
            '[main]\ngreeting = "Up" means "good"\n[task http://h/orders]\nname = Night\'s "work"\n'
            '[maintenance x]\nmatch = "http://h/orders"\nschedule = @daily\nduration = 1h\n'
        )
        self.assertEqual(self.warnings_of(f"{TASK}{text}"), [])

    def test_around_a_value_that_is_invalid(self) -> None:
        for option in (
            '[main]\ninterval = "10"',
            "[main]\nonly_log = 'yes'",
            '[urls]\nprod = "http://h/a, http://h/b"',
            '[web]\nendpoint = "tcp:3002"',
        ):
            for problem in self.problems(option):
                self.assertTrue(problem.endswith("; write the value without quotes"), problem)


class TimeoutTests(LoadingTestCase):
    def test_places(self) -> None:
        """The warning is about the section that sets one of the two last, once."""
        for text, place in (
            ("[main]\ninterval = 10s\n", "2: [main] interval: timeout (20 s) is longer than interval (10 s)"),
            (
                "[main]\ntimeout = 2m\ninterval = 1m\n",
                "2: [main] timeout: timeout (2 min) is longer than interval (1 min)",
            ),
            ("[group *]\ntimeout = 2m\n", "2: [group *] timeout: timeout (2 min) is longer than interval (1 min)"),
            (
                "[group *]\ntimeout = 50s\n[task http://h/orders]\ninterval = 30s\n",
                "4: [task http://h/orders] interval: timeout (50 s) is longer than interval (30 s)",
            ),
        ):
            words = "; a check that takes so long delays the next"
            self.assertEqual(
                self.warnings_of(f"{text}[urls]\nprod = http://h/orders, http://h/mails\n"), [f"{place}{words}"]
            )

    def test_only_what_tasks_have_counts(self) -> None:
        text = (
            "[main]\ninterval = 10s\n[group http*]\ntimeout = 10s\n[task http://h/off]\ninterval = 1s\nenabled = no\n"
        )
        self.assertEqual(self.warnings_of(f"{text}{TASK}"), [])


class DiscordTests(LoadingTestCase):
    def warned(self, url: str, section: str = "slack") -> list[str]:
        return self.warnings_of(f"{TASK}[{section}]\nurl = {url}\n")

    def test_webhook(self) -> None:
        words = "is a webhook of Discord, which takes Slack's messages at the same URL with /slack after it"
        for url in (
            "https://discord.com/api/webhooks/1/S3CRET",
            "https://discordapp.com/api/webhooks/1/S3CRET/",
            "https://canary.discord.com/api/webhooks/1/S3CRET?wait=true",
            "https://discord.com/api/webhooks/1/S3CRET/github",
        ):
            self.assertEqual(self.warned(url), [f"4: [slack] url: {words}; append that, or use [apprise]"])
            self.assertEqual(len(self.warned(url, "slack ops")), 1)

    def test_others(self) -> None:
        self.environ = {"URL": "https://discord.com/api/webhooks/1/S3CRET"}
        self.assertEqual(len(self.warned("${env:URL}")), 1)
        for url in (
            "${env:URL}/slack",
            "https://discord.com/api/webhooks/1/S3CRET/slack?thread_id=1",
            "https://hooks.slack.com/services/T/B/S3CRET",
            "https://notdiscord.com/hook",
        ):
            self.assertEqual(self.warned(url), [])

    def test_invalid(self) -> None:
        self.assertEqual(len(self.problems("[slack]\nurl = discord.com/api/webhooks/1/S3CRET\n")), 1)


class FormTests(LoadingTestCase):
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.text("ab \t;#\"'", max_size=12), max_size=3))
    def test_nothing_is_said_of_a_value_without_such_marks(self, texts: list[str]) -> None:
        said = forms.mistake("x", texts)
        marked = any(" " in text or "\t" in text for text in texts if ";" in text or "#" in text)
        quoted = any(len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" for text in texts)
        self.assertTrue(marked or quoted or not said)
        if said:
            self.assertTrue(forms.reason(texts))
