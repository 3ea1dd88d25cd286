from __future__ import annotations

import json
from urllib.parse import quote
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.ports.showing import Entry
from pypinger.web.feeds import badge
from tests.web.fakes import NOW, entry, new_entry
from tests.web.test_app import AppTestCase, header

SVG = "{http://www.w3.org/2000/svg}"


def texts(image: bytes) -> list[str]:
    """The text of a badge."""
    return [text.text or "" for text in ElementTree.fromstring(image).iter(f"{SVG}text")]


def luminance(color: str) -> float:
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class BadgeTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        for kind, words in ((Kind.OK, "on time"), (Kind.LATE, "late"), (Kind.SLEEPING, "sleeping")):
            self.assertEqual(texts(badge.svg(entry("http://h/a?secret", kind))), ["http://h/a?…", words])
        self.assertEqual(texts(badge.svg(new_entry()))[1], "not checked")
        pushes = new_entry()
        pushes = replace(pushes, task=replace(pushes.task, url=None))
        self.assertEqual(texts(badge.svg(pushes))[1], "no push yet")
        self.assertEqual(texts(badge.svg(None)), ["Py Pinger", "not monitored"])

    def test_not_seen(self) -> None:
        made = entry(name="A")
        unseen = Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600)
        self.assertIn(b"A: not seen since 2026-11-22 21:28 UTC", badge.svg(unseen))
        self.assertNotIn(b"on time", badge.svg(unseen))
        self.assertTrue(json.loads(badge.shield(unseen))["isError"])

    def test_blind(self) -> None:
        """The last known state does not look like the present one."""
        for made, words in ((entry(name="A"), "on time"), (entry(kind=Kind.LATE, name="A"), "late")):
            message = f"blind since 2026-11-22 22:18 UTC, was {words}"
            self.assertEqual(texts(badge.svg(made, NOW - 600)), ["A", message])
            value = json.loads(badge.shield(made, NOW - 600))
            self.assertEqual((value["message"], value["isError"]), (message, True))

    def test_not_seen_and_blind(self) -> None:
        """It was well when it was seen last, which is not to be on time."""
        made = entry(name="A")
        unseen = Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600)
        self.assertEqual(texts(badge.svg(unseen, NOW - 600))[1], "blind since 2026-11-22 22:18 UTC, was OK")

    def test_shield(self) -> None:
        for made, message, trouble in (
            (entry(), "on time", False),
            (entry(kind=Kind.FAILED), "failed", True),
            (new_entry("http://h/a"), "not checked", False),
        ):
            value = json.loads(badge.shield(made))
            self.assertEqual(list(value), ["schemaVersion", "label", "message", "color", "isError"])
            self.assertEqual((value["schemaVersion"], value["label"]), (1, "http://h/a"))
            self.assertEqual((value["message"], value["isError"]), (message, trouble))
        self.assertTrue(json.loads(badge.shield(None))["isError"])

    def test_long_and_empty_names(self) -> None:
        name, _ = texts(badge.svg(entry(name="x" * 1000)))
        self.assertEqual(name, "x" * 59 + "…")
        made = entry(name="")
        self.assertEqual(texts(badge.svg(made))[0], made.task.id)

    def test_no_inline_style(self) -> None:
        self.assertNotIn(b"style", badge.svg(entry()))

    def test_contrast(self) -> None:
        for color in (*badge.COLORS.values(), json.loads(badge.shield(None))["color"]):
            self.assertGreaterEqual(1.05 / (luminance(color) + 0.05), 4.5, color)

    @settings(deadline=None, max_examples=100)
    @given(st.text(max_size=80))
    def test_any_name(self, name: str) -> None:
        made = entry(name=name)
        image = badge.svg(made)
        self.assertEqual(len(texts(image)), 2)
        root = ElementTree.fromstring(image)
        self.assertEqual(
            {element.tag for element in root.iter()},
            {f"{SVG}{tag}" for tag in ("svg", "title", "clipPath", "rect", "g", "text")},
        )
        self.assertLess(int(root.attrib["width"]), 1000)
        json.loads(badge.shield(made))


class BadgeRouteTests(AppTestCase):
    def test_every_form_of_a_url(self) -> None:
        late = self.board.entries()[1].task
        for sent in (late.id, late.url, quote(late.url, safe=""), late.url.replace("//", "/")):
            response = self.ask(f"/badge/{sent}.svg")
            self.assertEqual((response.code, header(response, "Content-Type")), (200, "image/svg+xml"))
            self.assertIn("late", self.text(response))
            self.assertIn("late", str(self.json(f"/badge/{sent}.json")))

    def test_query_is_ignored(self) -> None:
        self.assertIn("late", self.text(self.ask("/badge/http://h/b?x=1&y=2.svg?v=3")))

    def test_unknown(self) -> None:
        response = self.ask("/badge/http://h/zzz.svg")
        self.assertEqual((response.code, header(response, "Content-Type")), (404, "image/svg+xml"))
        self.assertIn("not monitored", self.text(response))
        self.assertIn("not monitored", str(self.json("/badge/http://h/zzz.json", 404)))
        for path in ("/badge/http://h/a", "/badge/.svg", "/badge/", "/badge/http://h/a.png"):
            self.assertEqual(self.json(path, 404), {"data": {}})
