"""Batches of inputs against a real PostgreSQL: one message an occasion, the same rows however batches are cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest

from schemas.events import parse_event
from schemas.program.loading import load
from services.kit.calendar import MICROS_PER_SECOND, NOT_YET, Micros, from_micros, later, parse_rfc3339
from services.kit.executor import Executor
from services.kit.kafka import Shard, shard_of
from services.kit.migrate import migrate
from services.kit.postgres import Pool, new_pool
from services.kit.program import ProgramFollower, ProgramOutdated, Version
from services.notifier import store
from services.notifier.audit.verify import examine
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    InboxRead,
    Input,
    OccasionReceived,
    PreferencesPut,
    ProfileUpdated,
    TierHistoryReceived,
)
from services.notifier.domain.occasions import PointsFact, TierFact, points_occasion, tier_occasion
from services.notifier.domain.policy import Policy
from services.notifier.executor import Booked, Marked, Notifier, Outcome, Preferences
from services.notifier.program import policy_of
from services.notifier.settings import NotifierSettings
from services.notifier.texts.rendering import Texts
from tests.conftest import REPOSITORY, MakeDatabase, as_role

SHARDS = 4
DAY = 86_400 * MICROS_PER_SECOND
AT = parse_rfc3339("2026-03-01T10:00:00+08:00")
BEFORE, AFTER = later(AT, -DAY), later(AT, MICROS_PER_SECOND)
SHARD = Shard(1)
POLICY = policy_of(load((REPOSITORY / "deploy" / "program.yaml").read_text("utf-8")).document())
TEXTS = Texts.load()
PHONE, MAIL, NAME = "+8613800138000", "li.lei@shop.example", "李雷雷"


def members_of(shard: Shard, count: int) -> list[str]:
    """So many members of one shard."""
    ids = (f"m-{number}" for number in range(10_000))
    return [member_id for member_id in ids if shard_of(member_id, SHARDS) == shard][:count]


VERSIONS = count(1)
M, *OTHERS = members_of(SHARD, 40)


def notifier_settings(dsn: str) -> NotifierSettings:
    fields: dict[str, Any] = {
        "database_url": as_role(dsn, "notifier"),
        "migration_database_url": dsn,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "shards": SHARDS,
        "shop_name": "示例商店",
    }
    return NotifierSettings(**fields)


def notifier(settings: NotifierSettings, policy: Policy = POLICY) -> Notifier:
    programs = ProgramFollower(settings, parse=policy_of)
    programs.add(Version(policy.version, "sha256:" + "0" * 64, NOT_YET, NOT_YET, policy))
    return Notifier(settings, programs, TEXTS)


class Desk:
    """A notifier on a database of its own."""

    def __init__(self, pool: Pool, settings: NotifierSettings) -> None:
        self.pool = pool
        self._notifier = notifier(settings)
        self.executor: Executor[Input, Outcome] = Executor(pool, self._notifier.book)

    async def book(self, *inputs: Input, shard: Shard = SHARD) -> list[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            return list(await self._notifier.book(connection, shard, inputs))

    async def requests(self) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("SELECT value FROM outbox ORDER BY shard, id")
        return [orjson.loads(row["value"]) for row in rows]

    async def decisions(self, member_id: str = M) -> dict[tuple[str, str], str | None]:
        rows = await self.pool.fetch(
            "SELECT touchpoint, channel, reason FROM message WHERE member_id = $1 ORDER BY message_no", member_id
        )
        return {(row["touchpoint"], row["channel"]): row["reason"] for row in rows}


@pytest.fixture(scope="module")
async def template(make_database: MakeDatabase) -> str:
    """Name of a database with the notifier's tables."""
    dsn = make_database()
    await migrate(notifier_settings(dsn), "services.notifier")
    return urlsplit(dsn).path.removeprefix("/")


@asynccontextmanager
async def desk_on(dsn: str) -> AsyncIterator[Desk]:
    settings = notifier_settings(dsn)
    async with new_pool(settings, prepare=store.prepare) as pool:
        yield Desk(pool, settings)


@pytest.fixture
async def desk(make_database: MakeDatabase, template: str) -> AsyncIterator[Desk]:
    async with desk_on(make_database(template)) as made:
        yield made


def profile(member_id: str = M, at: Micros = BEFORE, **fields: str | None) -> ProfileUpdated:
    return ProfileUpdated(member_id, at, {"name": NAME, "phone": "138 0013 8000", "email": MAIL, **fields})


