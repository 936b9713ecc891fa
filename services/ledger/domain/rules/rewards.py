"""Rewards bought with points: issued at once or, where the reward is counted, once its own account has granted one.

While that account is asked, the points are `in_transit`. They become redeemed with the grant, and return to their lots
if the reward is sold out (P3, P4).

SQL: `facts`, `spendable_lots`.
"""

from __future__ import annotations

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.catalogue import Prize, Reward
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.fact_keys import REDEMPTION, redemption_key
from services.ledger.domain.state.inputs import RedeemReward
from services.ledger.domain.state.messages import AskReward, GiveBackReward, KeepReward, RewardAnswered
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.redemptions import (
    Redemption,
    RedemptionState,
    decode_redemption,
    encode_redemption,
)
from services.ledger.domain.state.rewards import Issue


def redeem_reward(posting: Posting, command: RedeemReward) -> Outcome:
    """Buy a reward of the catalogue in force."""
    member, key = posting.member, redemption_key(command.redemption)
    program = posting.programs.at(posting.now)
    reward = program.rewards.get(command.reward)
    if reward is None:
        return refused("reward_unknown")
    if member.fact(key) is not None:
        return refused("reference_used")
    if reward.points > member.account.available:
        return refused("insufficient_points")
    redemption = Redemption(command.reference, reward.points, posting.now, [], reward=reward.name, kind=reward.kind)
    outcome = Outcome("booked", reply=redemption)
    prize = _draw(command, reward, redemption)
    handed_out = _handed_out(program, reward, prize)
    cause = posting.cause(reward.name, key, posting.now)
    if handed_out is not None and handed_out.account is not None:
        outcome.messages.append(_ask_for_reward(posting, command, redemption, handed_out, cause))
    else:
        redemption.allocations = posting.redeem(reward.points, cause)
        if prize is not None and prize.points:
            posting.award(program.lot_day(cause.day), prize.points, cause)
        if handed_out is not None:
            redemption.issues = handed_out.name
            outcome.issued.append(_issue(command.redemption, redemption, handed_out, program))
    member.facts[key] = encode_redemption(redemption)
    return outcome


def _draw(command: RedeemReward, reward: Reward, redemption: Redemption) -> Prize | None:
    """The prize that a draw gives, kept with its redemption; None for another reward, or if nothing is won."""
    if reward.kind != "lottery":
        return None
    prize = reward.drawn(command.nonce, command.redemption)
    redemption.nonce, redemption.prize = command.nonce, prize.name if prize is not None else ""
    return prize


def _handed_out(program: Program, reward: Reward, prize: Prize | None) -> Reward | None:
    """What the shop has to hand out: the reward itself, or of a draw the reward that was won, if any."""
    if reward.kind != "lottery":
        return reward
    return None if prize is None or prize.reward is None else program.rewards.get(prize.reward)


def _ask_for_reward(
    posting: Posting, command: RedeemReward, redemption: Redemption, handed_out: Reward, cause: Cause
) -> Message:
    """Let the points wait in transit, and ask the account that counts the reward for one."""
    assert handed_out.account is not None
    redemption.issues, redemption.state = handed_out.name, "asked"
    redemption.allocations = posting.send(redemption.points, cause)
    member_id = posting.member.account.member_id
    ask = AskReward(SOURCE, f"{command.redemption}:asked", posting.now, command.redemption, member_id, handed_out.name)
    return Message(handed_out.account, ask)


def settle_reward(posting: Posting, answer: RewardAnswered) -> Outcome:
    """The reward's account has answered: issue the reward, or return the points."""
    member, key = posting.member, redemption_key(answer.redemption)
    raw = member.fact(key)
    redemption = None if raw is None else decode_redemption(raw)
    if redemption is None or redemption.state != "asked":
        return Outcome("known", "this account waits for no such answer")
    # The reward is that of the version under which it was bought.
    program = posting.programs.at(redemption.made_at)
    cause = Cause(redemption.reward, key, program.calendar.day_of(posting.now), program)
    outcome = Outcome("booked")
    if answer.granted:
        posting.redeem_in_transit(redemption.allocations, cause)
        redemption.state, redemption.code = "done", answer.code
        outcome.issued.append(_issue(answer.redemption, redemption, program.rewards[redemption.issues], program))
    else:
        posting.return_points(redemption.allocations, redemption.points, cause, out_of="in_transit")
        redemption.state, redemption.returned = "sold_out", redemption.points
    member.facts[key] = encode_redemption(redemption)
    return outcome


def cancel_rewards(posting: Posting, ref: str, order: Order) -> list[Message]:
    """Cancel the rewards that a cancelled order paid for in part with points; those that are counted are given back."""
    messages: list[Message] = []
    for redemption_id, redemption in _change_rewards(posting, ref, order, "done", "cancelled"):
        messages += back_to_stock(posting, redemption_id, redemption)
    return messages


def reinstate_rewards(posting: Posting, ref: str, order: Order) -> list[Message]:
    """Let the rewards of a reinstated order be out again (R13): they are goods of that order, also if the stock has
    given them to others meanwhile."""
    messages: list[Message] = []
    for redemption_id, redemption in _change_rewards(posting, ref, order, "cancelled", "done"):
        if (account := _stock_account(posting, redemption)) is not None:
            name = f"{redemption_id}:{posting.version}:kept"
            messages.append(Message(account, KeepReward(SOURCE, name, posting.now, redemption_id)))
    return messages


def _change_rewards(
    posting: Posting, ref: str, order: Order, before: RedemptionState, after: RedemptionState
) -> list[tuple[str, Redemption]]:
    """Change the state of the redemptions of rewards that an order has and that are in the state before; with ids."""
    member, changed = posting.member, list[tuple[str, Redemption]]()
    for key in order.funding_keys:
        raw = member.fact(key) if key.startswith(REDEMPTION) else None
        redemption = None if raw is None else decode_redemption(raw)
        if redemption is not None and redemption.order == ref and redemption.reward and redemption.state == before:
            redemption.state = after
            member.facts[key] = encode_redemption(redemption)
            changed.append((key.removeprefix(REDEMPTION), redemption))
    return changed


def back_to_stock(posting: Posting, redemption_id: str, redemption: Redemption) -> list[Message]:
    """The message that gives a counted reward back to its account; none if the reward is not counted."""
    account = _stock_account(posting, redemption)
    if account is None:
        return []
    # An order may be cancelled, reinstated and cancelled again: each time it is another message.
    name = f"{redemption_id}:{posting.version}:given-back"
    return [Message(account, GiveBackReward(SOURCE, name, posting.now, redemption_id))]


def _stock_account(posting: Posting, redemption: Redemption) -> str | None:
    """The account that counts what was handed out for a redemption; None if nobody does."""
    reward = posting.programs.at(redemption.made_at).rewards.get(redemption.issues)
    return None if reward is None else reward.account


def _issue(redemption_id: str, redemption: Redemption, reward: Reward, program: Program) -> Issue:
    return Issue(
        redemption_id, reward.name, reward.kind, redemption.points, redemption.code, redemption.prize, program.number
    )
