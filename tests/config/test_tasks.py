"""``[urls]`` and the task sections."""

from __future__ import annotations

import time

from pypinger.domain.model import Task
from pypinger.domain.url import task_id
from tests.config.samples import LoadingTestCase, pem_files


class ListTests(LoadingTestCase):
    def urls(self, text: str) -> list[str]:
        return [task.url for task in self.load(text).tasks]

    def test_separators(self) -> None:
        """Commas and newlines separate URLs; spaces and empty entries are ignored; ``%2C`` stays in the URL."""
        self.assertEqual(
            self.urls("[urls]\nprod = http://a/ ,, http://b/?x=1%2C2\n   ,http://c/,\n\n  http://d/\n"),
            ["http://a/", "http://b/?x=1%2C2", "http://c/", "http://d/"],
        )

    def test_invalid_urls(self) -> None:
        """Each invalid URL of both lists is a problem with its own line."""
        self.assertEqual(
            self.problems("[urls]\nprod = ftp://a/, http://b/\n  http://c:x/\n\n  d\ndev = http://\n"),
            [
                "2: [urls] prod: ftp://a/: the URL's scheme must be http or https",
                "3: [urls] prod: http://c:x/: the URL's port must be a number from 1 to 65535",
                "5: [urls] prod: the URL must start with http:// or https://",
                "6: [urls] dev: http://: the URL has no host",
            ],
        )

    def test_duplicates(self) -> None:
        """The first of URLs that differ only in userinfo is kept; a warning names the other."""
        text = "[urls]\nprod = http://h/?k=S3CRET\n  http://me:S3CRET@h/?k=S3CRET\n"
        self.assertEqual(self.urls(text), ["http://h/?k=S3CRET"])
        self.assertEqual(self.warnings_of(text), ["3: [urls] prod: http://h/?… is a duplicate, first given in line 2"])

    def test_active_list(self) -> None:
        text = "[urls]\nprod = http://p/\ndev = http://d/\n[main]\ndebug = "
        self.assertEqual(self.urls(text + "no"), ["http://p/"])
        self.assertEqual(self.urls(text + "yes"), ["http://d/"])

    def test_no_task(self) -> None:
        self.assertEqual(
            self.warnings_of("[urls]\nprod =\ndev = http://d/\n"), ["2: [urls] prod: there is no task to check"]
        )

    def test_task(self) -> None:
        """A task gets its identity from its URL and its settings from [main]."""
        settings = self.load(
            "[main]\ninterval = 1\nerror_interval = 2\ntimeout = 3\ngrace = 4\nfailures = 5\nproxy = env\n"
            "[urls]\nprod = https://me:pass%40word@h/x?k=query\n"
        )
        self.assertEqual(
            settings.tasks,
            (
                Task(
                    url="https://h/x?k=query",
                    id=task_id("https://h/x?k=query"),
                    name="h/x?…",
                    label="https://h/x?…",
                    origin="https://h:443",
                    credentials="me:pass@word",
                    interval=1,
                    error_interval=2,
                    timeout=3,
                    grace=4,
                    failures=5,
                    proxy="env",
                    named=False,
                ),
            ),
        )
        self.assertEqual(settings.secrets, {"me:pass%40word", "pass%40word", "k=query"})

    def test_short_secrets(self) -> None:
        """Secrets of three characters are not masked; a user name without a password is a secret."""
        self.assertEqual(
            self.load("[urls]\nprod = http://me:abc@h/?a=b, http://token@h/x").secrets, {"me:abc", "token"}
        )


