"""The account of a reward: it grants as long as there is one left, exactly, and takes back what was not used."""

from __future__ import annotations

from typing import Final

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.catalogue import Reward
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.inputs import AddCodes, AskReward, GiveBackReward, RewardAnswered
from services.ledger.domain.state.loaded import Missing, Needs
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.rewards import (
    CODES,
    GRANT,
    Grant,
    code_key,
    decode_code,
    decode_grant,
    decode_pool,
    decode_stock,
    encode,
    stock_key,
)

CODES_READ: Final = 200
"""Codes read at once, for all that ask in one batch."""


def grant_reward(member: Member, programs: ProgramVersions, moves: Posting, input_: AskReward) -> Outcome:
    """Answer a redemption: granted, with a code where the reward has them, or sold out."""
    key = GRANT + input_.redemption
    if member.fact(key) is not None:
        return Outcome("known", "this redemption is answered already")
    reward = programs.at(moves.now).rewards.get(input_.reward)
    granted = reward is not None and _is_left(member, reward)
    code = _take(member, reward) if reward is not None and granted else ""
    member.facts[key] = encode(Grant(input_.reward, granted))
    told = RewardAnswered(SOURCE, f"{input_.redemption}:answered", moves.now, input_.redemption, granted, code)
    return Outcome("booked", messages=[Message(input_.member, told)])


def _is_left(member: Member, reward: Reward) -> bool:
    if reward.codes is not None:
        pool = decode_pool(member.fact(CODES))
        if pool.taken >= pool.added:
            return False
    return reward.stock is None or decode_stock(member.fact(stock_key(reward.name))).granted < reward.stock


def _take(member: Member, reward: Reward) -> str:
    stock = decode_stock(member.fact(stock_key(reward.name)))
    stock.granted += 1
    member.facts[stock_key(reward.name)] = encode(stock)
    if reward.codes is None:
        return ""
    pool = decode_pool(member.fact(CODES))
    try:
        raw = member.fact(code_key(pool.taken))
    except Missing:
        coming = range(pool.taken, min(pool.added, pool.taken + CODES_READ))
        raise Missing(Needs(facts={code_key(number) for number in coming})) from None
    assert raw is not None
    pool.taken += 1
    member.facts[CODES] = encode(pool)
    return decode_code(raw)


def take_back_reward(member: Member, input_: GiveBackReward) -> Outcome:
    """What was returned in full can be granted again; a code that was seen stays out."""
    key = GRANT + input_.redemption
    raw = member.fact(key)
    grant = None if raw is None else decode_grant(raw)
    if grant is None or not grant.granted or grant.given_back:
        return Outcome("known", "nothing of this redemption is out")
    grant.given_back = True
    member.facts[key] = encode(grant)
    stock = decode_stock(member.fact(stock_key(grant.reward)))
    stock.granted -= 1
    member.facts[stock_key(grant.reward)] = encode(stock)
    return Outcome("booked")


def add_codes(member: Member, input_: AddCodes) -> Outcome:
    """Fill the pool; a code that it was given before is not added again."""
    asked = {code: f"has:{code}" for code in input_.codes}
    member.want_facts([CODES, *asked.values()])
    pool = decode_pool(member.fact(CODES))
    for code, key in asked.items():
        if member.fact(key) is None:
            member.facts[key] = encode("")
            member.facts[code_key(pool.added)] = encode(code)
            pool.added += 1
    member.facts[CODES] = encode(pool)
    return Outcome("booked", reply=pool)
