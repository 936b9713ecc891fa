"""What the catalogue of rewards must not say."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from schemas.currencies import has_more_decimals
from schemas.program.document import Program, Reward
from schemas.program.problems import Finding, Path

MAX_LETTERS: Final = 57
"""Of the name of a counted reward or a pool: with `reward:` before it, it is the id of the account that counts."""

_NEEDS: Final[dict[str, str]] = {
    "coupon": "codes",
    "lottery": "prizes",
    "points_cash": "price",
    "tier": "tier",
    "privilege": "privilege",
}
"""The field without which a kind of reward says nothing."""


def reward_errors(program: Program) -> Iterator[Finding]:
    """Everything for which a catalogue is refused."""
    rewards = program.redeem.rewards if program.redeem is not None else ()
    by_name = {reward.reward: reward for reward in reversed(rewards)}
    tiers = {tier.tier for tier in program.tiers.ladder}
    for index, reward in enumerate(rewards):
        path: Path = ("redeem", "rewards", index)
        if by_name[reward.reward] is not reward:
            message = f"the reward `{reward.reward}` is defined twice"
            yield Finding((*path, "reward"), message, "rename one of them")
        yield from _fields(reward, path)
        if reward.tier is not None and reward.tier not in tiers:
            message = f"the tier `{reward.tier}` is not defined"
            yield Finding((*path, "tier"), message, f"defined: {', '.join(sorted(tiers))}")
        if reward.price is not None and has_more_decimals(reward.price, program.currency):
            yield Finding((*path, "price"), f"more decimals than {program.currency} has", "round the amount")
        yield from _prizes(reward, by_name, path)


def _fields(reward: Reward, path: Path) -> Iterator[Finding]:
    needed = _NEEDS.get(reward.kind)
    if needed is not None and getattr(reward, needed) is None:
        yield Finding(path, f"a {reward.kind} needs `{needed}`", f"add `{needed}`")
    for kind, field in _NEEDS.items():
        if reward.kind != kind and getattr(reward, field) is not None:
            yield Finding((*path, field), f"`{field}` is for rewards of kind {kind}", "leave it out")
    if reward.kind == "lottery" and reward.stock is not None:
        yield Finding((*path, "stock"), "the prizes of a draw are counted, not the draws", "give the prize a stock")
    for field, name in (("reward", reward.reward if reward.stock is not None else ""), ("codes", reward.codes or "")):
        if len(name) > MAX_LETTERS:
            yield Finding((*path, field), f"longer than {MAX_LETTERS} letters", "use a shorter name")


def _prizes(reward: Reward, by_name: dict[str, Reward], path: Path) -> Iterator[Finding]:
    prizes = reward.prizes or ()
    if sum(Fraction(prize.chance) for prize in prizes) > 1:
        yield Finding((*path, "prizes"), "the chances add to more than 1", "lower some of them")
    for place, prize in enumerate(prizes):
        where = (*path, "prizes", place)
        if prize.reward is not None and prize.points is not None:
            yield Finding(where, "a prize is a reward or points", "give one of them")
        won = None if prize.reward is None else by_name.get(prize.reward)
        if prize.reward is not None and won is None:
            message = f"the reward `{prize.reward}` is not defined"
            yield Finding((*where, "reward"), message, f"defined: {', '.join(sorted(by_name))}")
        if won is not None and won.kind == "lottery":
            yield Finding((*where, "reward"), "a draw cannot give another draw", "name another reward")