def consent(
    channel: str, message_class: str, *, granted: bool, at: Micros = BEFORE, member_id: str = M
) -> ConsentChanged:
    return ConsentChanged(member_id, at, channel, message_class, granted, "/shop", "form 3")  # type: ignore[arg-type]


def ledger_fact(
    member_id: str = M,
    *,
    arrived_at: Micros = AFTER,
    version: int | None = None,
    number: int = 0,
    **changed: Any,
) -> OccasionReceived:
    fields: dict[str, Any] = {
        "kind": "confirmed",
        "at": AT,
        "points": 630,
        "available": 700,
        "debt": 0,
        "debt_made": 0,
        "rule": "purchase",
        "order_id": "17",
        "shop": "",
        "expires_on": "2027-03-31",
        **changed,
    }
    occasion = points_occasion(PointsFact(**fields))
    assert occasion is not None
    return OccasionReceived(member_id, arrived_at, next(VERSIONS) if version is None else version, number, occasion)


def upgraded(tier: str, version: int, member_id: str = M, at: Micros = AT) -> TierHistoryReceived:
    fact = TierFact("upgraded", at, tier, "regular")
    return TierHistoryReceived(member_id, later(at, MICROS_PER_SECOND), tier, version, tier_occasion(fact))


async def rows(pool: Pool) -> dict[str, list[tuple[object, ...]]]:
    """All that was written, but for numbers of rows and times of writing."""
    statements = {
        "member": "SELECT shard, member_id, profile::text, phone, email, told_at, erased_at, tier, tier_version"
        " FROM member ORDER BY 1, 2",
        "consent": "SELECT * FROM consent ORDER BY 1, 2, 3, 4",
        "device": "SELECT * FROM device ORDER BY 1, 2, 3",
        "message": "SELECT shard, key, member_id, touchpoint, occasion, channel, class, reason, parameters::text,"
        " program_version, at, decided_at, read_at FROM message ORDER BY member_id, message_no, key",
        "attempt": "SELECT * FROM attempt ORDER BY 1, 2, 3",
        "outbox": "SELECT shard, topic, key, value FROM outbox ORDER BY key, id",
        "preference_change": "SELECT member_id, at, actor, preference, value, evidence FROM preference_change"
        " ORDER BY member_id, change_no",
    }
    return {table: [tuple(row) for row in await pool.fetch(statement)] for table, statement in statements.items()}


async def test_an_order_confirmed_reaches_the_app_and_the_telephone(desk: Desk) -> None:
    await desk.book(profile(), ledger_fact())
    assert await desk.decisions() == {("points-confirmed", "inapp"): None, ("points-confirmed", "sms"): None}
    (request,) = await desk.requests()
    parse_event(orjson.dumps(request))
    assert request["type"] == "notify.sms.requested.v1"
    assert request["data"]["to"] == PHONE
    assert request["data"]["signature"] == "示例商店"
    assert "订单17的630积分已可使用" in request["data"]["text"]
    assert NAME not in request["data"]["text"]
    assert await desk.pool.fetchval("SELECT count(*) FROM attempt") == 1


async def test_mail_says_the_name_and_has_text_and_html(desk: Desk) -> None:
    await desk.book(profile(locale="en-GB"), upgraded("vip", 1))
    sms, mail = await desk.requests()
    parse_event(orjson.dumps(mail))
    assert (sms["type"], mail["type"]) == ("notify.sms.requested.v1", "notify.email.requested.v1")
    assert mail["data"]["subject"] == "You have reached VIP"
    assert f"Hello {NAME}," in mail["data"]["text"]
    assert f'<p style="margin:0 0 16px">Hello {NAME},</p>' in mail["data"]["html"]
    assert mail["data"]["locale"] == "en"


async def test_S1_a_fact_replayed_makes_no_second_message(desk: Desk) -> None:
    assert await desk.book(profile(), ledger_fact()) == [Booked(), Booked(2)]
    before = await rows(desk.pool)
    assert await desk.book(ledger_fact(), ledger_fact(arrived_at=later(AT, DAY))) == [Booked(), Booked()]
    assert await rows(desk.pool) == before


async def test_S1_a_fact_that_comes_twice_in_one_batch_makes_one_message(desk: Desk) -> None:
    assert await desk.book(profile(), ledger_fact(), ledger_fact(points=1)) == [Booked(), Booked(2), Booked()]
    assert "630" in (await desk.requests())[0]["data"]["text"]


async def test_a_days_points_and_its_streaks_are_one_message(desk: Desk) -> None:
    day: dict[str, Any] = {"kind": "earned", "rule": "sign-in", "order_id": None}
    facts = ledger_fact(**day, version=1, points=5), ledger_fact(**day, version=1, points=30, number=1)
    await desk.book(*facts, *facts)
    parameters = await desk.pool.fetchval("SELECT parameters FROM message")
    assert orjson.loads(parameters)["points"] == 35


