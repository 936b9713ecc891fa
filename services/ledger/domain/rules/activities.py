"""Activities: favourites, games and the like, each once for its id (O2)."""

from __future__ import annotations

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.facts import FactEvent, record_fact
from services.ledger.domain.state.account import ACTIVITIES
from services.ledger.domain.state.fact_keys import activity_key
from services.ledger.domain.state.inputs import ActivityRecorded
from services.ledger.domain.state.outcome import Outcome
from services.ledger.domain.state.refs import activity_ref


def record_activity(posting: Posting, recorded: ActivityRecorded) -> Outcome:
    """Award a favourite, a game, …: once for each activity id, by the units it counts."""
    activity = recorded.activity
    event = FactEvent(
        ACTIVITIES,
        activity_key(activity, recorded.activity_id),
        activity_ref(activity, recorded.activity_id),
        recorded.units,
    )
    return record_fact(posting, recorded, event, lambda program: program.activities.get(activity))
