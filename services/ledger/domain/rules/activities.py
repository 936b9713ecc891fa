"""Activities: favourites, games and the like, each once for its id (O2)."""

from __future__ import annotations

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.facts import record_fact
from services.ledger.domain.state.account import ACTIVITIES
from services.ledger.domain.state.inputs import ActivityRecorded
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Outcome


def record_activity(member: Member, programs: ProgramVersions, moves: Posting, input_: ActivityRecorded) -> Outcome:
    """A favourite, a game, …: once for each activity_id."""
    own = programs.at(input_.at)
    at = member.account.count_from(ACTIVITIES, input_.at, own.max_lateness)
    rule = programs.at(at).activities.get(input_.activity)
    return record_fact(
        member, programs, moves, f"{input_.activity}:{input_.activity_id}", input_, at, rule, input_.units
    )
