"""The jobs of crontabs as tasks, and their new lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config.importing import jobs
from pypinger.config.importing.crontab import parse
from pypinger.config.importing.jobs import ImportedJobs, Target
from pypinger.config.importing.sections import ImportedTask, written
from tests.config.importing.test_sections import parsed
from tests.config.samples import LoadingTestCase

UUID = "31365bce-8da9-4729-8ff3-aaa71d56b712"
PUSH = Target(run=("/opt/py-pinger/bin/pypinger", "run"), base="http://pinger.example.com:3002", zone="Europe/Berlin")
FILES = replace(PUSH, directory="/var/www/tasks", url="http://app-2.example.com/tasks")


def read(text: str, target: Target = PUSH, *, system: bool = False) -> ImportedJobs:
    numbers = count(1)
    return jobs.read(parse(text, system=system), target, lambda: f"new-key-of-length-{next(numbers)}")


class JobTests(SynchronousTestCase):
    def one(self, text: str, target: Target = PUSH, *, system: bool = False) -> tuple[ImportedTask, str]:
        """The only task, and its new line; empty where that stays."""
        found = read(text, target, system=system)
        (task,) = found.tasks
        return task, "".join(found.changed.values())

    def left(self, text: str, target: Target = PUSH) -> Sequence[str]:
        found = read(text, target)
        self.assertEqual(found.changed, {})
        return found.foot

    def test_push(self) -> None:
        task, line = self.one(
            "MAILTO=x\n# Prices of the shop\n*/10\t* * * mon-fri /usr/local/bin/import-prices >/dev/null 2>&1\n"
        )
        self.assertEqual(task.name, "import-prices")
        self.assertEqual(
            task.options,
            {
                "push_key": "new-key-of-length-1",
                "schedule": "*/10 * * * mon-fri",
                "timezone": "Europe/Berlin",
                "note": "Prices of the shop",
            },
        )
        self.assertEqual(
            line,
            "*/10\t* * * mon-fri /opt/py-pinger/bin/pypinger run --schedule '*/10 * * * mon-fri' --name import-prices"
            " --push http://pinger.example.com:3002/push/new-key-of-length-1"
            " -- /usr/local/bin/import-prices >/dev/null 2>&1",
        )
        self.assertEqual(task.comments, ["Line 3 uses pypinger run:", f"  {line}"])

    def test_report_file(self) -> None:
        task, line = self.one("@daily cd /srv && ./manage.py clearsessions", FILES)
        self.assertEqual(task.options["url"], "http://app-2.example.com/tasks/manage.py-clearsessions-1.json")
        self.assertNotIn("push_key", task.options)
        self.assertEqual(
            shlex.split(line),
            [
                *("@daily", "/opt/py-pinger/bin/pypinger", "run", "--schedule", "@daily"),
                *("--name", "manage.py clearsessions"),
                *("--report", "/var/www/tasks/manage.py-clearsessions-1.json"),
                *("--", "/bin/sh", "-c", "cd /srv && ./manage.py clearsessions"),
            ],
        )

    def test_by_the_script(self) -> None:
        task, line = self.one("@daily a", replace(PUSH, run=("/usr/local/bin/pypinger-report.py",)))
        self.assertIn("@daily /usr/local/bin/pypinger-report.py --schedule @daily --name a --push ", line)
        self.assertEqual(task.comments[0], "Line 1 uses pypinger-report.py:")

    def test_the_user_of_a_system_crontab_stays(self) -> None:
        _, line = self.one("17 * * * *  www-data  /x/y", system=True)
        self.assertTrue(line.startswith("17 * * * *  www-data  /opt/py-pinger/bin/pypinger run "), line)
        self.assertTrue(line.endswith(" -- /x/y"), line)

    def test_the_shell_of_the_crontab(self) -> None:
        _, line = self.one("SHELL=/bin/bash\n@daily a; b")
        self.assertIn(" -- /bin/bash -c 'a; b'", line)

    def test_percent_signs(self) -> None:
        task, line = self.one("@daily /x/100\\% a%input%more")
        self.assertEqual(task.name, "100%")
        self.assertIn("--name 100\\% ", line)
        self.assertTrue(line.endswith(" -- /x/100\\% a%input%more"), line)

    def test_zone_of_the_crontab(self) -> None:
        task, line = self.one("CRON_TZ=Asia/Tokyo\n0 3 * * * /x/y")
        self.assertEqual(task.options["timezone"], "Asia/Tokyo")
        self.assertIn(" --timezone Asia/Tokyo ", line)
        self.assertIn("CRON_TZ is Mars: unknown time zone", self.left("CRON_TZ=Mars\n0 3 * * * /x/y")[1])

    def test_comments_on_what_is_not_seen(self) -> None:
        task, _ = self.one("@daily a | b")
        self.assertIn("It is a pipe", task.comments[-1])
        task, _ = self.one("@daily cd /x && a 2>/dev/null")
        self.assertIn("It throws its errors away", task.comments[-1])

    def test_what_is_not_carried_over(self) -> None:
        foot = self.left("@reboot /x/start\n99 3 * * * y")
        self.assertEqual(foot[0], "Not carried over:")
        self.assertEqual(foot[1], "  line 1: start runs when the machine starts, so it is never due")
        self.assertEqual(foot[2], "  line 2: bad minute in the schedule: 99 3 * * * y")

    def test_names_are_unique(self) -> None:
        found = read("@daily /x/a\n@daily /y/a\n@hourly A=1")
        self.assertEqual([task.name for task in found.tasks], ["a", "a 2", "job of line 3"])

    def test_head(self) -> None:
        head = "\n".join(read("MAILTO=ops@example.com\nTZ=UTC\n@daily a").head)
        for words in ("1 task of", "Europe/Berlin", PUSH.base, "ops@example.com", "TZ is for the commands"):
            self.assertIn(words, head)
        head = "\n".join(read('MAILTO=""\nCRON_TZ=UTC\n@daily a\n@daily b', FILES).head)
        self.assertIn("2 tasks of", head)
        self.assertIn("Debian's cron ignores it", head)
        self.assertNotIn("mails", head)
        self.assertNotIn(PUSH.base, head)

    def test_a_new_crontab_is_written(self) -> None:
        found = read("A=https://hc-ping.com/" + UUID + "\n@daily a", replace(PUSH, written="new.cron"))
        self.assertEqual(found.tasks[0].comments, ["Line 2 uses pypinger run."])
        self.assertIn("new.cron; install it by: crontab new.cron", "\n".join(found.head))
        found = read("@daily root a", replace(PUSH, written="new.cron"), system=True)
        self.assertIn("new.cron; put it in the place of the old one", "\n".join(found.head))


class PingTests(JobTests):
    """Jobs that ping Healthchecks keep their keys."""

    def test_uuid(self) -> None:
        bases = (
            "https://hc-ping.com",
            "https://hc.example.com/ping",
            "http://10.0.0.1:8000/x/ping",
            "http://ping.example",
        )
        for base in bases:
            for end in ("", "/start", "/fail", "/$?", "/0", "?rid=$RID"):
                task, line = self.one(f"0 3 * * * /x/y && curl -m 10 {base}/{UUID.upper()}{end} >/dev/null")
                self.assertEqual(task.name, "y")
                self.assertEqual(task.options["push_key"], UUID)
                self.assertEqual(task.options["grace"], "1h")
                self.assertEqual(line, f"0 3 * * * /x/y && curl -m 10 {PUSH.base}/ping/{UUID}{end} >/dev/null")
                self.assertIn("grace must be longer", task.comments[-1])

    def test_several_in_one_line(self) -> None:
        other = UUID.replace("3", "4")
        found = read(
            f"@daily curl https://hc-ping.com/{UUID}/start; a; curl https://hc-ping.com/{UUID}; curl h://x/{other}"
        )
        self.assertEqual(len(found.tasks), 1)
        found = read(f"@daily curl https://hc-ping.com/{UUID}; curl https://hc-ping.com/{other}")
        self.assertEqual([task.options["push_key"] for task in found.tasks], [UUID, other])

    def test_one_check_from_several_lines(self) -> None:
        found = read(f"@daily curl https://hc-ping.com/{UUID}/start\n@hourly a; curl https://hc-ping.com/{UUID}")
        (task,) = found.tasks
        self.assertEqual(task.options["schedule"], "@daily")
        self.assertEqual(task.name, "check 31365bce")
        self.assertIn("line 2: a pings check 31365bce, the task of another line", found.foot[1])
        self.assertEqual(len(found.changed), 2)

    def test_slug(self) -> None:
        text = "@daily a; curl https://hc-ping.com/fqOOd6-F4MMNuCEnzTU01w/db-backups"
        found = read(f"{text}/start\n{text}")
        (task,) = found.tasks
        self.assertEqual((task.name, task.options["push_key"]), ("db-backups", "new-key-of-length-1"))
        base = f"{PUSH.base}/ping/new-key-of-length-1"
        self.assertEqual(dict(found.changed), {1: f"@daily a; curl {base}/start", 2: f"@daily a; curl {base}"})

    def test_in_a_setting(self) -> None:
        found = read(f"HC=https://hc-ping.com/{UUID}\n@daily a && curl $HC\n@daily b && curl ${{HC}}/fail")
        self.assertEqual([task.options["push_key"] for task in found.tasks], [UUID])
        self.assertEqual(dict(found.changed), {1: f"HC={PUSH.base}/ping/{UUID}"})
        self.assertEqual(found.foot[0], f"Line 1, which jobs use: HC={PUSH.base}/ping/{UUID}")

    def test_a_url_of_several_settings_is_left_to_people(self) -> None:
        for text in (
            f"HC=https://hc-ping.com\n@daily a && curl $HC/{UUID}",
            f"ID={UUID}\n@daily a && curl https://hc-ping.com/$ID",
            f"ID={UUID}\n@daily runitor -uuid $ID -- a",
        ):
            found = read(text)
            self.assertEqual([task.options["push_key"] for task in found.tasks], [UUID])
            self.assertEqual(dict(found.changed), {})
            self.assertEqual(
                list(found.tasks[0].comments[:2]),
                [
                    "Line 2 still pings Healthchecks: its URL is made of variables. Change them to ping",
                    f"  {PUSH.base}/ping/UUID",
                ],
            )

    def test_runitor(self) -> None:
        task, line = self.one(f"@daily /usr/bin/runitor -silent -uuid {UUID} -- /x/y")
        self.assertEqual((task.name, task.options["push_key"]), ("y", UUID))
        self.assertNotIn("grace", task.options)
        self.assertEqual(line, f"@daily /usr/bin/runitor -api-url {PUSH.base}/ping -silent -uuid {UUID} -- /x/y")
        _, line = self.one(f"@daily runitor -api-url=https://hc.example.com/ping -uuid={UUID} -- /x/y")
        self.assertEqual(line, f"@daily runitor -api-url={PUSH.base}/ping -uuid={UUID} -- /x/y")
        _, line = self.one(f"@daily runitor -uuid {UUID} -api-url https://hc.example.com/ping -- /x/y -api-url z")
        self.assertEqual(line, f"@daily runitor -uuid {UUID} -api-url {PUSH.base}/ping -- /x/y -api-url z")

    def test_other_urls_stay(self) -> None:
        for url in (
            f"https://example.com/a/{UUID}",
            f"https://example.com/ping/{UUID}x",
            f"https://example.com/ping/{UUID}/runs",
            "https://example.com/ping/fqOOd6-F4MMNuCEnzTU01/x",
            "https://a.example/",
        ):
            _, line = self.one(f"@daily curl {url}")
            self.assertIn(f" -- curl {url}", line)


class RunTests(JobTests):
    """Jobs that report already."""

    def test_push_is_known(self) -> None:
        for command in (
            "pypinger run --push http://p:3002/push/0123456789abcdef --name Kept -- /x/q",
            "/opt/bin/pypinger run --name=Kept --push=http://p:3002/push/0123456789abcdef /x/q",
            "PYPINGER_PUSH_URL=http://p:3002/push/0123456789abcdef pypinger-report.py --every 1d -- /x/Kept",
        ):
            task, line = self.one(f"0 3 * * * {command}")
            self.assertEqual((task.name, line), ("Kept", ""))
            self.assertEqual(task.options["push_key"], "0123456789abcdef")
            self.assertEqual(task.options["schedule"], "0 3 * * *")
        task, _ = self.one("PYPINGER_PUSH_URL=http://p:3002/push/0123456789abcdef\n0 3 * * * pypinger run -- /x/Kept")
        self.assertEqual(task.options["push_key"], "0123456789abcdef")

    def test_one_key_twice(self) -> None:
        found = read("@daily pypinger run --push http://p/push/0123456789abcdef -- a\n" * 2)
        self.assertEqual(len(found.tasks), 1)
        self.assertIn("line 2: a reports to a, the task of another line", found.foot[1])

    def test_report_file_is_known(self) -> None:
        text = "@daily pypinger run --report /srv/reports/q.json -- /x/q"
        task, line = self.one(text, FILES)
        self.assertEqual((task.options["url"], line), ("http://app-2.example.com/tasks/q.json", ""))
        self.assertIn("add the URL of that file to [urls]", self.left(text)[1])
        self.assertIn("it says no push URL", self.left("@daily pypinger run -- /x/q")[1])


class ValidTests(LoadingTestCase):
    text = f"""\
