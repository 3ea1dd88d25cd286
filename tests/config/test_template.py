"""The template is valid, works as shipped, and shows every option; so does the reference."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pypinger
from pypinger.config.known import NAMED_OPTIONS, OPTIONS
from pypinger.config.settings import Settings
from pypinger.notify import channels
from pypinger.ports.notifying import ROUTING
from tests.config.samples import LoadingTestCase, pem_files

ROOT = Path(pypinger.__file__).parent.parent


def every_option() -> set[tuple[str, str]]:
    """Section and name of all options; sections with names by their first word."""
    options = OPTIONS | NAMED_OPTIONS
    options |= {name: tuple(spec.name for spec in channel.options) for name, channel in channels().items()}
    return {(section, name) for section, names in options.items() for name in names}


class TemplateTests(LoadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.channels = dict(channels())
        self.text = (ROOT / "pinger_template.ini").read_text()
        # Only options that are off stand after a semicolon.
        self.full = re.sub("^;", "", self.text, flags=re.MULTILINE)

    def test_as_shipped(self) -> None:
        """It checks Py Pinger's own report, sends nothing, and has the defaults but for fewer reminders."""
        settings = self.load(self.text)
        self.assertEqual([task.url for task in settings.tasks], ["http://localhost:3002/status"])
        self.assertTrue(settings.only_log)
        self.assertEqual((settings.channels, settings.token_auth, settings.warnings), ((), None, ()))
        plain = self.load(
            "[main]\nonly_log = true\nerror_interval = 1h\n[urls]\nprod = http://localhost:3002/status\n"
            "[web]\nhosts = localhost 127.0.0.1\n"
        )
        self.assertEqual(settings, plain)

    def test_every_option_is_shown(self) -> None:
        found: list[tuple[str, str]] = []
        section = ""
        for line in self.full.splitlines():
            if header := re.match(r"\[(\w+)", line):
                section = header[1]
            elif option := re.match(r"(\w+) =", line):
                found.append((section, option[1]))
        routing = {("slack", option) for option in ROUTING}
        self.assertEqual(set(found), every_option() | routing)
        once = [option for option in found if option[0] not in (*NAMED_OPTIONS, "slack")]
        self.assertEqual(len(once), len(set(once)))

    def test_everything_on(self) -> None:
        """With all options set the file is valid and every channel is on."""
        os.mkdir(os.path.join(self.cwd, "conf.d"))
        self.write("conf.d/reports.ini", "[task Reports]\nurl = https://reports.example.com/cron\n")
        settings = self.load_with_files(self.full)
        self.assertEqual({channel.name for channel in settings.channels}, {*self.channels, "slack shop"})
        self.assertEqual(
            [task.name for task in settings.tasks][1:], ["Order export", "Mails", "Nightly backup", "Reports"]
        )
        self.assertEqual([task.failures for task in settings.tasks], [1, 3, 2, 1, 1])
        self.assertEqual([each.name for each in settings.maintenance], ["backups", "move to the new server"])
        self.assertEqual(settings.heartbeat and settings.heartbeat.url, "https://hc.example/ping/1")
        self.assertEqual(settings.token_auth and settings.token_auth.token, "Bearer secret")
        self.assertEqual(len(settings.warnings), 2)

    def test_earlier_templates(self) -> None:
        """Each earlier template of this project is still valid, as shipped and with all options set."""
        paths = sorted(Path(__file__).with_name("templates").glob("*.ini"))
        self.assertEqual(len(paths), 7)
        for path in paths:
            text = path.read_text()
            settings = self.load(text)
            self.assertEqual([task.url for task in settings.tasks], ["http://localhost:3002/status"])
            self.assertEqual((settings.only_log, settings.channels), (True, ()))
            error_interval, own_error_interval = (480, 3600) if path.stem <= "2026-11-25-2" else (3600, 7200)
            self.assertEqual((settings.task_defaults.error_interval, settings.store.keep_days), (error_interval, 90))
            settings = self.load_with_files(re.sub("^;", "", text, flags=re.MULTILINE))
            self.assertEqual(
                [task.url for task in settings.tasks[1:]],
                ["https://shop.example.com/cron/orders", "https://shop.example.com/cron/mails?region=eu%2Cus"],
            )
            orders = settings.tasks[1]
            self.assertEqual(
                (orders.name, orders.error_interval, orders.grace), ("Order export", own_error_interval, 300)
            )
            known = {"slack", "hipchat", "sentry"} if path.stem <= "2026-11-26" else {*self.channels, "slack shop"}
            self.assertEqual({channel.name for channel in settings.channels}, known)

    def load_with_files(self, text: str) -> Settings:
        """Load a text with all options set; the files and credentials that it names exist."""
        pem = pem_files(self.cwd)
        for name in (
            "smtp_password",
            "shop_password",
            "slack_token",
            "hipchat_auth",
            "webhook_token",
            "webhook_secret",
            "pagerduty_key",
            "postgres_password",
        ):
            self.write(name, "secret\n")
        self.write("backup_push_key", "0e9e5a8a-1111-4222-8333-000000000001\n")
        self.write("webhook_url", "https://hooks.example/1\n")
        text = text.replace("/etc/pypinger/webhook.json", self.write("webhook.json", '{"text": "$task_name"}'))
        self.write("heartbeat_url", "https://hc.example/ping/1\n")
        self.write("apprise_urls", "ntfy://pinger\njson://hooks.example/alerts\n")
        self.environ = {"CREDENTIALS_DIRECTORY": self.cwd, "PINGER_TOKEN": "secret"}
        for name in ("client", "shop", "ca", "shop-ca"):
            known = pem["ca.pem" if name.endswith("ca") else "client.pem"]
            text = re.sub(f"/etc/py-?pinger/{name}.pem", known, text)
            text = re.sub(f"/etc/py-?pinger/{name}.key", os.path.join(self.cwd, "client.key"), text)
        return self.load(text)

    def test_reference(self) -> None:
        """``docs/configuration.md`` has all options in the tables of their sections."""
        found: set[tuple[str, str]] = set()
        section = ""
        for line in (ROOT / "docs" / "configuration.md").read_text().splitlines():
            if line.startswith("## "):
                header = re.match(r"## `\[(\w+)", line)
                section = header[1] if header else "Channels" if line == "## Channels" else ""
            elif section and line.startswith("| `"):
                found |= {(section, name) for name in re.findall("`([a-z_]+)`", line.split("|")[1])}
        self.assertEqual(found, every_option() | {("Channels", option) for option in ROUTING})