class SectionTests(LoadingTestCase):
    def test_override(self) -> None:
        """A section overrides its options for its own task, and does not change the order."""
        settings = self.load(
            "[main]\ngrace = 9\n[task http://b/]\ninterval = 1\nerror_interval = 0\ntimeout = 3\nfailures = 5\n"
            "proxy = http://p:1/\nname = B\ntoken_auth = no\n[urls]\nprod = http://a/, http://me:pw@b/\n"
        )
        a, b = settings.tasks
        self.assertEqual((a.interval, a.name, a.token_auth, a.proxy), (60, "a/", True, None))
        self.assertEqual(
            b,
            Task(
                url="http://b/",
                id=task_id("http://b/"),
                name="B",
                label="http://b/",
                origin="http://b:80",
                credentials="me:pw",
                interval=1,
                error_interval=0,
                timeout=3,
                grace=9,
                failures=5,
                proxy="http://p:1/",
                token_auth=False,
            ),
        )
        self.assertEqual(settings.task_defaults.interval, 60)

    def test_own_tasks(self) -> None:
        """A section for an unlisted URL adds a task after the listed ones, in the order of the file."""
        settings = self.load(
            "[task http://[::1]:8000/x?a=b%20:c,d]\ntimeout = 1\n[task\thttp://b/]\n"
            "[urls]\nprod = http://a/\n[task http://me:password@c/]\n"
        )
        self.assertEqual(
            [task.url for task in settings.tasks],
            ["http://a/", "http://[::1]:8000/x?a=b%20:c,d", "http://b/", "http://c/"],
        )
        self.assertEqual(settings.tasks[1].timeout, 1)
        self.assertEqual(settings.tasks[3].credentials, "me:password")

    def test_credentials_of_both(self) -> None:
        """The userinfo of the section overrides that of the list."""
        settings = self.load("[urls]\nprod = http://a:b@h/\n[task http://c:d@h/]\n")
        self.assertEqual(settings.tasks[0].credentials, "c:d")

    def test_inactive(self) -> None:
        """A section for a URL of the inactive list adds no task, but is checked for problems."""
        text = "[urls]\nprod = http://a/\ndev = http://b/\n[task http://b/]\ninterval = "
        self.assertEqual([task.url for task in self.load(f"{text}5").tasks], ["http://a/"])
        self.assertEqual(len(self.problems(f"{text}x")), 1)

    def test_invalid_url(self) -> None:
        """A section with an invalid URL is a problem, and so are its options; secrets are not shown."""
        advice = "a task section looks like [task https://example.com/report] or [task NAME]"
        self.assertEqual(
            self.problems("[task]\n[task ftp://me:S3CRET@h/?S3CRET]\ninterval = x\n"),
            [
                f"1: [task]: needs a URL or a name; {advice}",
                f"2: [task ftp://…]: the URL's scheme must be http or https; {advice}",
                '3: [task ftp://…] interval: must be a length of time greater than 0 (90, 90s, 5m, 1h 30m), not "x"',
            ],
        )

    def test_twice(self) -> None:
        """Two sections for one task are a problem, even if their userinfo differs."""
        self.assertEqual(
            self.problem("[task http://h/?S3CRET]\n[task http://me:S3CRET@h/?S3CRET]\n"),
            "2: [task http://h/?…]: duplicate section of this task, first given in line 1",
        )

    def test_typos(self) -> None:
        """A section that adds a task is a warning if a listed URL is nearly the same."""
        listed = "https://h.example/cron/orders?region=eu"
        for url in (
            "https://h.example/cron/ordres?region=eu",
            "http://h.example/cron/orders?region=eu",
            "https://H.example/cron/orders?region=eu",
            "https://h.exmaple/cron/orders?region=eu",
            "https://h.example/cron/orders?regoin=eu",
            "https://h.example/cron/orders?region=eu/",
        ):
            self.assertEqual(
                self.warnings_of(f"[urls]\nprod = {listed}\n[task {url}]\n"),
                [
                    f"3: [task {url.partition('?')[0]}?…]: adds a task of its own; did you mean "
                    "https://h.example/cron/orders?…, which is in [urls]?"
                ],
            )

    def test_different_tasks_are_no_typos(self) -> None:
        """Short or numbered parts tell tasks apart."""
        for listed, url in (
            ("https://h/cron/a", "https://h/cron/b"),
            ("https://h/shop/1001", "https://h/shop/1002"),
            ("https://h/cron/orders", "https://h/cron/mails"),
            ("https://h/cron?job=orders", "https://h/cron?job=mails"),
            ("https://h/a/orders", "https://h/orders"),
            ("https://h/cron/order-import", "https://h/cron/order-export"),
            ("https://h/cron/mails-eu", "https://h/cron/mails-us"),
        ):
            self.assertEqual(self.warnings_of(f"[urls]\nprod = {listed}\n[task {url}]\n"), [])

    def test_listed_url_with_a_section(self) -> None:
        """It is not the one that was mistyped."""
        text = "[urls]\nprod = https://h/orders\n[task https://h/order]\n"
        self.assertEqual(len(self.warnings_of(text)), 1)
        self.assertEqual(self.warnings_of(f"{text}[task https://h/orders]\n"), [])

    def test_typos_among_many(self) -> None:
        """Looking for typos in thousands of sections takes no more than seconds of a processor."""
        urls = [f"https://h/tasks/{hash((n, 'x')) & 0xFFFFFFFF:x}" for n in range(4000)]
        text = "[urls]\nprod = " + ",".join(urls[:2000]) + "\n" + "".join(f"[task {url}]\n" for url in urls[2000:])
        before = time.process_time()
        self.assertEqual(len(self.load(text).tasks), 4000)
        self.assertLess(time.process_time() - before, 15)


