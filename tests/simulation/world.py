"""A shop's topic, its clients and one worker of the ledger, which dies and is started again until all is done.

The worker is the real executor and the real write path; the store is whoever's pool is given. As the consumer does, it
books records from the stored offsets on, those of the shop and what accounts tell each other; as HTTP clients do, a
command is asked again under its key until there is an answer.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final, Protocol

import msgspec

from schemas.events import RefusalReason
from services.kit.calendar import Micros, later
from services.kit.dead_letter import Refused
from services.kit.executor import DatabaseUnavailable, Executor, Fence, Fenced
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import CONFLICTS, Queries, is_unavailable
from services.ledger.answers import Answer, key_reused
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import AnyInput, DueTimer, RedeemReward, encode_input
from services.ledger.events.internal import INTERNAL
from services.ledger.executor import Ledger
from services.ledger.inputs import Booked, MemberCommand, MemberInput
from services.ledger.jobs.due import SOURCE
from services.ledger.reads.quotes import quote_for
from services.ledger.store import ANSWERS_KEPT, SQL
from tests.simulation.faults import Killed
from tests.simulation.post import Collect, Post
from tests.simulation.traffic import DAY, Step, draw_cart

OFFSETS: Final = Queries.load("services.kit", "sql/offsets.sql")
SHOP: Final = "commerce.orders.v1"
TOPICS: Final = (SHOP, INTERNAL)
_MAX_SWEEPS: Final = 100
_MOMENT_SECONDS: Final = 0.01
_AFTERWARDS: Final = 100 * DAY
"""By then all that anybody did has fallen due."""


class AnyPool(Protocol):
    """Connections of one worker."""

    def acquire(self) -> Any:
        """One of them, as asynchronous context."""
        ...

    def terminate(self) -> None:
        """Ends all of them at once."""
        ...


Open = Callable[[Callable[[], None]], Awaitable[AnyPool]]
"""Opens the store for a new worker; it calls what it is given when the worker dies."""


class Worker:
    """One process, from its start to its death."""

    def __init__(self) -> None:
        self.death = asyncio.Event()
        self.pool: AnyPool
        self.ledger: Ledger
        self.executor: Executor[MemberInput, Booked]

    async def start(self, open_store: Open, patience_seconds: float) -> None:
        """Connect; nothing is known of what the worker before did."""
        self.pool = await open_store(self.kill)
        self.ledger = Ledger()
        self.executor = Executor(
            self.pool,  # type: ignore[arg-type]
            self.ledger.book,
            optimistic=self.ledger.book_optimistically,
            timeout_seconds=patience_seconds,
        )

    def kill(self) -> None:
        """`kill -9`."""
        self.death.set()
        self.pool.terminate()


class World:
    """Plays steps against a store, and knows in the end what must have been booked."""

    def __init__(
        self,
        seed: str,
        steps: Sequence[Step],
        open_store: Open,
        collect: Collect,
        *,
        shards: int,
        patience_seconds: float,
    ) -> None:
        self.records: dict[Shard, dict[str, list[MemberInput]]] = {
            shard: {topic: [] for topic in TOPICS} for shard in map(Shard, range(shards))
        }
        """Each shard's records as appended, by topic."""
        self.published: dict[tuple[bytes, Micros], bytes] = {}
        """Each event by (digest, at), with the payload that came first."""
        self.answers: dict[bytes, Answer] = {}
        """What commands were answered, by digest."""
        self.deaths = 0
        self.counts: Counter[str] = Counter()
        self._clock: Micros = steps[0].now
        self._steps = steps
        self._random = random.Random(f"{seed}:world")
        self._open_store = open_store
        self._collect = collect
        self._post = Post(self._random)
        self._shards = shards
        self._patience_seconds = patience_seconds
        self._asked: deque[Step] = deque(maxlen=200)
        self._answered_at: dict[bytes, Micros] = {}
        self._wanted: dict[int, Step] = {}
        """What waits for an answer, by ticket."""
        self._tickets = count()
        self._worker: Worker | None = None

    async def play(self) -> None:
        """All of it, and then what falls due in the time after."""
        asyncio.get_running_loop().set_exception_handler(_ignore_deaths)
        for steps in self._rounds():
            for step in steps:
                self._arrive(step)
            await self._deliver(self._random.random())
            await self._until_done(sweep=self._random.random() < 0.3)
        self._clock = later(self._clock, _AFTERWARDS)
        await self._until_done(sweep=True)
        while await self._deliver(1.0):
            await self._until_done(sweep=True)
        if self._worker is not None:
            self._worker.pool.terminate()

    def _rounds(self) -> Iterator[Sequence[Step]]:
        """What comes in together: often a step or two, now and then days of it."""
        at = 0
        while at < len(self._steps):
            size = self._random.choice((1, 3, 30, 120, 400))
            steps = self._steps[at : at + size]
            at += size
            self._clock = max(self._clock, steps[-1].now)
            yield steps

    def _arrive(self, step: Step) -> None:
        if step.is_command:
            self._asked.append(step)
            self._want(step)
            if self._random.random() < 0.05:
                self._want(step)
            if self._random.random() < 0.03:
                self._want(self._random.choice(self._asked))
            return
        # A broker's clock may step back, too.
        appended = later(step.now, -self._random.choice((0, 0, 0, 3_000_000)))
        self._append(SHOP, step.member_id, step.input_, appended)

    async def _deliver(self, share: float) -> int:
        """Deliver a share of the messages between accounts; how many those were."""
        self._post.collect(await self._collect())
        messages = list(self._post.deliver(share))
        for message in messages:
            self._append(INTERNAL, message.to, message.input_, self._clock)
        self.counts["messages"] += len(messages)
        return len(messages)

    def _append(self, topic: str, member_id: str, input_: AnyInput, appended: Micros) -> None:
        digest = digest_of(member_id, input_.source, input_.id)
        self.published.setdefault((digest, input_.at), encode_input(input_))
        shard = shard_of(member_id, self._shards)
        self.records[shard][topic].append(MemberInput(member_id, Arrival(digest, input_, appended)))

    def _want(self, step: Step) -> None:
        self._wanted[next(self._tickets)] = step

    # Workers

    async def _until_done(self, *, sweep: bool) -> None:
        """Let workers work until everything that came in is booked and answered."""
        while True:
            if self._worker is None:
                self._worker = Worker()
                try:
                    await self._worker.start(self._open_store, self._patience_seconds)
                except Exception as error:
                    if not is_unavailable(error):
                        raise
                    self._worker = None
                    continue
            work = asyncio.create_task(self._work(self._worker, sweep=sweep))
            death = asyncio.create_task(self._worker.death.wait())
            await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
            if not self._worker.death.is_set():
                death.cancel()
                work.result()
                return
            self.deaths += 1
            self._worker = None
            await _end_everything()

    async def _work(self, worker: Worker, *, sweep: bool) -> None:
        lanes = [shard for shard, topics in self.records.items() if any(topics.values())]
        # Now and then two owners believe that a shard is theirs: the fence lets one pass.
        lanes += [shard for shard in lanes if self._random.random() < 0.05]
        await asyncio.gather(
            *(self._lane(worker, shard) for shard in lanes),
            *(self._client(worker, ticket, step) for ticket, step in self._wanted.items()),
            *(self._look(worker, step.member_id) for step in self._asked if self._random.random() < 0.02),
        )
        if sweep:
            await asyncio.gather(*(self._sweep(worker, shard) for shard in self.records))

    async def _lane(self, worker: Worker, shard: Shard) -> None:
        """Book a shard's records from the stored offsets on, batch by batch."""
        records = self.records[shard]
        ends = {topic: len(appended) for topic, appended in records.items()}
        at: dict[str, int] | None = None
        while at != ends:
            try:
                if at is None:
                    async with worker.pool.acquire() as connection:
                        rows = await connection.fetch(OFFSETS.stored, shard, list(TOPICS))
                    at = {row["topic"]: row["next_offset"] for row in rows}
                    continue
                batch, to = self._batch(records, at)
                moved = [topic for topic in TOPICS if to[topic] != at[topic]]
                fence = Fence(moved, [at[topic] for topic in moved], [to[topic] for topic in moved])
                outcomes = await worker.executor.run(shard, batch, fence=fence)
            except Fenced:
                at = None
                self.counts["fenced"] += 1
            except Exception as error:
                at = None
                await _sit_out(worker, error)
                self.counts["batches tried again"] += 1
            else:
                at = to
                for outcome in outcomes:
                    assert not isinstance(outcome, Refused) or outcome.reason is RefusalReason.CONFLICT, outcome
                self.counts["batches"] += 1

    def _batch(
        self, records: dict[str, list[MemberInput]], at: dict[str, int]
    ) -> tuple[list[MemberInput], dict[str, int]]:
        """The next records, the topics merged somehow, each in its order; and where that leads. At least one."""
        batch, to = [], dict(at)
        for _ in range(self._random.choice((1, 2, 10, 60, 200))):
            if not (waiting := [topic for topic in TOPICS if to[topic] < len(records[topic])]):
                break
            topic = self._random.choice(waiting)
            batch.append(records[topic][to[topic]])
            to[topic] += 1
        return batch, to

    async def _client(self, worker: Worker, ticket: int, step: Step) -> None:
        """Ask until there is an answer; the same question has the same answer, as long as answers are kept."""
        if self._clock - self._answered_at.get(step.digest, self._clock) > ANSWERS_KEPT - DAY:
            del self._wanted[ticket]
            return
        first, request = step.digest not in self.answers, encode_input(step.input_)[:16]
        if not first and self._random.random() < 0.3:
            request = b"another"
        while True:
            now, input_ = self._clock, msgspec.structs.replace(step.input_, at=self._clock)
            if isinstance(input_, RedeemReward):
                # Taken where the request comes in, so another each time; the first that was booked decides.
                input_ = msgspec.structs.replace(input_, nonce=f"{self._random.getrandbits(64):016x}")
            arrival = Arrival(step.digest, input_, now)
            try:
                answer = await worker.executor.submit(
                    shard_of(step.member_id, self._shards), MemberCommand(step.member_id, arrival, request)
                )
            except Exception as error:
                await _sit_out(worker, error)
                self.counts["commands asked again"] += 1
                continue
            assert isinstance(answer, Answer), answer
            if request == b"another":
                assert answer == key_reused()
            else:
                self._answered_at.setdefault(step.digest, self._clock)
                known = self.answers.setdefault(step.digest, answer)
                assert known == answer, (step, known, answer)
            del self._wanted[ticket]
            self.counts["commands"] += first
            return

    async def _look(self, worker: Worker, member_id: str) -> None:
        """Price a cart, which writes nothing."""
        try:
            async with worker.pool.acquire() as connection, connection.transaction():
                programs = await worker.ledger.programs.read(connection)
                shard, cart = shard_of(member_id, self._shards), draw_cart(self._random)
                quote = await quote_for(connection, programs, shard, member_id, cart, self._clock)
        except Exception as error:
            await _sit_out(worker, error)
            return
        assert quote is None or all(award.points >= 0 for award in quote.awards), quote
        self.counts["quotes"] += 1

    async def _sweep(self, worker: Worker, shard: Shard) -> None:
        """Book what is due of members whom nobody touches, until nothing is."""
        for _ in range(_MAX_SWEEPS):
            try:
                async with worker.pool.acquire() as connection:
                    rows = await connection.fetch(SQL["due_members"], shard, self._clock, 50)
                if not rows:
                    return
                await asyncio.gather(
                    *(worker.executor.submit(shard, self._timer(row), background=True) for row in rows)
                )
            except Exception as error:
                await _sit_out(worker, error)
        raise AssertionError(f"shard {shard}: something is due however often it is booked")

    def _timer(self, row: Any) -> MemberInput:
        name = f"due:{row['next_due']}:{row['version']}"
        input_ = DueTimer(SOURCE, name, row["next_due"])
        return MemberInput(row["member_id"], Arrival(digest_of(row["member_id"], SOURCE, name), input_, self._clock))


async def _sit_out(worker: Worker, error: Exception) -> None:
    """Wait a moment, if it is the store's condition and no fault, and the worker lives."""
    if worker.death.is_set():
        raise Killed
    if not (isinstance(error, (DatabaseUnavailable, *CONFLICTS)) or is_unavailable(error)):
        raise error
    await asyncio.sleep(_MOMENT_SECONDS)


async def _end_everything() -> None:
    """What else runs in this loop belongs to a worker that died."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _ignore_deaths(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Nobody asks what became of a dead worker's tasks."""
    if not isinstance(context.get("exception"), Killed):
        loop.default_exception_handler(context)
