"""Which instance owns which key (contract, section 8, "Several machines")."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import sharing
from pypinger.domain.sharing import REMEMBERED, Member, Moves, Ranking, moved, moves

KEYS = frozenset(f"http://host/{number}" for number in range(3000))

keys = st.frozensets(st.text(max_size=3), max_size=12)
members = st.lists(
    st.builds(Member, st.sampled_from([*"abcdef"]), keys, st.booleans()), max_size=5, unique_by=lambda each: each.name
)


def listed(present: Sequence[Member]) -> frozenset[str]:
    """The keys that any member lists."""
    return frozenset[str]().union(*(member.keys for member in present))


def owners(present: Sequence[Member], ranking: Ranking | None = None) -> dict[str, str]:
    """Key -> the name of its owner, as each member works out by itself what it is to own."""
    ranking = ranking or Ranking(listed(present))
    found: dict[str, str] = {}
    for member in present:
        for part in ranking.steps(present, member.name):
            for key in part:
                assert key not in found, (key, found[key], member.name)
                found[key] = member.name
    return found


def everyone(*names: str, keys: frozenset[str] = KEYS) -> list[Member]:
    return [Member(name, keys) for name in names]


class OwnersTests(SynchronousTestCase):
    @given(members)
    def test_each_listed_key_has_one_owner_that_lists_it(self, present: Sequence[Member]) -> None:
        found = owners(present)
        self.assertEqual(found.keys(), listed(present))
        by_name = {member.name: member for member in present}
        for key, name in found.items():
            self.assertIn(key, by_name[name].keys)

    @given(members)
    def test_blind_members_get_only_what_no_other_lists(self, present: Sequence[Member]) -> None:
        seen = listed([member for member in present if not member.blind])
        for key, name in owners(present).items():
            owner = next(member for member in present if member.name == name)
            self.assertEqual(owner.blind, key not in seen)

    @given(members, st.randoms())
    def test_order_of_members_does_not_matter(self, present: list[Member], random: object) -> None:
        shuffled = list(present)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        self.assertEqual(owners(present), owners(shuffled))

    @given(members, st.builds(Member, st.just("new"), keys, st.booleans()))
    def test_a_member_that_joins_moves_only_its_share(self, present: list[Member], new: Member) -> None:
        before, after = owners(present), owners([*present, new])
        sees = not new.blind
        freed = {key for member in present if member.blind for key in member.keys} & new.keys if sees else set()
        for key, name in after.items():
            if name != "new" and key not in freed:
                self.assertEqual(before[key], name)
        # The same holds where it leaves again.
        self.assertEqual(owners(present), before)

    @given(members)
    def test_blindness_moves_only_what_the_blind_member_had(self, present: list[Member]) -> None:
        for number, member in enumerate(present):
            if member.blind:
                continue
            after = owners([*present[:number], member._replace(blind=True), *present[number + 1 :]])
            for key, name in owners(present).items():
                if name != member.name:
                    # If no other member sees, the blind ones share it.
                    self.assertEqual(after[key], name)

    def test_shares_are_balanced(self) -> None:
        for names in (("a", "b"), ("a", "b", "c"), ("web-1", "web-2", "web-3", "web-4", "web-5")):
            counts = Counter(owners(everyone(*names)).values())
            fair = len(KEYS) / len(names)
            # Five standard deviations of a fair draw.
            allowed = 5 * math.sqrt(fair * (1 - 1 / len(names)))
            for name in names:
                self.assertLess(abs(counts[name] - fair), allowed, names)

    def test_what_a_member_leaves_is_spread_over_the_others(self) -> None:
        before, after = owners(everyone("a", "b", "c")), owners(everyone("a", "b"))
        heirs = Counter(after[key] for key, name in before.items() if name == "c")
        self.assertLess(abs(heirs["a"] - heirs["b"]), 200)

    def test_owners_do_not_change_with_versions(self) -> None:
        """Instances of two versions that share tasks must agree."""
        found = owners(everyone("a", "b", "c", keys=frozenset("stuvwxyz")))
        self.assertEqual("".join(found[key] for key in "stuvwxyz"), "cccbcaba")


class RankingTests(SynchronousTestCase):
    def test_large_sets_come_in_steps(self) -> None:
        self.patch(sharing, "STEP", 1000)
        present = everyone("a", "b")
        ranking = Ranking(KEYS)
        steps = zip(*(ranking.steps(present, name) for name in "ab"), strict=True)
        self.assertEqual([sum(map(len, parts)) for parts in steps], [1000] * 3)

    def test_remembered_scores_give_the_same_owners(self) -> None:
        ranking = Ranking(KEYS)
        for names in (("a",), ("a", "b"), ("b",), ("a", "b", "c"), tuple("defghijklmnopq"), ("a", "c")):
            present = everyone(*names)
            self.assertEqual(owners(present, ranking), owners(present))
        self.assertLess(REMEMBERED, 14)

    def test_who_was_foreseen_is_not_ranked_again(self) -> None:
        self.patch(sharing, "STEP", 1000)
        ranking, expected = Ranking(KEYS), owners(everyone("a", "b"))
        owners(everyone("a"), ranking)
        self.assertEqual(len([*ranking.foresee("b")]), 3)
        self.patch(sharing, "_scores", lambda part, name: self.fail(f"{name} is ranked"))
        self.assertEqual(owners(everyone("a", "b"), ranking), expected)

    def test_the_latest_names_are_remembered(self) -> None:
        ranking = Ranking(KEYS)
        for name in ["a", *map(str, range(REMEMBERED)), "b"]:
            self.assertEqual(len([*ranking.foresee(name)]), 1)
        ranked: list[str] = []
        self.patch(sharing, "_scores", lambda part, name: ranked.append(name) or [0] * len(part))
        owners(everyone("b", str(REMEMBERED - 1), "a"), ranking)
        self.assertEqual(ranked, ["a"])

    def test_members_are_remembered_whoever_is_coming(self) -> None:
        ranking = Ranking(KEYS)
        owners(everyone("a", "b"), ranking)
        for number in range(REMEMBERED + 1):
            self.assertEqual(len([*ranking.foresee(str(number))]), 1)
        self.patch(sharing, "_scores", lambda part, name: self.fail(f"{name} is ranked"))
        owners(everyone("a", "b", str(REMEMBERED)), ranking)

    def test_an_interrupted_ranking_can_be_done_again(self) -> None:
        ranking = Ranking(KEYS)
        present = everyone("a", "b")
        next(ranking.steps(present, "a"))
        self.assertEqual(owners(present, ranking), owners(present))

    def test_a_key_that_nobody_lists_is_left_out(self) -> None:
        self.assertEqual([*Ranking(["x", "y"]).steps([Member("a", frozenset("x"))], "a")], [["x"]])
        self.assertEqual([*Ranking([]).steps([], "a")], [])

    def test_who_is_no_member_owns_nothing(self) -> None:
        self.assertEqual([*Ranking(["x"]).steps([Member("b", frozenset("x"))], "a")], [[]])

    @given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.frozensets(st.integers(0, 99)), st.data())
    def test_the_highest_score_wins_and_of_equal_ones_the_first_name(
        self, names: list[str], numbers: frozenset[int], data: st.DataObject
    ) -> None:
        keys = [str(number) for number in numbers]
        scores = {
            name: data.draw(st.lists(st.integers(0, 3), min_size=len(keys), max_size=len(keys))) for name in names
        }
        self.patch(sharing, "_scores", lambda part, name: [scores[name][keys.index(key)] for key in part])
        present = everyone(*names, keys=frozenset(keys))
        best = {key: min(names, key=lambda name: (-scores[name][keys.index(key)], name)) for key in keys}
        self.assertEqual(owners(present, Ranking(keys)), best)


class MovesTests(SynchronousTestCase):
    @given(keys, keys, keys)
    def test_moves_lead_from_what_is_owned_to_what_is_to_be(
        self, mine: frozenset[str], owned: frozenset[str], adopted: frozenset[str]
    ) -> None:
        found = moves(mine, owned, adopted)
        self.assertEqual((owned - found.leave) | found.gain, mine | (owned & adopted))
        self.assertFalse(found.gain & owned)
        self.assertLessEqual(found.leave, owned)

    def test_adopted_keys_stay(self) -> None:
        self.assertEqual(moves({"x"}, {"y", "z"}, {"z"}), Moves(frozenset("y"), frozenset("x")))

    @given(keys, keys, keys, keys, keys)
    def test_only_what_has_changed_hands_is_compared(
        self,
        mine: frozenset[str],
        owned: frozenset[str],
        adopted: frozenset[str],
        changed: frozenset[str],
        some: frozenset[str],
    ) -> None:
        before = moves(mine, owned ^ changed, adopted ^ (changed & some))
        found = moved(before, changed, mine & changed, owned & changed, adopted)
        self.assertEqual(found, moves(mine, owned, adopted))

    def test_one_that_is_released_though_it_is_wanted(self) -> None:
        """It is gained again."""
        self.assertEqual(
            moved(Moves(frozenset("ab"), frozenset()), {"a", "c"}, {"c"}, set(), set()),
            Moves(frozenset("b"), frozenset("c")),
        )

    @given(st.lists(members, min_size=2, max_size=4))
    def test_members_that_follow_their_moves_own_everything_once(self, changes: list[list[Member]]) -> None:
        owned: dict[str, set[str]] = {}
        for _, present in pairwise([[], *changes]):
            assigned = owners(present)
            owned = {member.name: owned.get(member.name, set()) for member in present}
            plans = {
                name: moves({key for key, owner in assigned.items() if owner == name}, held, frozenset())
                for name, held in owned.items()
            }
            for name, held in owned.items():
                held -= plans[name].leave
            taken = set().union(*owned.values())
            for name, held in owned.items():
                self.assertFalse(plans[name].gain & taken)
                held |= plans[name].gain
            self.assertEqual(sum(map(len, owned.values())), len(listed(present)))
