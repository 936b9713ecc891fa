"""What tiering answers over HTTP: a member's standing, and the ladder."""

from __future__ import annotations

from services.tiering.api.ladder import ladder_json
from services.tiering.api.standing import standing_json
from services.tiering.domain.member import Member
from services.tiering.domain.program import ProgramVersions, compile_program
from services.tiering.domain.timeline import Entry
from tests.unit.test_tiering_history import document, on, with_ladder
from tests.unit.test_tiering_outbound import book_order

VERSIONS = ProgramVersions([compile_program(document())])


def test_the_standing_shows_the_gap_to_the_next_tier() -> None:
    member = Member()
    book_order(member, Entry(on(1), 40_000, 1))
    body = standing_json("m-1", member, VERSIONS.at(on(9)))
    assert body["tier"] == "senior"
    assert body["since"] == "2026-01-01T16:00:00Z"
    assert body["growth_value"] == "400.00"
    assert body["orders"] == 1
    assert body["next"]["tier"] == "vip"
    assert body["next"]["gap"] == {"growth": "288.00", "orders": None}
    assert body["history"] == [{"tier": "senior", "effective_at": "2026-01-01T16:00:00Z"}]
    assert (body["keep"], body["valid_until"], body["benefits"]) == (None, None, [])


def test_the_standing_with_an_order_is_the_one_after_it() -> None:
    member = Member()
    book_order(member, Entry(on(1), 40_000, 1))
    after = standing_json("m-1", member, VERSIONS.at(on(9)), 28_799)
    assert (after["tier"], after["since"], after["with"]) == ("senior", "2026-01-01T16:00:00Z", "287.99")
    assert after["next"]["gap"] == {"growth": "0.01", "orders": None}
    after = standing_json("m-1", member, VERSIONS.at(on(9)), 28_800)
    assert (after["tier"], after["since"], after["orders"]) == ("vip", None, 2)
    assert after["next"]["tier"] == "supreme"
    after = standing_json("m-1", member, VERSIONS.at(on(9)), 100_000)
    assert (after["tier"], after["next"]) == ("supreme", None)


def test_a_tier_with_several_ways_shows_each() -> None:
    either = {"any": [{"growth": "399"}, {"orders": 3}]}
    program = compile_program(with_ladder([{"tier": "senior", "name": {"en": "Senior"}, "when": either}]))
    body = standing_json("m-1", Member(), program)
    assert body["next"] == {
        "tier": "senior",
        "names": {"en": "Senior"},
        "gap": {"growth": "399.00", "orders": None},
        "ways": [{"growth": "399.00", "orders": None}, {"growth": None, "orders": 3}],
    }
    assert ladder_json(program)["tiers"] == [
        {"tier": "senior", "rank": 1, "names": {"en": "Senior"}, "ways": body["next"]["ways"]}
    ]