class NameTests(LoadingTestCase):
    """``[task NAME]``."""

    def test_name(self) -> None:
        """The section's name is the task's, unless an option says otherwise; its identity comes from its URL."""
        settings = self.load(
            "[task Order export]\nurl = https://me:pw@h/orders?day=1\ninterval = 5m\n"
            "[task mails]\nname = Mails to customers\nurl = https://h/mails\n"
        )
        orders, mails = settings.tasks
        self.assertEqual((orders.name, orders.url), ("Order export", "https://h/orders?day=1"))
        self.assertEqual((orders.label, orders.credentials, orders.interval), ("https://h/orders?…", "me:pw", 300))
        self.assertEqual((mails.name, mails.url), ("Mails to customers", "https://h/mails"))
        listed = self.load("[urls]\nprod = https://h/mails\n").tasks[0]
        self.assertEqual(mails.id, listed.id)

    def test_name_for_a_listed_url(self) -> None:
        """It overrides the listed task and keeps its place."""
        settings = self.load("[urls]\nprod = https://h/a, https://me:pw@h/b\n[task B]\nurl = https://h/b\ngrace = 5m\n")
        self.assertEqual([task.name for task in settings.tasks], ["h/a", "B"])
        self.assertEqual((settings.tasks[1].grace, settings.tasks[1].credentials), (300, "me:pw"))

    def test_without_url(self) -> None:
        needs = "needs url, the URL of the task's report, or push_key"
        self.assertEqual(self.problem("[task Order export]\ninterval = 5\n"), f"1: [task Order export]: {needs}")
        self.assertEqual(self.problem("[task #7, all?]\nurl =\n"), f"1: [task #7, all?]: {needs}")
        self.assertEqual(
            self.problem("[task example.com/report]\n"),
            f"1: [task example.com/report]: {needs}; if example.com/report is that URL, write https:// before it",
        )

    def test_invalid_url(self) -> None:
        for url, words in (
            ("ftp://u:S3CRET@h/?S3CRET", "ftp://…: the URL's scheme must be http or https"),
            ("h", "the URL must start with http:// or https://"),
        ):
            self.assertEqual(self.problem(f"[task x]\nurl = {url}\n"), f"2: [task x] url: {words}")
        self.assertEqual(
            self.problem("[task x]\nurl = ${env:NO}\n"),
            "2: [task x] url: environment variable NO is not set; ${env:NO:-...} sets a default",
        )

    def test_secret_in_a_name(self) -> None:
        """What may be a URL without its scheme is shown without its userinfo and query."""
        for name, shown in (("me:S3CRET@h/x", "…"), ("h/x?S3CRET", "h/x?…"), ("h?key=S3CRET", "h?…")):
            self.assertTrue(self.problem(f"[task {name}]\n").startswith(f"1: [task {shown}]: needs url"))

    def test_url_beside_url(self) -> None:
        self.assertEqual(
            self.problem("[task http://h/]\nurl = http://h/\n"),
            "2: [task http://h/] url: is only for sections that are named by a name; this one is named by its URL",
        )

    def test_one_url_in_two_sections(self) -> None:
        self.assertEqual(
            self.problem("[task http://h/]\n[task x]\nurl = http://me:pw@h/\n"),
            "2: [task x]: duplicate section of this task, first given in line 1",
        )

    def test_one_name_for_two_tasks(self) -> None:
        """It is a warning; a task that is not checked does not count."""
        text = "[task Orders]\nurl = http://h/a\n[task http://h/b]\nname = orders\n"
        words = "4: [task http://h/b] name: the task of line 1 has this name, too; selectors match both"
        self.assertEqual(self.warnings_of(text), [words])
        self.assertEqual(self.warnings_of(f"{text}enabled = no\n"), [])
        self.assertEqual(self.warnings_of("[task http://h/?a]\n[task http://h/?b]\n"), [])

    def test_typo_in_the_url(self) -> None:
        text = "[urls]\nprod = https://h.example/cron/orders\n[task x]\nurl = https://h.example/cron/ordres\n"
        self.assertEqual(
            self.warnings_of(text),
            [
                "4: [task x] url: adds a task of its own; did you mean https://h.example/cron/orders, which is in "
                "[urls]?"
            ],
        )

    def test_own_tasks_rest_while_debugging(self) -> None:
        """With ``debug`` only the URLs of ``dev`` are checked, with their sections."""
        settings = self.load(
            "[main]\ndebug = true\n[urls]\nprod = http://p/\ndev = http://d/\n"
            "[task D]\nurl = http://d/\n[task own]\nurl = http://own/\n[task http://other/]\n"
        )
        self.assertEqual([task.name for task in settings.tasks], ["D"])


