"""Every ini file that users may have still loads: of the original, of this repository and of its documentation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pypinger
from pypinger.notify import channels
from tests.config.samples import ORIGINAL, LoadingTestCase

ROOT = Path(pypinger.__file__).parent.parent

#: An ini file made from the original's first template, which had the token in ``[urls]``.
FIRST = """\
[main]
debug = true
debug_now = 2014-01-02
only_log = true
interval = 10
error_interval = 480

[urls]
prod =
dev = http://localhost:8000/task
auth_token = original-token

[hipchat]
room = 1
auth = x
"""

#: The ini files in the documentation, each with the variables, files and credentials that it names.
DOCUMENTED = [
    *(
        f"""\
[main]
greeting = Hello from the monitor
interval = {interval}
error_interval = {error_interval}

[urls]
prod =
    http://app-2.example.com/tasks/import.json
    https://shop.example.com/tasks/orders

[task http://app-2.example.com/tasks/import.json]
name = Price import
grace = {grace}

[slack]
channel = #ops
token = ${{env:SLACK_TOKEN}}

[web]
public_url = https://pinger.example.com
"""
        for interval, error_interval, grace in (("60", "3600", "300"), ("60s", "1h", "5m"))
    ),
    "[urls]\nprod = http://app-2.example.com/tasks/import.json\n",
    "[slack]\nchannel = #ops\ntoken = ${credential:slack_token}\n",
    "[slack]\nchannel = #ops\ntoken = ${credential:slack-token}\nuser = Py Pinger\nemoji = rotating_light\n",
    "[slack]\nchannel = #ops\ntoken = ${credential:slack_token}\nuser = Py Pinger\nemoji = rotating_light\n",
    "[slack]\nurl = ${credential:slack-webhook}\n",
    "[slack]\nurl = ${credential:slack_webhook}\n",
    "[hipchat]\nurl = https://hipchat.example\nroom = Ops\nauth = ${credential:hipchat-token}\n",
    "[hipchat]\nurl = https://hipchat.example\nroom = Ops\nauth = ${credential:hipchat_auth}\n",
    "[sentry]\nurl = ${credential:sentry-dsn}\nenvironment = production\ncrons = true\n",
    "[sentry]\nurl = ${credential:sentry_dsn}\nenvironment = production\ncrons = true\n",
    "[maintenance backups]\nmatch = group:shop\nschedule = 0 3 * * SUN\ntimezone = Europe/Berlin\nduration = 90m\n",
    "[task https://shop.example.com/cron/orders]\ngrace = 5m\n\n[task Mails]\nurl = https://shop.example.com/cron/mails\n",
]

_CREDENTIALS = {
    "slack_token": "xoxb-1",
    "slack-token": "xoxb-1",
    "slack-webhook": "https://hooks.slack.com/services/T/B/x",
    "slack_webhook": "https://hooks.slack.com/services/T/B/x",
    "hipchat-token": "h",
    "hipchat_auth": "h",
    "sentry-dsn": "https://key@o1.ingest.sentry.io/1",
    "sentry_dsn": "https://key@o1.ingest.sentry.io/1",
}


class EarlierFilesTests(LoadingTestCase):
    unmeasured = True

    def setUp(self) -> None:
        super().setUp()
        self.channels = dict(channels())
        self.environ = {"CREDENTIALS_DIRECTORY": self.cwd, "SLACK_TOKEN": "xoxb-1"}
        for name, value in _CREDENTIALS.items():
            self.write(name, value)

    def test_original(self) -> None:
        settings = self.load(ORIGINAL)
        self.assertEqual(len(settings.tasks), 4)
        self.assertEqual([channel.name for channel in settings.channels], ["slack"])
        self.assertEqual(
            (settings.greeting, settings.task_defaults.error_interval), ("Py Pinger is up: 100% ready", 480)
        )
        self.assertEqual(self.warnings_of(ORIGINAL), [])

    def test_first_template_of_the_original(self) -> None:
        settings = self.load(FIRST)
        self.assertEqual([task.url for task in settings.tasks], ["http://localhost:8000/task"])
        self.assertEqual(settings.token_auth and settings.token_auth.token, "original-token")
        self.assertEqual([channel.name for channel in settings.channels], ["hipchat"])
        self.assertEqual(
            [warning.partition(" ")[2].partition(":")[0] for warning in self.warnings_of(FIRST)],
            ["[main] debug_now", "[main] interval", "[urls] auth_token"],
        )

    def test_documentation(self) -> None:
        """Each earlier example is valid and turns on what it is about, without a warning about it."""
        for text in DOCUMENTED:
            settings = self.load(text)
            for name in re.findall(r"^\[(slack|hipchat|sentry)\]", text, re.MULTILINE):
                self.assertEqual([channel.name for channel in settings.channels], [name], text)
            for url in re.findall(r"https?://[^\s\]]+/(?:tasks|cron)/[^\s\]]+", text):
                self.assertIn(url, {task.url for task in settings.tasks})
            self.assertEqual(
                [
                    warning
                    for warning in self.warnings_of(text)
                    if "there is no task to check" not in warning and "matches no task" not in warning
                ],
                [],
            )

    def test_examples_of_today(self) -> None:
        """The ini files in the documentation are valid, each by itself."""
        found = 0
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
            for text in re.findall(r"^```ini\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
                if re.match(r"\[(Service|Socket|Unit)\]", text):
                    continue
                found += 1
                # Only a DSN has a user name, and Apprise has schemes of its own.
                scheme, user = ("json" if "[apprise" in text else "https"), ("key@" if "[sentry" in text else "")
                value = f"{scheme}://{user}host.example/1"
                for credential in re.findall(r"\$\{credential:([^}]+)\}", text):
                    if not (Path(self.cwd) / credential).exists():
                        known = {"apprise": "json://host.example/1", "postgres": "password"}
                        self.write(credential, known.get(re.split(r"\W|_", credential)[0], value))
                text = re.sub(r"\$\{env:\w+:-([^}]*)\}", r"\1", text)
                self.load(re.sub(r"\$\{(?:env|file):[^}]+\}", value, text))
        self.assertGreater(found, 5)

    def test_every_template_in_the_history(self) -> None:
        """As shipped, each version that this repository has had is valid and sends nothing."""
        try:
            versions = self.git("log", "-m", "--format=%H", "--diff-filter=AM", "--", "pinger_template.ini").split()
        except (OSError, subprocess.CalledProcessError):
            versions = []
        for version in versions:
            settings = self.load(self.git("show", f"{version}:pinger_template.ini"))
            self.assertEqual([task.url for task in settings.tasks], ["http://localhost:3002/status"], version)
            self.assertEqual((settings.only_log, settings.channels), (True, ()), version)

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True, encoding="utf-8"
        ).stdout