async def test_S2_S6_a_withdrawn_consent_is_respected_also_within_its_batch(desk: Desk) -> None:
    await desk.book(profile(), ledger_fact(), consent("sms", "notice", granted=False))
    assert await desk.decisions() == {
        ("points-confirmed", "inapp"): None,
        ("points-confirmed", "sms"): "no_consent",
    }
    assert await desk.requests() == []


async def test_S6_a_withdrawal_takes_back_what_has_not_left_of_its_class_alone(desk: Desk) -> None:
    debt = ledger_fact(kind="clawed_back", debt=30, debt_made=30)
    await desk.book(profile(), ledger_fact(), debt)
    classes = [request["data"]["class"] for request in await desk.requests()]
    assert classes == ["notice", "service", "service"]
    await desk.book(consent("sms", "notice", granted=False, at=AT))
    assert [request["data"]["class"] for request in await desk.requests()] == ["service", "service"]


async def test_S4_a_clawback_into_debt_reaches_the_inbox_however_old_it_is(desk: Desk) -> None:
    late = ledger_fact(kind="clawed_back", debt=30, debt_made=30, arrived_at=later(AT, 300 * DAY))
    await desk.book(profile(), consent("inapp", "service", granted=False), late)
    assert await desk.decisions() == {
        ("clawback-debt", "inapp"): None,
        ("clawback-debt", "sms"): "not_after",
        ("clawback-debt", "email"): "not_after",
    }


async def test_mend_a09_points_used_that_were_not_there_reach_the_inbox(desk: Desk) -> None:
    used = ledger_fact(kind="redeemed", points=500, debt=480, debt_made=480)
    await desk.book(profile(), consent("inapp", "service", granted=False), used)
    assert await desk.decisions() == {
        ("clawback-debt", "inapp"): None,
        ("clawback-debt", "sms"): None,
        ("clawback-debt", "email"): None,
    }


async def test_S5_every_request_has_its_attempt_in_the_same_transaction(desk: Desk) -> None:
    async with desk.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await desk._notifier.book(connection, SHARD, [profile(), ledger_fact()])
        await transaction.rollback()
    assert await desk.requests() == []
    assert await desk.pool.fetchval("SELECT count(*) FROM attempt") == 0
    await desk.book(profile(), ledger_fact())
    assert await desk.pool.fetchval("SELECT count(*) FROM attempt") == len(await desk.requests()) == 1


async def test_old_facts_of_a_replay_are_decided_and_not_sent(desk: Desk) -> None:
    await desk.book(profile(), ledger_fact(arrived_at=later(AT, 200 * DAY)))
    assert set((await desk.decisions()).values()) == {"not_after"}
    assert await desk.requests() == []


async def test_the_language_and_address_of_the_moment_are_used(desk: Desk) -> None:
    await desk.book(profile(locale="zh-HK", country="HK", phone="9123 4567"), ledger_fact())
    (request,) = await desk.requests()
    assert request["data"]["to"] == "+85291234567"
    assert request["data"]["locale"] == "zh-TW"


async def test_a_message_names_the_next_tier_from_where_the_member_stands(desk: Desk) -> None:
    await desk.book(profile(), upgraded("senior", 1), ledger_fact())
    parameters = await desk.pool.fetchval("SELECT parameters FROM message WHERE touchpoint = 'points-confirmed'")
    assert orjson.loads(parameters)["tier"] == "senior"


async def test_T2_of_tiers_out_of_order_the_newest_stays(desk: Desk) -> None:
    await desk.book(upgraded("vip", 5))
    await desk.book(upgraded("senior", 3))
    assert await desk.pool.fetchval("SELECT tier FROM member WHERE member_id = $1", M) == "vip"


async def test_erasure_leaves_no_personal_data_anywhere(desk: Desk) -> None:
    await desk.book(
        profile(address="长安街 1 号", birthday="1990-01-02"),
        consent("email", "promo", granted=True),
        DeviceRegistered(M, AT, "d1", "ios", "secret-token"),
        PreferencesPut(M, AT, "agent-007", (("sms", "notice", True),), "zh-TW"),
        ledger_fact(),
        upgraded("vip", 1),
    )
    assert len(await desk.requests()) == 3
    await desk.book(Erased(M, later(AT, DAY)))
    assert await desk.requests() == []
    found = await personal_data(
        desk.pool, NAME, "13800138000", MAIL, "长安街", "1990-01-02", "secret-token", "agent-007"
    )
    assert found == []
    await desk.book(ledger_fact(order_id="18"), profile(at=AT))
    assert await desk.pool.fetchval("SELECT DISTINCT reason FROM message WHERE occasion = 'order:/18'") == "erased"
    assert await personal_data(desk.pool, NAME, "13800138000", MAIL) == []
    assert (await report(desk))["examples"] == []


