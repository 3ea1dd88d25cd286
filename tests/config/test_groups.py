"""``[group SELECTOR]`` (contract, section 6)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pypinger.config import load
from pypinger.domain.model import Task
from tests.config.samples import LoadingTestCase, fake_channels, new_directory, pem_files

#: Three tasks: listed, listed with a section, only with a section.
TASKS = "[urls]\nprod = https://shop/orders, https://shop/mails\n[task Mails]\nurl = https://shop/mails\ngroup = shop\n"
OWN = "[task https://bank/rates]\ngroup = bank\n"


class GroupTests(LoadingTestCase):
    def tasks(self, text: str) -> list[Task]:
        return list(self.load(f"{TASKS}{OWN}{text}").tasks)

    def graces(self, text: str) -> list[float]:
        return [task.grace for task in self.tasks(text)]

    def test_selectors(self) -> None:
        """Names are the configured ones, else URLs; groups are those of the task sections."""
        for selector, matched in (
            ("*", "abc"),
            ("https://shop/*", "ab"),
            ("url:*orders", "a"),
            ("Mails", "b"),
            ("name:mails", "b"),
            ("name:https*", "ac"),
            ("group:shop", "b"),
            ("group:shop|bank", "bc"),
            ("!group:bank", "ab"),
            ("https://shop/* !mails", "a"),
            ('"https://bank/rates"', "c"),
        ):
            graces = self.graces(f"[group {selector}]\ngrace = 5\n")
            self.assertEqual("".join(name for name, grace in zip("abc", graces, strict=True) if grace == 5), matched)

    def test_a_task_wins_over_its_groups_and_a_later_group_over_an_earlier_one(self) -> None:
        text = "[main]\ngrace = 1\n[group *]\ngrace = 2\ntimeout = 2\n[group group:shop|bank]\ngrace = 3\n"
        self.assertEqual(self.graces(text), [2, 3, 3])
        tasks = self.load(f"{text}{TASKS}grace = 4\n").tasks
        self.assertEqual([(task.grace, task.timeout) for task in tasks], [(2, 2), (4, 2)])

    def test_the_order_of_sections_of_different_kinds_does_not_matter(self) -> None:
        self.assertEqual(
            self.load(f"[group group:shop]\ngrace = 3\n{TASKS}[main]\ngrace = 1\n").tasks,
            self.load(f"[main]\ngrace = 1\n{TASKS}[group group:shop]\ngrace = 3\n").tasks,
        )

    def test_what_only_sections_have(self) -> None:
        """A section's empty option is absent; ``enabled`` and ``token_auth`` can be switched on again."""
        text = "[group *]\nenabled = no\ntoken_auth = no\nrunbook = https://wiki/x\nnote = ask ops\n"
        self.assertEqual(self.tasks(text), [])
        (task,) = self.load(f"{text}{TASKS}enabled = yes\ntoken_auth =\nnote = ask shop\nrunbook =\n").tasks
        self.assertEqual((task.name, task.token_auth, task.runbook), ("Mails", False, "https://wiki/x"))
        self.assertEqual(task.note, "ask shop")
        (task,) = self.load(f"{text}{TASKS}enabled = yes\ntoken_auth = yes\n").tasks
        self.assertTrue(task.token_auth)

    def test_proxy(self) -> None:
        text = "[main]\nproxy = env\n[group https://shop/*]\nproxy = direct\n[group group:shop]\nproxy = http://p:1\n"
        self.assertEqual([task.proxy for task in self.tasks(text)], [None, "http://p:1", "env"])

    def test_certificates(self) -> None:
        """A certificate and its key come from the same section; the CA by itself."""
        pem_files(self.cwd)
        main = "[main]\nca_file = ca.pem\nclient_cert = client.pem\nclient_key = client.key\n"
        group = "[group https://shop/*]\nclient_cert = both.pem\n[group group:shop]\nca_file = both.pem\n"
        found = [
            tuple(path and os.path.basename(path) for path in (task.ca_file, task.client_cert, task.client_key))
            for task in self.tasks(main + group)
        ]
        self.assertEqual(
            found,
            [
                ("ca.pem", "both.pem", None),
                ("both.pem", "both.pem", None),
                ("ca.pem", "client.pem", "client.key"),
            ],
        )
        self.assertEqual(
            self.problem(f"{main}{TASKS}[group *]\nclient_key = client.key\n"),
            "11: [group *] client_key: needs client_cert",
        )

    def test_what_is_no_option_of_a_group(self) -> None:
        words = "is about one task; set it in a [task NAME or URL] section"
        self.assertEqual(
            self.problems("[group *]\nurl = http://h/\nname = x\ngroup = y\npush_key = S3CRET\n"),
            [f"{line}: [group *] {name}: {words}" for line, name in enumerate(("url", "name", "group", "push_key"), 2)],
        )
        self.assertEqual(
            self.problem("[group *]\nnotes = x\n"), '2: [group *] notes: unknown option; did you mean "note"?'
        )
        self.assertIn("[group] has enabled, interval", self.problem("[group *]\nmatch = x\n"))

    def test_selectors_that_are_problems(self) -> None:
        later = "is known only once a task has been checked; a group is chosen by name:, url: or group:"
        example = "as in [group group:shop] or [group https://shop.example.com/*]"
        for selector, words in (
            ("server:db1", f"server: {later}"),
            ("* !process:x", f"process: {later}"),
            ("name:a|kind:late", f"kind: {later}"),
            ("nam:x", "unknown prefix nam:; did you mean name:?"),
            ('"x', 'a quote (") is not closed'),
        ):
            self.assertEqual(self.problem(f"[group {selector}]\n"), f"1: [group {selector}]: {words}")
        self.assertEqual(self.problem("[group]\n"), f"1: [group]: needs a selector, {example}")
        self.assertEqual(
            self.problem('[group "https://me:S3CRET@h/]\n'),
            f"1: [group …]: the selector is not valid; name tasks {example}",
        )

    def test_a_secret_in_a_selector_is_masked(self) -> None:
        loaded = self.load(f"{TASKS}[group https://shop/orders?token=S3CRETS3CRET]\n")
        self.assertNotIn("S3CRET", str(loaded.warnings))
        self.assertIn("S3CRETS3CRET", loaded.secrets)

    def test_a_question_mark_begins_no_query(self) -> None:
        """What follows it is no secret, which would be masked in every text."""
        text = f"{TASKS}[group db?.example.com]\n[group import-? group:billing]\n[group https://db?.example.com/x]\n"
        self.assertEqual(self.load(text).secrets, self.load(TASKS).secrets)

    def test_a_problem_is_listed_once(self) -> None:
        """However many tasks a group matches, and also if it matches none or its selector is wrong."""
        for selector in ("*", "none"):
            self.assertEqual(len(self.problems(f"{TASKS}[group {selector}]\ngrace = x\n")), 1)
        self.assertEqual(len(self.problems(f"{TASKS}[group kind:x]\ngrace = x\n")), 2)

    def test_no_match(self) -> None:
        self.assertEqual(self.warnings_of(f"{TASKS}[group x]\n"), ["6: [group x]: matches no task"])
        self.assertEqual(
            self.warnings_of(f"{TASKS}[group Shop]\n"),
            ["6: [group Shop]: matches no task; for the tasks with group = Shop write [group group:Shop]"],
        )
        self.assertNotIn("[group", str(self.load("[group *]\n").warnings))

    def test_tasks_that_are_not_checked_count_as_matched(self) -> None:
        text = "[urls]\nprod = http://p/\ndev = http://d/\n[task http://own/]\nenabled = no\n"
        self.assertEqual(self.warnings_of(f"{text}[group *d/]\n[group *own/]\n"), [])
        self.assertEqual(self.warnings_of(f"{text}[group *p/]\n[group *own/]\n[main]\ndebug = yes\n"), [])

    def test_one_selector_twice(self) -> None:
        """The same header is a duplicate section; the same selector in other words is a later group."""
        self.assertEqual(
            self.problem(f"{TASKS}[group *]\n[group *]\n"),
            "7: [group *]: duplicate section, first given in line 6; merge the two",
        )
        self.assertEqual(self.graces("[group *]\ngrace = 1\n[group  *]\ngrace = 2\n"), [2, 2, 2])


