"""Alerts with hostile texts."""

from __future__ import annotations

from hypothesis import strategies as st

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event

HOSTILE = (
    "<!channel> <@U123> <#C1> <https://evil.example|https://bank.example>",
    "@channel @here @all @everyone",
    ":fire:" * 3000,
    "&" * 5000,
    "<" * 9_000,
    "&amp;&lt;" * 900,
    "a\x00b\x1b[31mc\r\nd\x85e",
    "\u202etxt.exe\u202c \u2066x\u2069",
    "\ud800 lone",
    "``` *bold* _it_ ~no~ > quote | bar",
    "/code /me",
    '"}], "text": "forged"',
    "😀" * 4000,
)

texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=200))

alerts = st.builds(
    Alert,
    id=st.from_regex(r"[0-9a-f]{12}-[0-9]{10}-[0-9]{1,4}", fullmatch=True),
    event=st.sampled_from(Event),
    at=st.floats(1e9, 2e9),
    explanation=texts,
    task=st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
    name=texts,
    label=texts,
    origin=st.sampled_from(["https://h:443", "http://h:80"]),
    page=st.none() | st.builds("https://p.example/{}".format, texts),
    kind=st.none() | st.sampled_from(Kind),
    process=st.none() | texts,
    server=st.none() | texts,
    started=st.none() | st.floats(1e9, 2e9),
)

storms = st.lists(alerts, min_size=1, max_size=4) | st.builds(lambda one, n: [one] * n, alerts, st.integers(1, 400))
