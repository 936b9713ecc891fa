"""The keys under which an account keeps its facts. They are made and parsed here alone.

Each kind of fact has a prefix, or a whole key, of its own. What a publisher chooses (an activity's name, a review's
id) only ever follows such a prefix, so no publisher's id can be taken for another kind of fact.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from services.kit.calendar import Day

# Facts of a member.
REVIEW: Final = "review:"
ACTIVITY: Final = "activity:"
ITEM: Final = "item:"
GOODS: Final = "goods:"
REFERRAL: Final = "referral:"
HOLD: Final = "hold:"
REDEMPTION: Final = "redemption:"
TRANSFER: Final = "transfer:"
ARRIVAL: Final = "arrival:"
GIVEN: Final = "given"
CAP: Final = "cap:"
SLIDING_LOTS: Final = "lots:"
SIGN_IN_RUNS: Final = "sign-ins"
REPAIRED_DAYS: Final = "made-up-days"
PROFILE: Final = "profile"

# Facts of the account that keeps a reward's stock or a pool of codes.
GRANT: Final = "grant:"
STOCK: Final = "stock:"
CODE: Final = "code:"
ADDED_CODE: Final = "has:"
CODES: Final = "codes"

# Facts of the account that keeps a campaign's budget.
ALLOTMENT: Final = "allotment:"
WAITING: Final = "waiting:"
BUDGET: Final = "budget"


def review_key(review_id: str) -> str:
    """The key of a review."""
    return REVIEW + review_id


def activity_key(activity: str, activity_id: str) -> str:
    """The key of an activity. The contract lets no activity's name have a colon, so name and id stay apart."""
    return f"{ACTIVITY}{activity}:{activity_id}"


def item_key(rule: str, sku: str) -> str:
    """The key of a thing for which a rule gives one award (N7). No rule's name has a colon."""
    return f"{ITEM}{rule}:{sku}"


def goods_key(sku: str) -> str:
    """The key of goods that were reviewed by a rule that asks for their being kept (N8)."""
    return GOODS + sku


def referral_key(member_id: str) -> str:
    """The key of what a referrer's account knows of a member it referred."""
    return REFERRAL + member_id


def hold_key(hold_id: str) -> str:
    """The key of a hold."""
    return HOLD + hold_id


def redemption_key(redemption_id: str) -> str:
    """The key of a redemption."""
    return REDEMPTION + redemption_id


def transfer_key(transfer_id: str) -> str:
    """The key of a transfer on its sender's account."""
    return TRANSFER + transfer_id


def arrival_key(transfer_id: str) -> str:
    """The key of a transfer on its receiver's account."""
    return ARRIVAL + transfer_id


def cap_key(rule: str, program: int, day: Day) -> str:
    """The key of the pool that caps a rule under a program version on a local day (N3)."""
    return f"{CAP}{rule}:{program}:{date.fromordinal(day).isoformat()}"


def sliding_lots_key(award: str) -> str:
    """The key of the lots to which the points of an award went that slide (E3)."""
    return SLIDING_LOTS + award


def grant_key(redemption_id: str) -> str:
    """The key of what a redemption was granted."""
    return GRANT + redemption_id


def stock_key(reward: str) -> str:
    """The key of a reward's stock."""
    return STOCK + reward


def code_key(number: int) -> str:
    """The key of a pool's code by its place, from 0."""
    return f"{CODE}{number}"


def added_code_key(code: str) -> str:
    """The key that says that a pool was given a code."""
    return ADDED_CODE + code


def allotment_key(member_id: str, order: str) -> str:
    """The key of what an order has of a budget; a member's id has no slash."""
    return f"{ALLOTMENT}{member_id}/{order}"


def waiting_key(place: int) -> str:
    """The key of a place in a budget's queue."""
    return f"{WAITING}{place}"