#: Selector -> the tasks that it matches.
SELECTORS = {
    "*": "abc",
    "https://shop/*": "ab",
    "group:shop": "b",
    "group:shop|bank": "bc",
    "!name:mails": "ac",
    "none": "",
}
#: Option -> some of its values, as they stand in the file and as attributes of a task.
VALUES: dict[str, dict[str, object]] = {
    "interval": {"40": 40.0, "5m": 300.0},
    "grace": {"0": 0.0, "9": 9.0},
    "failures": {"1": 1, "3": 3},
    "proxy": {"direct": None, "env": "env", "http://p:1": "http://p:1"},
}
OF_SECTIONS: dict[str, dict[str, object]] = {
    **VALUES,
    "enabled": {"yes": True, "no": False},
    "token_auth": {"yes": True, "no": False},
    "note": {"one": "one", "two": "two"},
    "runbook": {"https://wiki/1": "https://wiki/1"},
}
DEFAULTS = {
    "interval": 60.0,
    "grace": 60.0,
    "failures": 1,
    "proxy": None,
    "enabled": True,
    "token_auth": True,
    "note": "",
    "runbook": None,
}


def options(table: Mapping[str, Mapping[str, object]]) -> st.SearchStrategy[dict[str, str]]:
    """Some options with a value each; an empty one is absent."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(["", *table[name]]) for name in table})


class PrecedenceTests(LoadingTestCase):
    @settings(deadline=None, max_examples=80)
    @given(
        options(VALUES),
        st.lists(st.tuples(st.sampled_from(sorted(SELECTORS)), options(OF_SECTIONS)), max_size=5),
        st.fixed_dictionaries({}, optional=dict.fromkeys("abc", options(OF_SECTIONS))),
        st.randoms(use_true_random=False),
    )
    def test_the_last_section_that_sets_an_option_counts(
        self,
        main: dict[str, str],
        groups: list[tuple[str, dict[str, str]]],
        own: dict[str, dict[str, str]],
        random: Random,
    ) -> None:
        """Of ``[main]``, the groups in the order of the file, and the section of the task."""
        identity = {
            "a": "[task https://shop/orders]\n",
            "b": "[task Mails]\nurl = https://shop/mails\ngroup = shop\n",
            "c": "[task https://bank/rates]\ngroup = bank\n",
        }
        sections = [f"[main]\n{lines(main)}", "[urls]\nprod = https://shop/orders, https://shop/mails\n"]
        sections += [f"{identity[name]}{lines(own.get(name, {}))}" for name in "abc"]
        # Spaces make the headers of one selector different.
        headers = [f"[group{' ' * number}{selector}]\n" for number, (selector, _) in enumerate(groups, 1)]
        rows = [header + lines(values) for header, (_, values) in zip(headers, groups, strict=True)]
        text = "\n".join(merge(sections, rows, random))
        directory = new_directory()
        with open(os.path.join(directory, "pinger.ini"), "w") as file:
            file.write(text)
        found = load("pinger.ini", channels=fake_channels(), environ={}, cwd=directory)
        tasks = dict(zip("abc", ("https://shop/orders", "https://shop/mails", "https://bank/rates"), strict=True))
        made = {task.url: task for task in found.tasks}
        for name, url in tasks.items():
            chain = [main, *(values for selector, values in groups if name in SELECTORS[selector]), own.get(name, {})]
            expected = {
                option: next((table[each[option]] for each in reversed(chain) if each.get(option)), DEFAULTS[option])
                for option, table in OF_SECTIONS.items()
            }
            self.assertEqual(url in made, expected.pop("enabled"), text)
            if url in made:
                self.assertEqual({option: getattr(made[url], option) for option in expected}, expected, text)


def lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in values.items())


def merge(one: list[str], other: list[str], random: Random) -> list[str]:
    """Both lists in a random order that keeps that of each."""
    one, other, merged = list(one), list(other), []
    while one or other:
        merged.append((one if not other or (one and random.random() < 0.5) else other).pop(0))
    return merged
