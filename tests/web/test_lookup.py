from urllib.parse import quote

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.url import parse
from pypinger.ports.showing import Entry
from pypinger.web.lookup import TaskLookup
from tests.web.fakes import FakeBoard, new_entry


def found(sent: str, *urls: str) -> str | None:
    """The URL of the task that is found, among tasks with these URLs."""
    entry = TaskLookup(FakeBoard(map(new_entry, urls))).find(sent)
    return entry and entry.task.url


class FindTests(SynchronousTestCase):
    def test_spellings(self) -> None:
        plain, query, escaped = "http://h/a", "http://h/a?x=1&y=2", "http://h/a%20b?c=d%2Ce"
        for sent, url in (
            ("http%3A%2F%2Fh%2Fa", plain),
            ("http%3a%2f%2fh%2fa", plain),
            ("http://h/a", plain),
            ("http:%2F%2Fh/a", plain),
            ("http:/h/a", plain),
            ("http%3A/h/a", plain),
            ("http%3A%2F%2Fh%2Fa%3Fx%3D1%26y%3D2", query),
            ("http://h/a?x=1&y=2", query),
            ("http://h/a%3Fx=1&y=2", query),
            ("http%3A%2F%2Fh%2Fa?x=1&y=2", query),
            ("http:/h/a?x=1&y=2", query),
            ("http:/h/a%3Fx=1&y=2", query),
            ("http://h/a%20b?c=d%2Ce", escaped),
            ("http%3A%2F%2Fh%2Fa%2520b%3Fc%3Dd%252Ce", escaped),
            # nginx, from the raw form and the encoded one
            ("http:/h/a%20b?c=d%2Ce", escaped),
            ("http:/h/a%2520b%3Fc=d%252Ce", escaped),
            ("http:/h/a%20b%3Fc=d,e", escaped),
            # a client that spells the same URL in its own way
            ("http://h/a%20b?c=d,e", escaped),
        ):
            self.assertEqual(found(sent, plain, query, escaped), url, sent)

    def test_characters_that_clients_cannot_send_raw(self) -> None:
        self.assertEqual(found("http://h/%C3%A4%7C", "http://h/ä|"), "http://h/ä|")
        self.assertEqual(found("http://h/?q=%C3%A4", "http://h/?q=ä"), "http://h/?q=ä")

    def test_escapes_that_are_not_utf8(self) -> None:
        self.assertEqual(found("http://h/%ff", "http://h/%fe", "http://h/%ff"), "http://h/%ff")
        self.assertIsNone(found("http://h/%fd", "http://h/%fe", "http://h/%ff"))

    def test_id(self) -> None:
        entry = new_entry("http://h/a")
        lookup = TaskLookup(FakeBoard([entry]))
        self.assertIs(lookup.find(entry.task.id), entry)
        self.assertIs(lookup.find(entry.task.id + "?reload"), entry)

    def test_other_urls(self) -> None:
        for sent in (
            "",
            "x",
            "http",
            "http://h",
            "http://h/",
            "http://h/a/",
            "http://h//a",
            "http:///h/a",
            "/http://h/a",
            "https://h/a",
            "http://H/a",
            "http://h/a?",
            "http://h/a?x=1",
            "http://u:p@h/a",
            "http:h/a",
            "%",
            "%00",
            "%ff",
        ):
            self.assertIsNone(found(sent, "http://h/a"), sent)

    def test_an_escaped_url_and_its_plain_twin(self) -> None:
        twins = ("http://h/a%2Cb", "http://h/a,b")
        for url in twins:
            self.assertEqual(found(url, *twins), url)
            self.assertEqual(found(quote(url, safe=""), *twins), url)

    def test_ambiguous_spelling(self) -> None:
        self.assertIsNone(found("http://h/a%2cb%2c", "http://h/a%2Cb%2C", "http://h/a,b%2C"))
        self.assertEqual(found("http://h/a%2cb%2c", "http://h/a%2Cb%2C"), "http://h/a%2Cb%2C")

    def test_two_urls_that_nginx_makes_equal(self) -> None:
        twins = ("http://h/a/b", "http://h/a//b")
        self.assertIsNone(found("http:/h/a/b", *twins))
        for url in twins:
            self.assertEqual(found(url, *twins), url)
            self.assertEqual(found("http:/h/a/b", url), url)
        self.assertIsNone(found("http:/h/a/c", *twins))

    def test_a_url_in_a_url(self) -> None:
        url = "http://h/a?next=http://other/b"
        self.assertEqual(found("http:/h/a?next=http://other/b", url), url)
        self.assertEqual(found("http:/h/a%3Fnext=http:/other/b", url), url)

    def test_reload(self) -> None:
        board = FakeBoard([new_entry("http://h/a")])
        lookup = TaskLookup(board)
        self.assertIsNotNone(lookup.find("http:/h/a"))
        board.set([new_entry("http://h/b")])
        self.assertIsNone(lookup.find("http:/h/a"))
        self.assertIsNotNone(lookup.find("http:/h/b"))


_PATHS = st.text(alphabet=st.sampled_from("ab/:.;,&=+~!$'()*@-_%ä|\"<>\\^`{}[]ÿ€"), max_size=20)


@st.composite
def _urls(draw: st.DrawFn) -> str:
    url = draw(st.sampled_from(["http://h", "https://h:8443", "http://[::1]:80", "HTTP://Ex_ample.org", "http://ü.de"]))
    url += draw(st.one_of(st.just(""), _PATHS.map(lambda path: "/" + path)))
    url += draw(st.one_of(st.just(""), _PATHS.map(lambda query: "?" + query.replace("%", "%2C"))))
    return parse(url).text


class RoundTripTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=100)
    @given(st.lists(_urls(), min_size=1, max_size=5, unique=True))
    def test_encoded_whole(self, urls: list[str]) -> None:
        lookup = TaskLookup(FakeBoard(map(new_entry, urls)))
        for url in urls:
            self._assert_found(lookup.find(quote(url, safe="")), url)

    @settings(deadline=None, max_examples=100)
    @given(st.lists(_urls(), min_size=1, max_size=5, unique=True))
    def test_raw(self, urls: list[str]) -> None:
        lookup = TaskLookup(FakeBoard(map(new_entry, urls)))
        for url in filter(str.isascii, urls):
            self._assert_found(lookup.find(url), url)

    @settings(deadline=None, max_examples=100)
    @given(_urls())
    def test_partly_encoded(self, url: str) -> None:
        sent = quote(url, safe="/:?#[]@!$&'()*+,;=%~")
        self._assert_found(TaskLookup(FakeBoard([new_entry(url)])).find(sent), url)

    @settings(deadline=None, max_examples=100)
    @given(_urls())
    def test_through_nginx(self, url: str) -> None:
        assume("//" not in url.partition("://")[2])
        lookup = TaskLookup(FakeBoard([new_entry(url)]))
        self._assert_found(lookup.find(quote(url.replace("://", ":/"), safe="/:[]@!$&'()*+,;=~")), url)

    def _assert_found(self, entry: Entry | None, url: str) -> None:
        assert entry is not None, url
        self.assertEqual(entry.task.url, url)
