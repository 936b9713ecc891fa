"""A catalogue that could not be kept is refused, with the place and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.program import ProgramRefused, check

TEXT = (Path(__file__).parents[2] / "deploy" / "program.yaml").read_text("utf-8")


def with_rewards(*rows: str) -> str:
    head, _, tail = TEXT.partition("redeem:\n")
    rest = tail[tail.index("\ntiers:") :]
    return head + "redeem:\n  rewards:\n" + "".join(f"    - {row}\n" for row in rows) + rest


@pytest.mark.parametrize(
    ("rows", "path", "message"),
    [
        (["{reward: a, kind: coupon, points: 1}"], "redeem.rewards[0]", "a coupon needs `codes`"),
        (["{reward: a, kind: lottery, points: 1}"], "redeem.rewards[0]", "a lottery needs `prizes`"),
        (["{reward: a, kind: points_cash, points: 1}"], "redeem.rewards[0]", "a points_cash needs `price`"),
        (["{reward: a, kind: gift, points: 1, codes: p}"], "redeem.rewards[0].codes", "is for rewards of kind coupon"),
        (["{reward: a, kind: gift, points: 1}"] * 2, "redeem.rewards[1].reward", "`a` is defined twice"),
        (["{reward: a, kind: tier, points: 1, tier: gold}"], "redeem.rewards[0].tier", "`gold` is not defined"),
        (
            ['{reward: a, kind: points_cash, points: 1, price: "1.005"}'],
            "redeem.rewards[0].price",
            "more decimals than CNY has",
        ),
        (
            ['{reward: a, kind: lottery, points: 1, stock: 3, prizes: [{prize: p, chance: "1", points: 1}]}'],
            "redeem.rewards[0].stock",
            "the prizes of a draw are counted",
        ),
        (
            [
                '{reward: a, kind: lottery, points: 1, prizes: [{prize: p, chance: "0.6", points: 1}, '
                '{prize: q, chance: "0.5", points: 1}]}'
            ],
            "redeem.rewards[0].prizes",
            "add to more than 1",
        ),
        (
            ['{reward: a, kind: lottery, points: 1, prizes: [{prize: p, chance: "0.1", reward: b}]}'],
            "redeem.rewards[0].prizes[0].reward",
            "`b` is not defined",
        ),
        (
            ['{reward: a, kind: lottery, points: 1, prizes: [{prize: p, chance: "0.1", reward: a}]}'],
            "redeem.rewards[0].prizes[0].reward",
            "a draw cannot give another draw",
        ),
        ([f"{{reward: {'a' * 58}, kind: gift, points: 1, stock: 1}}"], "redeem.rewards[0].reward", "longer than 57"),
    ],
)
def test_a_catalogue_that_cannot_be_kept_is_refused(rows: list[str], path: str, message: str) -> None:
    with pytest.raises(ProgramRefused) as refused:
        check(with_rewards(*rows))
    (problem,) = refused.value.problems
    assert problem.path == path
    assert message in problem.message


def test_every_kind_of_reward_can_be_published() -> None:
    check(
        with_rewards(
            "{reward: mug, kind: gift, points: 1500, stock: 100}",
            "{reward: ten-off, kind: coupon, points: 800, codes: pool-1}",
            '{reward: teapot, kind: points_cash, points: 2000, price: "59.00", stock: 20}',
            "{reward: shipping, kind: free_shipping, points: 300}",
            "{reward: upgrade, kind: tier, points: 5000, tier: vip, days: 30}",
            "{reward: lounge, kind: privilege, points: 1000, privilege: lounge}",
            '{reward: draw, kind: lottery, points: 200, prizes: [{prize: big, chance: "0.01", reward: mug}]}',
        )
    )
