"""
The frame of all HTML pages: head, banner and footer, and the small parts that show times and facts.

There is no inline script and no inline style, so the Content-Security-Policy forbids both. Without script a page
reloads itself by a ``meta`` element; with it, ``live.js`` keeps it up to date in place.

Note [Unchanged pages]
~~~~~~~~~~~~~~~~~~~~~~
Every page says when it was made: to the script in ``data-now``, to people in its footer. Beside these two stamps it is
often the same as a moment ago, and a client that has it gets 304. So the entity tag is made before the stamps are put
in. Such a client still shows an earlier stamp, by less than a minute, since the minute belongs to the tag; all
relative times are right, since their words belong to it too. Only the script's clock would be slow by as much; it
fetches the page once more soon after it was loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.web.iweb import IRequest
from twisted.web.template import Tag, XMLString, flattenString, tags

from pypinger.domain.model import Instant, Seconds
from pypinger.domain.times import MINUTE, clock, iso
from pypinger.ports.showing import Entry
from pypinger.web.formatting import Lapse, age_of, coming, relative, shown, stamp
from pypinger.web.html.times import mark_times
from pypinger.web.serving.responses import etag_of

#: Seconds after which a page without script reloads itself.
RELOAD: Seconds = 30

#: The scripts of pages that are kept up to date.
SCRIPTS = ("live.js", "times.js", "keys.js")

# Marks what the script compares to see whether the page needs another script or stylesheet.
_PART = {"data-part": "yes"}

# Where the stamps go. Nothing else looks like these, since every other "<" is escaped.
_MADE = b'<body data-now="'
_AS_OF = b'<time datetime="" class="fixed">'


async def page(
    request: IRequest,
    title: str,
    body: list[Tag],
    root: str,
    static: Mapping[str, str],
    look: str,
    now: Instant,
    links: tuple[Tag, ...] = (),
    rows: Mapping[str, Sequence[bytes]] | None = None,
    *,
    live: bool = True,
) -> tuple[bytes, bytes]:
    """
    A whole page, and its entity tag: see Note [Unchanged pages].

    :param root: the link to the overview: empty, ``../`` or a path.
    :param static: name -> path of the static files, see :mod:`pypinger.web.serving.assets`.
    :param look: the icon in the browser's tab.
    :param links: more elements of the head.
    :param live: whether the script follows the stream of changes; else it only looks again now and then.
    :param rows: rendered rows, by the words of the comment that they replace, in the order of the comments.
    """
    reload = tags.meta(**{"http-equiv": "refresh", "content": f"{RELOAD:.0f}"})
    scripts = [tags.script(src=root + static[name], defer="defer", **_PART) for name in SCRIPTS]
    html = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.title(title),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            stylesheet(root + static["style.css"]),
            tags.link(rel="icon", type="image/svg+xml", href=root + static[f"{look}.svg"], id="icon"),
            *links,
            Tag("noscript")(reload),
            *scripts,
        ),
        # The browser's clock may be wrong; the script corrects it by the server's.
        tags.body(
            tags.a("Skip to the tasks" if not root else "Skip to the content", href="#main", class_="skip"),
            mark_times(body, now),
            **{"data-now": "", **({} if live else {"data-poll": "yes"})},
        ),
        lang="en",
    )
    rest = b"<!DOCTYPE html>\n" + await flattenString(request, html)
    pieces: list[bytes] = []
    for comment, rendered in (rows or {}).items():
        # Nothing but our own comments looks like this.
        before, _, rest = rest.partition(f"<!--{comment}-->".encode("ascii"))
        pieces += before, *rendered
    pieces.append(rest)
    etag = etag_of(b"%d" % (now // MINUTE), *pieces)
    made = (iso(now) or "").encode("ascii")
    pieces[0] = pieces[0].replace(_MADE, _MADE + made, 1)
    as_of = b'<time datetime="%s" class="fixed">%s' % (made, stamp(now).encode("ascii"))
    pieces[-1] = pieces[-1].replace(_AS_OF, as_of, 1)
    return b"".join(pieces), etag


def stylesheet(path: str) -> Tag:
    """A link to a stylesheet."""
    return tags.link(rel="stylesheet", href=path, **_PART)


def top(*parts: Tag, look: str) -> Tag:
    """The banner."""
    return tags.header(*parts, class_=f"banner {look}", id="banner")


def brand(*link: Tag | str) -> Tag:
    """The line above the banner's heading; the scripts show in it whether times are local and whether it is live."""
    places = tags.span(id="times"), tags.span(id="live", class_="live")
    return tags.p(tags.span(*link), tags.span(*places, class_="right"), class_="brand")


def foot(*parts: Tag | str) -> Tag:
    """The footer; :func:`page` fills in the stamp."""
    return tags.footer(
        tags.p(
            *parts,
            "As of ",
            tags.time(datetime="", class_="fixed"),
            Tag("noscript")(f", reloads every {RELOAD:.0f} s"),
            ".",
        ),
        id="foot",
    )


def picture(svg: str) -> list[Tag]:
    """An SVG picture as part of a template."""
    return XMLString(svg).load() if svg else []  # type: ignore[return-value]


def moment(instant: Instant | None, now: Instant) -> Tag | None:
    """A time, relative and absolute."""
    if instant is None:
        return None
    return tags.span(ago(instant, now), " ", tags.small(clock(instant, now)), class_="moment")


def upcoming(instant: Instant | None, now: Instant) -> Tag | None:
    """A time at which something is to happen, relative and absolute."""
    if instant is None:
        return None
    relative_time = tags.time(coming(instant, now), datetime=iso(instant) or "", title=stamp(instant), class_="coming")
    return tags.span(relative_time, " ", tags.small(clock(instant, now)), class_="moment")


def ago(instant: Instant, now: Instant) -> Tag:
    """A time, relative to `now`; the script keeps it up to date."""
    return tags.time(relative(instant, now), datetime=iso(instant) or "", title=stamp(instant))


def age(entry: Entry, now: Instant) -> Tag | None:
    """The age that explains a task's verdict."""
    known = age_of(entry, now)
    return None if known is None else aged(known)


def aged(age: Lapse | None) -> Tag:
    """A length of time that the script keeps up to date; empty if it is unknown."""
    if age is None:
        return tags.transparent()
    form = {"data-until" if age.ends else "data-age": age.form}
    return tags.time(age.words, datetime=iso(age.since) or "", title=stamp(age.since), class_="age", **form)


def facts(title: str, *known: tuple[str, Tag | str | None], look: str = "") -> Tag:
    """A block of names and values; empty and unknown ones are left out."""
    items = [(name, shown(value) if isinstance(value, str) else value) for name, value in known if value]
    listed = tags.dl([tags.div(tags.dt(name), tags.dd(value)) for name, value in items])
    return card(title, listed if items else unknown("Nothing known yet."), look=look)


def card(title: str, *parts: Tag | list[Tag] | str, look: str = "") -> Tag:
    """A block with a heading."""
    name = title.lower().replace(" ", "-")
    return tags.section(
        tags.h2(title, id=f"{name}-title"),
        *parts,
        class_=f"card {look}".rstrip(),
        id=name,
        **{"aria-labelledby": f"{name}-title"},
    )


def unknown(words: str) -> Tag:
    """Words in place of something that is missing."""
    return tags.p(words, class_="unknown")
