"""Rewards bought with points: issued at once, or, where they are counted, once the reward's account has granted one.

While that is asked the points are `in_transit`. They become redeemed with the grant, and return to their lots if the
reward is sold out (P3, P4).
"""

from __future__ import annotations

from services.kit.calendar import Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.catalogue import Reward
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.inputs import AskReward, GiveBackReward, RedeemReward, RewardAnswered
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.redemptions import Redemption, decode_redemption, encode_redemption
from services.ledger.domain.state.refs import REDEMPTION, redemption_key
from services.ledger.domain.state.rewards import Issue


def redeem_reward(member: Member, programs: ProgramVersions, moves: Posting, input_: RedeemReward) -> Outcome:
    """Buy a reward of the catalogue in force."""
    program, key = programs.at(moves.now), redemption_key(input_.redemption)
    reward = program.rewards.get(input_.reward)
    if reward is None:
        return refused("reward_unknown")
    if member.fact(key) is not None:
        return refused("reference_used")
    if reward.points > member.account.available:
        return refused("insufficient_points")
    cause = _cause(program, reward.name, key, moves.now)
    redemption = Redemption(input_.reference, reward.points, moves.now, [], reward=reward.name, kind=reward.kind)
    outcome = Outcome("booked", reply=redemption)
    prize = reward.drawn(input_.nonce, input_.redemption) if reward.kind == "lottery" else None
    if reward.kind == "lottery":
        redemption.nonce, redemption.prize = input_.nonce, prize.name if prize is not None else ""
    handed_out = _handed_out(program, reward, prize.reward if prize is not None else None)
    if handed_out is not None and handed_out.account is not None:
        redemption.issues, redemption.state = handed_out.name, "asked"
        redemption.taken = moves.send(reward.points, cause)
        asked = AskReward(
            SOURCE,
            f"{input_.redemption}:asked",
            moves.now,
            input_.redemption,
            member.account.member_id,
            handed_out.name,
        )
        outcome.messages.append(Message(handed_out.account, asked))
    else:
        redemption.taken = moves.redeem(reward.points, cause)
        if prize is not None and prize.points:
            moves.award(program.lot_day(cause.day), prize.points, cause)
        if handed_out is not None:
            redemption.issues = handed_out.name
            outcome.issued.append(_issue(input_.redemption, redemption, handed_out, program))
    member.facts[key] = encode_redemption(redemption)
    return outcome


def _handed_out(program: Program, reward: Reward, won: str | None) -> Reward | None:
    """What the shop has to hand out: the reward itself, or of a draw the reward that was won, if any."""
    if reward.kind != "lottery":
        return reward
    return None if won is None else program.rewards.get(won)


def settle_reward(member: Member, programs: ProgramVersions, moves: Posting, input_: RewardAnswered) -> Outcome:
    """The reward's account has answered: issue it, or give the points back."""
    key = redemption_key(input_.redemption)
    raw = member.fact(key)
    redemption = None if raw is None else decode_redemption(raw)
    if redemption is None or redemption.state != "asked":
        return Outcome("known", "this account waits for no such answer")
    # The reward is that of the version it was bought under.
    program = programs.at(redemption.made_at)
    cause = _cause(program, redemption.reward, key, moves.now)
    outcome = Outcome("booked")
    if input_.granted:
        moves.redeem_sent(redemption.taken, cause)
        redemption.state, redemption.code = "done", input_.code
        outcome.issued.append(_issue(input_.redemption, redemption, program.rewards[redemption.issues], program))
    else:
        moves.restore(redemption.taken, redemption.points, cause, out_of="in_transit")
        redemption.state, redemption.returned = "sold_out", redemption.points
    member.facts[key] = encode_redemption(redemption)
    return outcome


def cancel_rewards(member: Member, programs: ProgramVersions, ref: str, order: Order, now: Micros) -> list[Message]:
    """A cancelled order does without the rewards that it paid for in part with points: what is counted goes back."""
    messages: list[Message] = []
    for key in order.names:
        raw = member.fact(key) if key.startswith(REDEMPTION) else None
        redemption = None if raw is None else decode_redemption(raw)
        if redemption is not None and redemption.order == ref and redemption.reward and redemption.state == "done":
            redemption.state = "cancelled"
            member.facts[key] = encode_redemption(redemption)
            messages += back_to_stock(programs, key.removeprefix(REDEMPTION), redemption, now)
    return messages


def back_to_stock(programs: ProgramVersions, redemption_id: str, redemption: Redemption, now: Micros) -> list[Message]:
    """What tells a counted reward's account that nobody wants this one any more."""
    reward = programs.at(redemption.made_at).rewards.get(redemption.issues)
    if reward is None or reward.account is None:
        return []
    return [Message(reward.account, GiveBackReward(SOURCE, f"{redemption_id}:given-back", now, redemption_id))]


def _issue(redemption_id: str, redemption: Redemption, reward: Reward, program: Program) -> Issue:
    return Issue(
        redemption_id, reward.name, reward.kind, redemption.points, redemption.code, redemption.prize, program.number
    )


def _cause(program: Program, rule: str, key: str, now: Micros) -> Cause:
    return Cause(rule, key, program.calendar.day_of(now), program)