CRON_TZ=Asia/Tokyo
# It's "the" backup; every # night
0 3 * * * /x/backup --all
@weekly cd /a && b | c
5 5 1 jan-jun * curl https://hc-ping.com/{UUID}
@reboot d
99 * * * * e
"""

    def test_the_daemon_reads_them(self) -> None:
        found = read(self.text)
        loaded = self.load("\n".join(written(found.head, found.tasks, found.foot)))
        self.assertEqual([task.schedule for task in loaded.tasks], ["0 3 * * *", "@weekly", "5 5 1 jan-jun *"])
        self.assertEqual({task.timezone for task in loaded.tasks}, {"Asia/Tokyo"})
        self.assertEqual([warning for warning in loaded.warnings if "hosts" not in warning], [])

    def test_report_files_too(self) -> None:
        found = read(self.text, FILES)
        loaded = self.load("\n".join(written(found.head, found.tasks, found.foot)))
        self.assertEqual(loaded.tasks[0].url, "http://app-2.example.com/tasks/backup-3.json")

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["0 3 * * *", "@daily", "@reboot", "A=", "#", "CRON_TZ=", "x"]),
                st.text()
                | st.sampled_from([f"curl https://h/{UUID}", "pypinger run --push http://p/push/0123456789abcdef"]),
            ),
            max_size=5,
        )
    )
    def test_any_crontab(self, lines: list[tuple[str, str]]) -> None:
        text = "\n".join(f"{when} {rest}" for when, rest in lines)
        for target in (PUSH, FILES):
            found = read(text, target)
            output = "\n".join(written(found.head, found.tasks, found.foot))
            self.assertEqual(len(parsed(output)), len(found.tasks))
            self.assertEqual(self.warnings_of(f"[urls]\nprod = http://a.example/\n{output}"), [])
