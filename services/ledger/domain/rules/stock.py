"""The account of a reward: it grants the reward as long as one is left, exactly, and takes back what is returned.

SQL: `facts`.
"""

from __future__ import annotations

from typing import Final

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.catalogue import Reward
from services.ledger.domain.state.fact_keys import CODES, added_code_key, code_key, grant_key, stock_key
from services.ledger.domain.state.inputs import AddCodes
from services.ledger.domain.state.loaded import Missing, Needs
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.messages import AskReward, GiveBackReward, KeepReward, RewardAnswered
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.rewards import (
    Grant,
    decode_code,
    decode_grant,
    decode_pool,
    decode_stock,
    encode,
)

REWARD_OVERSOLD: Final = "reward_oversold"
"""The alarm of a reward of which more are out than its stock, because a cancelled order was reinstated (R13)."""

CODES_READ: Final = 200
"""Codes read at once, for all redemptions of one batch."""


def grant_reward(posting: Posting, question: AskReward) -> Outcome:
    """Answer a redemption: granted, with a code where the reward has codes, or sold out."""
    member, key = posting.member, grant_key(question.redemption)
    if member.fact(key) is not None:
        return Outcome("known", "this redemption is answered already")
    reward = posting.programs.at(posting.now).rewards.get(question.reward)
    granted = reward is not None and _is_left(member, reward)
    code = _take_one(member, reward) if reward is not None and granted else ""
    member.facts[key] = encode(Grant(question.reward, granted))
    name = f"{question.redemption}:answered"
    answer = RewardAnswered(SOURCE, name, posting.now, question.redemption, granted, code)
    return Outcome("booked", messages=[Message(question.member, answer)])


def _is_left(member: Member, reward: Reward) -> bool:
    if reward.codes is not None:
        pool = decode_pool(member.fact(CODES))
        if pool.taken >= pool.added:
            return False
    return reward.stock is None or decode_stock(member.fact(stock_key(reward.name))).granted < reward.stock


def _take_one(member: Member, reward: Reward) -> str:
    """Take one out of the stock and, where the reward has codes, the next code of its pool."""
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


def take_back_reward(posting: Posting, returned: GiveBackReward) -> Outcome:
    """Put a reward whose redemption was returned in full back into the stock; its code is not given out again."""
    member, key = posting.member, grant_key(returned.redemption)
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


def keep_reward(posting: Posting, kept: KeepReward) -> Outcome:
    """Count a reward that was given back as out again, with its own code. The order that has it was reinstated and will
    hand it out (R13), so one too many may be out: that is an alarm."""
    member, key = posting.member, grant_key(kept.redemption)
    raw = member.fact(key)
    grant = None if raw is None else decode_grant(raw)
    if grant is None or not grant.given_back:
        return Outcome("known", "nothing of this redemption was given back")
    grant.given_back = False
    member.facts[key] = encode(grant)
    stock = decode_stock(member.fact(stock_key(grant.reward)))
    stock.granted += 1
    member.facts[stock_key(grant.reward)] = encode(stock)
    reward = posting.programs.at(posting.now).rewards.get(grant.reward)
    too_many = reward is not None and reward.stock is not None and stock.granted > reward.stock
    return Outcome("booked", alarms=[REWARD_OVERSOLD] if too_many else [])


def add_codes(posting: Posting, command: AddCodes) -> Outcome:
    """Add codes to the pool; a code that it was given before is not added again."""
    member = posting.member
    keys = {code: added_code_key(code) for code in command.codes}
    member.want_facts([CODES, *keys.values()])
    pool = decode_pool(member.fact(CODES))
    for code, key in keys.items():
        if member.fact(key) is None:
            member.facts[key] = encode("")
            member.facts[code_key(pool.added)] = encode(code)
            pool.added += 1
    member.facts[CODES] = encode(pool)
    return Outcome("booked", reply=pool)
