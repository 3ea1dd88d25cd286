from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.web.serving.negotiation import accepts_gzip, prefers_html

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


class PrefersHtmlTests(SynchronousTestCase):
    def test_html(self) -> None:
        for accept in (
            "text/html",
            "TEXT/HTML",
            "text/*",
            BROWSER,
            "text/html, */*",
            "text/html, application/xhtml+xml, */*",
            "text/html;q=0.5, application/json;q=0.4",
            "text/html; q=1.0, application/json; q=0.999",
            "application/json;q=0, */*",
            "text/html;level=1, application/json;q=0.5",
            "application/*;q=0.2, text/*;q=0.3",
        ):
            self.assertTrue(prefers_html(accept), accept)

    def test_json(self) -> None:
        for accept in (
            None,
            "",
            "*/*",
            "application/json",
            "application/*",
            "image/png",
            "text/plain",
            "text/html, application/json",
            "application/json, text/html",
            "application/json, text/javascript, */*; q=0.01",
            "text/html;q=0",
            "text/html;q=0, */*",
            "text/html;q=0.4, application/json;q=0.5",
            # The more specific range decides.
            "text/html;q=0.1, */*;q=0.5",
            "text/html;q=nonsense",
            "text/html;q=",
            "text/html;q=-1",
            ";;;,,,q=1",
        ):
            self.assertFalse(prefers_html(accept), accept)

    @settings(deadline=None, max_examples=100)
    @given(st.text(alphabet="texhmlapicjson/*;q=,.019 \xff"))
    def test_nothing_raises(self, accept: str) -> None:
        self.assertIn(prefers_html(accept), (True, False))
        self.assertIn(accepts_gzip(accept), (True, False))

    def test_gzip(self) -> None:
        for sent in ("gzip", "GZIP", "x-gzip", "*", "deflate, gzip;q=1.0, *;q=0.5", "gzip;q=0.001", "br, gzip ; q=0.3"):
            self.assertTrue(accepts_gzip(sent), sent)
        for sent in ("gzip, identity", "identity;q=0, gzip;q=0.1", "*;q=0.1, br"):
            self.assertTrue(accepts_gzip(sent), sent)
        for sent in ("", "identity", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "gzip;q=nonsense", "gzip;q=-1"):
            self.assertFalse(accepts_gzip(sent), sent)
        self.assertFalse(accepts_gzip("gzip;q=0.5, identity;q=0.6"))
