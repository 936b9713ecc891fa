"""What must hold in the end, however often the worker died."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from services.kit.calendar import NOT_YET, Micros
from services.ledger import store
from services.ledger.answers import Answer
from services.ledger.audit.account import AccountAudit
from services.ledger.audit.budgets import Budgets
from services.ledger.audit.snapshot import Projections
from services.ledger.audit.transfers import Transit
from services.ledger.domain.program.catalogue import Reward, compile_rewards
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.budgets import decode_budget
from services.ledger.domain.state.fact_keys import BUDGET, CODES, GRANT, REDEMPTION, stock_key
from services.ledger.domain.state.inputs import Command, decode_input
from services.ledger.domain.state.lots import lot_row
from services.ledger.domain.state.orders import decode_order
from services.ledger.domain.state.redemptions import Redemption, decode_redemption
from services.ledger.domain.state.rewards import Grant, decode_grant, decode_pool, decode_stock
from services.ledger.events.internal import INTERNAL
from services.ledger.reads.rows import EntryRow, JournalRow
from tests.simulation.tables import Database
from tests.simulation.world import World

_REFERRED: Final = "referral:"
Journalled = tuple[bytes, Micros, str, bytes]
"""(digest, at, type, input)."""


def broken(world: World, database: Database) -> Iterator[str]:
    """What does not hold of a world in memory, in words; nothing if all is well."""
    rows = [(row[1], row[2], row[6], row[8]) for row in database.journal.values()]
    yield from booked_once(world, rows)
    kept = {digest: Answer(row["status"], row["body"]) for (_, digest), row in database.answers.items()}
    yield from answered_once(world, kept)
    for shard, topics in world.records.items():
        for topic, records in topics.items():
            if database.offsets[shard, topic] != len(records):
                yield f"shard {shard} ends at {database.offsets[shard, topic]} of {len(records)} records of {topic}"
    yield from _accounts(database)
    yield from _published(database)
    numbers = database.identities.items()
    facts = {member: database.facts[shard, number] for (shard, member), number in numbers}
    rewards = compile_rewards(orjson.loads(database.programs[-1]["document"]))
    yield from between_accounts(facts, rewards)
    yield from _budgets(database)
    accounts = {member: _account(database, shard, member) for shard, member in database.identities}
    yield from _referrals(accounts, facts)


def booked_once(world: World, journal: Iterable[Journalled]) -> Iterator[str]:
    """Each event and each command is booked once, with the payload that came first."""
    booked: dict[tuple[bytes, Micros], bytes] = {}
    commands: Counter[bytes] = Counter()
    for digest, at, kind, raw in journal:
        if kind == "timer":
            continue
        if isinstance(decode_input(raw), Command):
            commands[digest] += 1
        else:
            booked[digest, at] = raw
    if booked != world.published:
        missing, strange = world.published.keys() - booked.keys(), booked.keys() - world.published.keys()
        yield f"{len(missing)} events are not booked, {len(strange)} were never published, or have another payload"
    if twice := [digest.hex() for digest, count in commands.items() if count > 1]:
        yield f"commands booked twice: {twice[:3]}"
    if commands.keys() != world.answers.keys():
        yield f"{len(world.answers)} commands answered, {len(commands)} booked"


def answered_once(world: World, kept: Mapping[bytes, Answer]) -> Iterator[str]:
    """Each client has the answer that was kept."""
    for digest, answer in world.answers.items():
        if kept.get(digest) != answer:
            yield f"{digest.hex()} was answered {answer}, kept is {kept.get(digest)}"


def between_accounts(facts: Mapping[str, Mapping[str, bytes]], rewards: Mapping[str, Reward]) -> Iterator[str]:
    """What must hold of several accounts together, once all messages between them are booked.

    `facts` are those of each account, by its member's id.
    """
    transit = Transit()
    grants: dict[str, tuple[str, Grant]] = {}
    bought: dict[str, Redemption] = {}
    for member, known in facts.items():
        transit.read(known)
        for key, raw in known.items():
            if key.startswith(GRANT):
                grants[key.removeprefix(GRANT)] = member, decode_grant(raw)
            elif key.startswith(REDEMPTION) and (redemption := decode_redemption(raw)).issues:
                bought[key.removeprefix(REDEMPTION)] = redemption
    yield from (f"transfer {name}: {points} points did not arrive" for name, points in transit.left.items())
    yield from _stocks(facts, rewards, [grant for _, grant in grants.values()])
    yield from _granted(bought, grants, rewards)


def _stocks(
    facts: Mapping[str, Mapping[str, bytes]], rewards: Mapping[str, Reward], grants: Sequence[Grant]
) -> Iterator[str]:
    """No more is out than there is, and as much as was granted."""
    out = Counter(grant.reward for grant in grants if grant.granted and not grant.given_back)
    for reward in rewards.values():
        if (account := reward.account) is None:
            continue
        known = facts.get(account, {})
        granted = decode_stock(known.get(stock_key(reward.name))).granted
        if granted != out[reward.name]:
            yield f"{granted} of {reward.name} are out, {out[reward.name]} were granted"
        if reward.stock is not None and granted > reward.stock:
            yield f"{granted} of {reward.name} are out, there are {reward.stock}"
        pool = decode_pool(known.get(CODES))
        if pool.taken > pool.added:
            yield f"{pool.taken} codes of {pool.added} are out"


def _granted(
    bought: Mapping[str, Redemption], grants: Mapping[str, tuple[str, Grant]], rewards: Mapping[str, Reward]
) -> Iterator[str]:
    """Who was granted a reward has it, with a code that nobody else has; who was not has the points."""
    for name, redemption in bought.items():
        if rewards[redemption.issues].account is None:
            continue
        _, grant = grants.get(name, ("", Grant("", False)))
        if (redemption.state == "sold_out") is grant.granted or redemption.state == "asked":
            yield f"redemption {name} is {redemption.state}, granted: {grant.granted}"
        is_back = redemption.state == "cancelled" or redemption.returned == redemption.points
        if grant.given_back != (grant.granted and is_back):
            yield f"redemption {name} has {redemption.returned} points back, its reward is back: {grant.given_back}"
    codes = Counter(redemption.code for redemption in bought.values() if redemption.code)
    yield from (f"code {code} was given out {times} times" for code, times in codes.items() if times > 1)


def _referrals(accounts: Mapping[str, Account], facts: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """Who referred has its award while the referred member has one, and nobody else has."""
    due = {
        (account.details.referrer, member)
        for member, account in accounts.items()
        if account.details.referral is not None
    }
    booked = {
        (referrer, key.removeprefix(_REFERRED))
        for referrer, known in facts.items()
        for key, raw in known.items()
        if key.startswith(_REFERRED) and msgspec.msgpack.decode(raw)[1] is not None  # (seen, award)
    }
    yield from (f"{referrer} has nothing for referring {member}" for referrer, member in due - booked)
    yield from (f"{referrer} has points for {member}, who has none" for referrer, member in booked - due)


def _accounts(database: Database) -> Iterator[str]:
    """Chains, sums, lots and dates of each account, and its projections beside what the fold makes of its inputs."""
    programs = _programs(database)
    journals: defaultdict[tuple[int, int], list[tuple[Any, ...]]] = defaultdict(list)
    for row in database.journal.values():
        journals[row[0], row[3]].append(row)
    for (shard, member), number in database.identities.items():
        key = shard, number
        audit = AccountAudit(programs, number, member)
        entries: defaultdict[int, list[EntryRow]] = defaultdict(list)
        for entry in database.entries[key]:
            entries[entry[2]].append(EntryRow(*entry[2:]))
        for _, digest, at, account, version, now, kind, outcome, input_, record, head, format_ in sorted(
            journals[key], key=lambda row: row[4]
        ):
            row = JournalRow(account, version, digest, at, now, kind, outcome, input_, record, head, format_)
            audit.check_journal(row, entries.pop(version, ()))
        for stray in entries.values():
            audit.check_unjournalled(stray)
        stored = Projections(
            lots=[
                lot_row(lot, columns, ends=database.ends[key][lot])
                for lot, columns in database.lots[key].items()
            ],
            orders={
                ref: (
                    order["paid_at"] or NOT_YET, order["due"] or NOT_YET,
                    order["success_from"] or NOT_YET, order["success_until"] or NOT_YET,
                    order["state"],
                )
                for ref, order in database.orders[key].items()
            },
            lines=database.lines[key],
            facts=database.facts[key],
        )  # fmt: skip
        audit.check_stored(_account(database, shard, member), database.accounts[key]["details"], stored)
        for fault in audit.faults:
            yield f"{member}: {fault.check}: {fault.detail}"
        if sum(audit.sums.values()):
            yield f"{member}: the books do not balance"


def _budgets(database: Database) -> Iterator[str]:
    """N6: what orders have of a budget is what it gave, and that is all of it, or all that they want."""
    programs, budgets = _programs(database), Budgets()
    wanted: Counter[str] = Counter()
    for (shard, member), number in database.identities.items():
        states = {ref: order["state"] for ref, order in database.orders[shard, number].items()}
        budgets.read(member, states, database.facts[shard, number], programs)
        for state in states.values():
            wanted.update({share.account: share.wanted for share in decode_order(state).shares})
    yield from budgets.faults()
    yield from (f"order {name}: {points} points did not arrive" for name, points in budgets.left.items())
    for (shard, member), number in database.identities.items():
        if member in wanted:
            granted = decode_budget(database.facts[shard, number].get(BUDGET)).granted
            most = programs.versions[-1].order.budget(member) or 0
            if granted != min(wanted[member], most):
                yield f"{member} gave {granted} of {most} points, where {wanted[member]} are wanted"


def _programs(database: Database) -> ProgramVersions:
    return ProgramVersions(compile_program(row["number"], orjson.loads(row["document"])) for row in database.programs)


def _account(database: Database, shard: int, member: str) -> Account:
    number = database.identities[shard, member]
    row = {"account": number, "member_id": member, **database.accounts[shard, number]}
    return store.account_of(row)  # type: ignore[arg-type]


def _published(database: Database) -> Iterator[str]:
    """Each version that moved points is published, once."""
    published: defaultdict[str, set[int]] = defaultdict(set)
    ids: set[str] = set()
    for _, topic, _, value, _ in database.outbox:
        if topic == INTERNAL:
            continue
        event = orjson.loads(value)
        if event["id"] in ids:
            yield f"{event['id']} is published twice"
        ids.add(event["id"])
        published[event["subject"]].add(event["data"]["member_version"])
    for (shard, member), number in database.identities.items():
        moved = {entry[2] for entry in database.entries[shard, number]}
        if silent := moved - published[member]:
            yield f"{member}: versions {sorted(silent)[:3]} moved points and say nothing"