async def personal_data(pool: Pool, *words: str) -> list[str]:
    """The tables of the schema in which any of the words stand, in any column, as text or as bytes."""
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'notifier'")
    found = []
    for (table,) in tables:
        for row in await pool.fetch(f"SELECT * FROM {table}"):
            text = " ".join(value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in row)
            found += [f"{table}: {word}" for word in words if word in text]
    return found


async def report(desk: Desk) -> dict[str, Any]:
    async with desk.pool.acquire() as connection:
        return await examine(connection, SHARDS)


@pytest.mark.parametrize("cut", [1, 7, 1000])
async def test_O7_any_cut_into_batches_writes_the_same(
    desk: Desk, make_database: MakeDatabase, template: str, cut: int
) -> None:
    chance = random.Random(7)
    inputs: list[Input] = []
    for number in range(120):
        member_id = chance.choice(OTHERS[:6])
        choices: list[Input] = [
            ledger_fact(member_id, order_id=str(number % 20)),
            ledger_fact(member_id, order_id=str(number), kind="earned", rule="first-purchase"),
            upgraded(chance.choice(["senior", "vip"]), number, member_id),
            ledger_fact(member_id, kind="clawed_back", debt=5, debt_made=5, at=AT + number),
        ]
        inputs.append(chance.choice(choices))
    people: list[Input] = [profile(member_id) for member_id in OTHERS[:6]]
    await desk.book(*people)
    for start in range(0, len(inputs), cut):
        await desk.book(*inputs[start : start + cut])
    async with desk_on(make_database(template)) as other:
        await other.book(*people)
        for each in inputs:
            await other.book(each)
        written, expected = await rows(desk.pool), await rows(other.pool)
    # The tier in a text is the one the member has when the batch is decided, so `parameters` may differ.
    for table in ("member", "consent", "attempt"):
        assert written[table] == expected[table]
    assert [row[:8] for row in sorted(written["message"])] == [row[:8] for row in sorted(expected["message"])]
    assert (await report(desk))["examples"] == []


async def test_members_on_another_shards_partition_are_booked_where_they_belong(desk: Desk) -> None:
    stray = members_of(Shard(3), 1)[0]
    await desk.book(profile(stray), ledger_fact(stray), ledger_fact(M), shard=SHARD)
    placed = await desk.pool.fetch("SELECT DISTINCT member_id, shard FROM message")
    assert {(row["member_id"], row["shard"]) for row in placed} == {(stray, 3), (M, SHARD)}
    await desk.book(ledger_fact(stray), shard=Shard(3))
    assert (await report(desk))["examples"] == []


async def test_batches_that_write_each_others_shards_do_not_wait_in_a_circle(desk: Desk) -> None:
    first, second = members_of(Shard(0), 10), members_of(Shard(3), 10)

    async def many(shard: Shard, names: Sequence[str]) -> None:
        for number in range(10):
            await desk.book(*[ledger_fact(name, order_id=str(number)) for name in names], shard=shard)

    async with asyncio.timeout(30):
        await asyncio.gather(
            many(Shard(0), first + second),
            many(Shard(3), second + first),
            many(Shard(0), second),
            many(Shard(3), first),
        )
    assert await desk.pool.fetchval("SELECT count(*) FROM message") == 20 * 10 * 2


async def test_preferences_are_journalled_with_their_actor_and_answered_again(desk: Desk) -> None:
    put = PreferencesPut(M, AT, "member:m", (("sms", "promo", True), ("email", "notice", False)), "en")
    outcome = await desk.executor.submit(SHARD, put)
    assert isinstance(outcome, Preferences)
    assert outcome.member.allows("sms", "promo")
    assert not outcome.member.allows("email", "notice")
    assert await desk.executor.submit(SHARD, put) == outcome
    changes = await desk.pool.fetch("SELECT actor, preference, value FROM preference_change ORDER BY change_no")
    assert [tuple(row) for row in changes] == [
        ("member:m", "sms/promo", "granted"),
        ("member:m", "email/notice", "withdrawn"),
        ("member:m", "locale", "en"),
    ]


