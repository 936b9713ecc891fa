"""Activities: favourites, games and the like, once for each id (O2) or for what it is about, while it stands (N7)."""

from __future__ import annotations

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.facts import FactEvent, RuleOf, record_fact, remove_fact
from services.ledger.domain.state.account import ACTIVITIES
from services.ledger.domain.state.fact_keys import activity_key
from services.ledger.domain.state.inputs import ActivityRecorded, ActivityWithdrawn
from services.ledger.domain.state.outcome import Outcome
from services.ledger.domain.state.refs import activity_ref


def record_activity(posting: Posting, recorded: ActivityRecorded) -> Outcome:
    """Award a favourite, a game, …: once for each activity id or for the goods it is about, by the units it counts."""
    event = _event(recorded)._replace(units=recorded.units, sku=recorded.sku)
    return record_fact(posting, recorded, event, _rule_of(recorded.activity))


def withdraw_activity(posting: Posting, withdrawn: ActivityWithdrawn) -> Outcome:
    """Claw back a withdrawn activity's award, for good, also before it is recorded (N7)."""
    if not remove_fact(posting, _event(withdrawn), _rule_of(withdrawn.activity)):
        return Outcome("known", "this activity is withdrawn already")
    return Outcome("booked")


def _event(of: ActivityRecorded | ActivityWithdrawn) -> FactEvent:
    key, ref = activity_key(of.activity, of.activity_id), activity_ref(of.activity, of.activity_id)
    return FactEvent(ACTIVITIES, key, ref)


def _rule_of(activity: str) -> RuleOf:
    return lambda program: program.activities.get(activity)
