"""The rewriter of answers that only lenient clients read."""

from __future__ import annotations

import time
from itertools import accumulate, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.http.wire.lenient import Rewriter
from tests.http.faults import CHUNKED, bare
from tests.http.test_fuzz import hostile


class RewriterTests(SynchronousTestCase):
    """Without a parser."""

    @settings(deadline=None, max_examples=300)
    @given(hostile(), st.lists(st.integers(1, 60), max_size=40))
    def test_pieces(self, raw: bytes, sizes: list[int]) -> None:
        """How the answer is cut into pieces makes no difference."""
        rewriter = Rewriter()
        edges = [0, *(edge for edge in accumulate(sizes) if edge < len(raw)), len(raw)]
        pieces = [rewriter.feed(raw[start:end]) for start, end in pairwise(edges)]
        self.assertEqual(Rewriter().feed(raw), b"".join(pieces))

    def test_many_chunks(self) -> None:
        """The time that chunks take grows with their number only."""
        raw = bare(CHUNKED) + b"1 \r\nx\r\n" * 65_536 + b"0 \r\n\r\n"
        began = time.process_time()
        self.assertEqual(bare(CHUNKED) + b"1\r\nx\r\n" * 65_536 + b"0\r\n\r\n", Rewriter().feed(raw))
        self.assertLess(time.process_time() - began, 2.0)