class OptionTests(LoadingTestCase):
    def task(self, *options: str, main: str = "") -> Task:
        (task,) = self.load(f"[main]\n{main}\n[task http://h/]\n" + "\n".join(options)).tasks
        return task

    def section_problem(self, option: str) -> str:
        return self.problem(f"[task http://h/]\n{option}\n").removeprefix("2: [task http://h/] ")

    def test_disabled(self) -> None:
        """A task that is off is not checked, listed or not; its section is checked for problems."""
        text = "[urls]\nprod = http://a/, http://b/\n[task http://a/]\nenabled = no\n[task c]\nurl = http://c/\n"
        self.assertEqual([task.url for task in self.load(f"{text}enabled = off\n").tasks], ["http://b/"])
        self.assertEqual([task.url for task in self.load(f"{text}enabled = yes\n").tasks], ["http://b/", "http://c/"])
        self.assertEqual(len(self.problems(f"{text}enabled = no\ngrace = x\n")), 1)

    def test_all_disabled(self) -> None:
        self.assertEqual(
            self.warnings_of("[urls]\nprod = http://a/\n[task http://a/]\nenabled = no\n"),
            ["2: [urls] prod: there is no task to check"],
        )

    def test_texts(self) -> None:
        task = self.task("group = shop", "note = Restart it by hand.", "runbook = https://wiki.example/x?page=12345678")
        self.assertEqual((task.group, task.note), ("shop", "Restart it by hand."))
        self.assertEqual(task.runbook, "https://wiki.example/x?page=12345678")
        self.assertEqual((self.task().group, self.task().note, self.task().runbook), ("", "", None))

    def test_runbook(self) -> None:
        """It is a link for people: its query is no secret, and it has no userinfo."""
        settings = self.load("[task http://h/]\nrunbook = https://wiki.example/x?page=12345678\n")
        self.assertEqual(settings.secrets, frozenset())
        for value, words in (
            ("wiki.example/x", "wiki.example/x: the URL must start with http:// or https://"),
            ("javascript:alert(1)", "the URL must start with http:// or https://"),
            ("https://me:S3CRET@wiki/", "https://wiki/: the URL must have no user name"),
        ):
            self.assertEqual(self.section_problem(f"runbook = {value}"), f"runbook: {words}")

    def test_reminders_and_hold(self) -> None:
        main = "error_interval = 1h\nerror_interval_max = 1d\nunreachable_for = 90\nflap_incidents = 0"
        task = self.task(main=main)
        self.assertEqual((task.error_interval, task.error_interval_max), (3600, 86_400))
        self.assertEqual((task.unreachable_for, task.flap_incidents), (90, 0))
        task = self.task("error_interval_max = 2h", "unreachable_for = 0", main=main)
        self.assertEqual((task.error_interval_max, task.unreachable_for, task.flap_incidents), (7200, 0, 0))
        task = self.task()
        self.assertEqual((task.error_interval_max, task.unreachable_for, task.flap_incidents), (21_600, 0, 4))
        self.assertEqual(self.load("[main]\nflap_incidents = 7\n").task_defaults.flap_incidents, 7)

    def test_flap_incidents(self) -> None:
        """It is a whole number, and for all tasks."""
        self.assertEqual(
            self.problem("[main]\nflap_incidents = -1\n"),
            '2: [main] flap_incidents: must be a whole number from 0 to 1000, not "-1"',
        )
        self.assertIn("unknown option", self.section_problem("flap_incidents = 3"))


