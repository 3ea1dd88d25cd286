"""Pages with hostile texts."""

import json
from math import inf, nan

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Acknowledgement, Incident, Report, Task, TaskState, Verdict, Window
from pypinger.domain.silence import Muted
from pypinger.ports.showing import Entry, LastAnswer
from tests.web.browser import Page, figures, overview, past, task_page
from tests.web.fakes import NOW, daemon_state
from tests.web.history import FakeHistory

replace = msgspec.structs.replace


_HOSTILE = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "' onmouseover='alert(1)",
            "javascript:alert(1)",
            "<!--error--><!--ok--><!--server-0-->",
            "--><b>",
            "]]></td></tr></table>",
            "&lt;b&gt;&#60;",
            "{{7*7}}${7*7}",
            "\x00\x08\x1b[2J\r\n\u2028",
            "\ud800\udfff\ufffe\uffff",
            "\u202eesrever",
            "<",
        ]
    ),
)
_NUMBERS = st.one_of(st.floats(), st.sampled_from([nan, inf, -inf, 0.0, -1e20, 1e20, NOW, NOW - 1e7, 2.4e11, -6.1e10]))
_MOMENTS = st.one_of(st.none(), _NUMBERS)


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(Kind))
    hostile = _HOSTILE
    report = Report(
        ok=True,
        lastrun=draw(_NUMBERS),
        frequency=draw(st.floats(min_value=1e-3, max_value=527_040)),
        reason=draw(st.none() | hostile),
        sleep=tuple(draw(st.lists(st.builds(Window, st.integers(0, 86_399), st.floats(1, 86_400)), max_size=2))),
        process=draw(st.none() | hostile),
        server=draw(st.none() | hostile),
    )
    taken = draw(st.none() | st.builds(Acknowledgement, _NUMBERS, hostile, hostile))
    moments = [draw(_MOMENTS) for _ in range(4)]
    state = TaskState(
        verdict=None if kind is Kind.NEW else Verdict(kind, draw(hostile), *moments),
        report=draw(st.none() | st.just(report)),
        checked=draw(_MOMENTS),
        since=draw(_MOMENTS),
        latency=draw(_MOMENTS),
        incident=draw(st.none() | st.just(Incident(0.0, kind, 0.0, 1, flapping=True, acknowledged=taken))),
    )
    task = Task(
        url=draw(hostile),
        id=f"{draw(st.integers(0, 9))}",
        name=draw(hostile),
        label=draw(hostile),
        group=draw(hostile),
        runbook=draw(st.none() | hostile),
        note=draw(hostile),
    )
    return Entry(task, state, draw(st.none() | st.builds(Muted, _NUMBERS, hostile, hostile, hostile)))


_COMMON = (
    "html head meta title link script noscript body header h1 p a span main footer time section h2 table thead tr th"
)
_OVERVIEW = (
    f"{_COMMON} div form label input button nav ul li b colgroup col tbody td small strong code ol pre details summary"
)
_TASK = f"{_COMMON} div dl dt dd small tbody td ol ul li strong b pre code figure figcaption details summary"
_ATTRIBUTES = (
    "class href datetime title data-label scope id lang charset name content rel type http-equiv src defer data-now"
    " data-kind data-task aria-label aria-labelledby aria-live aria-current role tabindex for value placeholder"
    " autocomplete maxlength action method width height viewbox preserveaspectratio d x y x1 x2 y1 y2 r rx text-anchor"
    " overflow data-part data-age data-until data-from aria-sort"
)
_LISTS = r"(?:\.\./)*(?:incidents|deliveries)(?:\?[\w.~%&=+-]*)?"
_VIEWS = ("", "by=server", "by=group", "view=wall")
_TASK_LINK = r"task/[0-9]+|\.\./badge/[0-9]+\.svg|\.\./task/[0-9]+/feed\.atom"
_SVG = "svg path rect line circle text g title"


class HostileTextTests(SynchronousTestCase):
    """With any text in a report, pages have the same elements as with harmless texts."""

    ATTRIBUTES = frozenset(_ATTRIBUTES.split())

    @settings(deadline=None, max_examples=50)
    @given(
        st.lists(_entries(), max_size=3),
        _HOSTILE,
        st.sampled_from(["", "by=server", "by=group", "view=wall"]),
        _HOSTILE,
    )
    def test_overview(self, entries: list[Entry], explanation: str, grouping: str, search: str) -> None:
        daemon = daemon_state(status=Status.ERROR, explanation=explanation)
        drawn = {each.task.id: figures(FakeHistory(NOW), each) for each in entries}
        html = overview(entries, daemon, query=grouping, figures=drawn)
        self._assert_valid(html, len(entries), _OVERVIEW)
        query = search.encode("utf-8", "replace").decode().replace("%", "%25").replace("&", "%26").replace("+", "%2B")
        self._assert_valid(overview(entries, daemon, query=f"q={query}&{grouping}"), None, _OVERVIEW)

    @settings(deadline=None, max_examples=50)
    @given(_entries(), _HOSTILE, st.booleans())
    def test_task_page(self, entry: Entry, words_: str, cut: bool) -> None:
        self._assert_valid(task_page(entry), 0, _TASK)
        for sent in (words_, json.dumps({words_: [words_]}), json.dumps({words_: [words_]}, ensure_ascii=False)):
            answer = LastAnswer(NOW, 200, sent.encode("utf-8", "surrogatepass"), cut)
            self._assert_valid(task_page(entry, answer=answer), 0, _TASK)
        self._assert_valid(task_page(entry, past=past(FakeHistory(NOW, words=words_), entry)), 0, _TASK)

    def _assert_valid(self, html: bytes, rows: int | None, elements: str) -> None:
        page = Page(html)
        self.assertEqual(page.open, [])
        self.assertEqual(page.comments, [])
        if rows is not None:
            self.assertEqual(sum((attrs.get("id") or "").startswith("t-") for _, attrs in page.elements), rows)
        self.assertLessEqual({tag for tag, _ in page.elements}, {*elements.split(), *_SVG.split()})
        for tag, attrs in page.elements:
            self.assertLessEqual(attrs.keys(), self.ATTRIBUTES)
            if tag == "a":
                self.assertRegex(
                    attrs["href"] or "",
                    rf"\A(?:#main|(?:\.\./)*feed\.atom|{_LISTS}|(?:\.\./)*{_TASK_LINK}|\./(?:\?[\w.~%&=+-]*)?|\.\./)\Z",
                )
            if tag == "script":
                self.assertRegex(attrs["src"] or "", r"\A(?:\.\./)?static/(?:live|times|keys)\.js\?v=[0-9a-f]+\Z")
        self.assertNotRegex(html.decode("utf-8"), r"[\x00-\x09\x0b-\x1f\x7f\u202e\ufffe\uffff]")