async def test_messages_are_read_one_by_one_or_through_one(desk: Desk) -> None:
    await desk.book(*[ledger_fact(order_id=str(number)) for number in range(5)])
    keys = [
        row["key"]
        for row in await desk.pool.fetch("SELECT key FROM message WHERE channel = 'inapp' ORDER BY message_no")
    ]
    assert await store.unread(desk.pool, SHARD, M) == 5
    assert await desk.book(InboxRead(M, AT, (keys[4], keys[4]), None)) == [Marked(1, 4)]
    assert await desk.book(InboxRead(M, AT, (), keys[2])) == [Marked(3, 1)]
    assert await desk.book(InboxRead(M, AT, (), keys[2])) == [Marked(0, 1)]
    other = OTHERS[0]
    assert await desk.book(InboxRead(other, AT, tuple(keys), keys[4])) == [Marked(0, 0)]
    assert await store.unread(desk.pool, SHARD, M) == 1


async def test_the_runtime_role_cannot_rewrite_what_was_decided(desk: Desk) -> None:
    await desk.book(profile(), ledger_fact())
    for statement in (
        "UPDATE message SET reason = NULL",
        "DELETE FROM message",
        "TRUNCATE message",
        "UPDATE attempt SET attempt = 2",
        "DELETE FROM attempt",
        "UPDATE preference_change SET actor = 'other'",
        "CREATE TABLE mine (x int)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.pool.execute(statement)


async def test_verify_sees_what_is_broken(desk: Desk, postgres: str) -> None:
    await desk.book(profile(), ledger_fact())
    assert (await report(desk))["examples"] == []
    name = await desk.pool.fetchval("SELECT current_database()")
    owner = await asyncpg.connect(
        postgres.replace("/postgres?", f"/{name}?"), server_settings={"search_path": "notifier"}
    )
    await owner.execute("DELETE FROM attempt")
    await owner.execute("UPDATE message SET occasion = 'order:/18' WHERE channel = 'inapp'")
    await owner.close()
    broken = (await report(desk))["examples"]
    assert len(broken) == 2
    assert any(line.startswith("unaccounted") for line in broken)
    assert any(line.startswith("wrong key or shard") for line in broken)


async def test_a_batch_of_a_thousand_facts_is_a_handful_of_statements(desk: Desk) -> None:
    names = members_of(SHARD, 300)
    await desk.book(*[profile(name) for name in names])
    facts = [
        ledger_fact(names[number % 300], order_id=str(number), arrived_at=later(AT, 90 * DAY)) for number in range(1000)
    ]
    statements: list[str] = []
    async with desk.pool.acquire() as connection:
        connection.add_query_logger(lambda query: statements.append(query.query))
        async with connection.transaction():
            await desk._notifier.book(connection, SHARD, facts)
    assert await desk.pool.fetchval("SELECT count(*) FROM message") == 2000
    # A connection learns the types it meets once (typeinfo).
    assert len([statement for statement in statements if "typeinfo" not in statement]) <= 8, statements


@pytest.mark.parametrize("name", ["known_keys", "inbox", "unread", "decisions", "read_some", "read_through"])
async def test_hot_statements_find_their_rows_by_index(desk: Desk, name: str) -> None:
    """Also on tables that were small when the plan was made, as a service's first minute does."""
    arguments: dict[str, list[object]] = {
        "known_keys": [SHARD, [b"k"]],
        "inbox": [SHARD, M, 10, 10],
        "unread": [SHARD, M],
        "decisions": [SHARD, M, 10, 10],
        "read_some": [SHARD, M, [b"k"], from_micros(AT)],
        "read_through": [SHARD, M, b"k", from_micros(AT)],
    }
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        plan = await connection.fetch(f"EXPLAIN {store.MESSAGE[name]}", *arguments[name])
    steps = "\n".join(row[0] for row in plan)
    assert "Seq Scan" not in steps, steps
    assert "Index" in steps, steps


async def test_mend_c09_no_message_is_decided_by_a_program_that_may_be_outdated(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consent needs no program: it is booked also then."""

    def outdated(_: ProgramFollower[Policy]) -> None:
        raise ProgramOutdated("the end of the topic was not seen for 301 s")

    monkeypatch.setattr(ProgramFollower, "check_newest", outdated)
    assert await desk.book(profile(), consent("sms", "notice", granted=False)) == [Booked(), Booked()]
    with pytest.raises(ProgramOutdated):
        await desk.book(ledger_fact())
    monkeypatch.undo()
    await desk.book(ledger_fact())
    assert await desk.decisions() == {("points-confirmed", "inapp"): None, ("points-confirmed", "sms"): "no_consent"}