class ProxyTests(LoadingTestCase):
    def proxies(self, main: str, task: str) -> list[str | None]:
        settings = self.load(
            f"[main]\nproxy = {main}\n[urls]\nprod = http://a/, http://b/\n[task http://b/]\nproxy = {task}\n"
        )
        self.assertEqual(settings.proxy, settings.tasks[0].proxy)
        return [task.proxy for task in settings.tasks]

    def test_inherited(self) -> None:
        self.assertEqual(self.proxies("", ""), [None, None])
        self.assertEqual(self.proxies("ENV", ""), ["env", "env"])
        self.assertEqual(self.proxies("http://p:3128", "direct"), ["http://p:3128", None])
        self.assertEqual(self.proxies("direct", "env"), [None, "env"])

    def test_userinfo_is_secret(self) -> None:
        settings = self.load("[main]\nproxy = http://me:password@p:1\n")
        self.assertEqual(settings.proxy, "http://me:password@p:1")
        self.assertEqual(settings.secrets, {"me:password", "password"})

    def test_invalid(self) -> None:
        for proxy, shown in (
            ("none", "none"),
            ("https://p/", "https://p:443"),
            ("http://p/x", "http://p:80/…"),
            ("http://p/?S3CRET", "http://p:80/…"),
            ("p:3128", "p:3128"),
            ("http://me:S3CRET@:1", "http://…"),
            ("http://p:x", "http://p:x"),
        ):
            self.assertEqual(
                self.problem(f"[main]\nproxy = {proxy}\n"),
                "2: [main] proxy: must be env, direct, or a URL without a path such as http://proxy.example.com:3128, "
                f"not {shown}",
            )


class PemTests(LoadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pem = pem_files(self.cwd)

    def main(self, **options: str) -> str:
        return "[main]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())

    def test_valid(self) -> None:
        settings = self.load(
            self.main(ca_file="ca.pem", client_cert=self.pem["client.pem"], client_key="client.key")
            + "[urls]\nprod = http://a/, http://b/\n[task http://b/]\nclient_cert = both.pem\nca_file = both.pem\n"
        )
        a, b = settings.tasks
        self.assertEqual(settings.ca_file, self.pem["ca.pem"])
        self.assertEqual(
            (a.ca_file, a.client_cert, a.client_key),
            (self.pem["ca.pem"], self.pem["client.pem"], self.pem["client.key"]),
        )
        self.assertEqual((b.ca_file, b.client_cert, b.client_key), (self.pem["both.pem"], self.pem["both.pem"], None))

    def test_unreadable(self) -> None:
        self.assertEqual(
            self.problems(self.main(ca_file="/no/ca", client_cert="/no/cert", client_key="/no/key")),
            [
                "2: [main] ca_file: cannot read /no/ca: no such file or directory",
                "3: [main] client_cert: cannot read /no/cert: no such file or directory",
                "4: [main] client_key: cannot read /no/key: no such file or directory",
            ],
        )

    def test_not_pem(self) -> None:
        junk = self.write("junk.pem", "junk")
        self.assertEqual(
            self.problem(self.main(ca_file=junk)), f"2: [main] ca_file: {junk} contains no PEM certificate"
        )
        self.assertEqual(
            self.problem(self.main(client_cert=junk)), f"2: [main] client_cert: {junk} contains no PEM certificate"
        )
        self.assertEqual(
            self.problem(self.main(client_cert="client.pem", client_key=junk)),
            f"3: [main] client_key: {junk} contains no PEM private key without a passphrase",
        )
        self.assertEqual(
            self.problem(self.main(client_cert="client.pem")),
            f"2: [main] client_cert: {self.pem['client.pem']} contains no PEM private key without a passphrase",
        )

    def test_key_of_another_certificate(self) -> None:
        self.assertEqual(
            self.problem(self.main(client_cert="client.pem", client_key="other.key")),
            f"3: [main] client_key: the private key does not match the certificate in {self.pem['client.pem']}",
        )

    def test_key_alone(self) -> None:
        self.assertEqual(self.problem(self.main(client_key="client.key")), "2: [main] client_key: needs client_cert")
