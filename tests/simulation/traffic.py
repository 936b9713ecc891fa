"""What many members do in a year or so, drawn from a seed: late, repeated and disordered events, and commands.

The figures are small enough that points run short, lots expire and holds time out all the time.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

from services.kit.calendar import MICROS_PER_SECOND, Day, Micros, later, parse_rfc3339
from services.ledger.domain.chain import digest_of
from services.ledger.domain.program.catalogue import pool_account
from services.ledger.domain.quote import Cart
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    AddCodes,
    AnyInput,
    Cancelled,
    CaptureHold,
    Command,
    Completed,
    DecideShortfall,
    Enrolled,
    HoldPoints,
    Line,
    LinePart,
    Paid,
    ProfileUpdated,
    RedeemPoints,
    RedeemReward,
    Refunded,
    RefundedLine,
    RefundFailed,
    Reinstated,
    ReleaseHold,
    RepairStreak,
    ReturnRedemption,
    ReviewPublished,
    ReviewRemoved,
    SendPoints,
    Shipped,
    SignedIn,
    TierHistoryReceived,
)
from services.ledger.domain.state.refs import order_ref
from tests.simulation.programs import CHANNEL, POOL, REWARDS

START: Final = parse_rfc3339("2026-03-01T00:00:00+08:00")
_FIRST_DAY: Final = 739_676
"""The ordinal of 1 March 2026."""
SECOND: Final = MICROS_PER_SECOND
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_SHOP: Final = "/shop/backend"
_APP: Final = "app"
_DAYS_BETWEEN: Final = 2.0
_AMOUNTS: Final = (1, 999, 5_000, 19_999, 20_000, 35_050, 80_000, 80_001, 120_000)
_POINTS: Final = (1, 20, 50, 101, 300)
_TTL_SECONDS: Final = (60, 900, 86_400, 20 * 86_400)
_REFERRED: Final = 0.3
_CODES: Final = 12
"""Of one delivery: fewer than are asked for."""
_TIERS: Final = ("regular", "senior", "vip", "supreme")


@dataclass(frozen=True, slots=True)
class Step:
    """An input of a member that comes in at `now`: from a record, or as a command."""

    now: Micros
    member_id: str
    input_: AnyInput

    @property
    def digest(self) -> bytes:
        """Its name."""
        return digest_of(self.member_id, self.input_.source, self.input_.id)

    @property
    def is_command(self) -> bool:
        """Whether somebody waits for the answer; its time is then that at which it is asked."""
        return isinstance(self.input_, Command)


def traffic(seed: str, *, members: int, steps: int) -> list[Step]:
    """At least so many steps of so many members, in the order in which they come in."""
    names = [f"m-{number:04}" for number in range(members)]
    drawn = list(_codes(random.Random(f"{seed}:codes")))
    for number, name in enumerate(names):
        life = _Life(random.Random(f"{seed}:{number}"), name, [other for other in names if other != name])
        drawn += islice(life.steps(), -(-steps // members))
    return sorted(drawn, key=lambda step: step.now)


def _codes(rng: random.Random) -> Iterator[Step]:
    """The shop fills the pool now and then, with some codes that it has already given."""
    for delivery in range(8):
        at = later(START, rng.randrange(200 * DAY))
        codes = tuple(f"code-{delivery * _CODES + number}" for number in range(-2 if delivery else 0, _CODES))
        yield Step(at, pool_account(POOL), AddCodes(_APP, f"codes-{delivery}", at, codes))


def draw_cart(rng: random.Random) -> Cart:
    """What somebody may have in a cart."""
    return Cart(draw_lines(rng), shipping=rng.choice((0, 1_000)))


def draw_lines(rng: random.Random) -> tuple[Line, ...]:
    """A few lines of an order."""
    return tuple(
        Line(f"l{number}", "sku", rng.choice((None, "apparel", "apparel", "gift-card")), "1", rng.choice(_AMOUNTS))
        for number in range(1, rng.randint(2, 4))
    )


class _Life:
    """One member."""

    def __init__(self, rng: random.Random, member_id: str, others: Sequence[str]) -> None:
        self._rng = rng
        self._member_id = member_id
        self._others = others
        self._at = later(START, rng.randrange(10 * DAY))
        self._names = 0
        self._orders: list[str] = []
        self._holds: list[str] = []
        self._redemptions: list[str] = []
        self._tiers: list[tuple[Micros, str]] = []

    def steps(self) -> Iterator[Step]:
        """Without an end, not in order."""
        rng = self._rng
        if rng.random() < 0.7:
            yield from self._publish(Enrolled(_SHOP, self._name("enrolled"), self._at))
            registered = ProfileUpdated(_SHOP, self._name("profile"), self._at, ("name", "phone"), (), True)
            yield from self._publish(msgspec.structs.replace(registered, referred_by=self._referrer()))
        kinds = (
            self._order, self._sign_in, self._review, self._activity, self._profile, self._tier, self._spend,
            self._buy, self._send,
        )  # fmt: skip
        while True:
            self._at = later(self._at, round(rng.expovariate(1 / _DAYS_BETWEEN) * DAY))
            yield from rng.choices(kinds, (36, 20, 7, 8, 2, 5, 22, 14, 8))[0]()

    # How it comes in

    def _publish(self, input_: AnyInput) -> Iterator[Step]:
        """An event, mostly soon after; now and then late, twice, with another payload, or again under another id."""
        rng = self._rng
        lag = rng.choices((5 * SECOND, HOUR, 3 * DAY, 45 * DAY), (85, 8, 5, 2))[0]
        now = later(input_.at, rng.randrange(lag))
        yield Step(now, self._member_id, input_)
        while rng.random() < 0.08:
            now = later(now, rng.randrange(rng.choice((SECOND, DAY, 20 * DAY))))
            yield Step(now, self._member_id, input_)
        if rng.random() < 0.01 and isinstance(input_, Refunded | Paid):
            other = msgspec.structs.replace(input_, shipping=input_.shipping + 1)
            yield Step(later(now, rng.randrange(DAY)), self._member_id, other)
        if rng.random() < 0.03:
            again = msgspec.structs.replace(
                input_, id=f"{input_.id}:again", at=later(input_.at, rng.randrange(-HOUR, HOUR))
            )
            yield Step(max(now, again.at), self._member_id, again)

    def _ask(self, input_: Command, after: int = 0) -> Iterator[Step]:
        yield Step(later(input_.at, after), self._member_id, input_)

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}-{self._names}"

    # What a member does

    def _order(self) -> Iterator[Step]:
        rng, at = self._rng, self._at
        order = order_ref(_SHOP, f"{self._member_id}-{self._name('o')}")
        self._orders.append(order)
        used = rng.choices((0, *_POINTS), (50, 10, 10, 10, 10, 10))[0]
        named: dict[str, Any] = {}
        if used:
            named = {"points_used": used, "points_value": rng.choice((used, None))}
            way = rng.random()
            if way < 0.6:
                named["hold_id"] = yield from self._hold(used + rng.choice((0, 0, -15, 30)))
            elif way < 0.75:
                named["redemption_id"] = yield from self._redeem(used + rng.choice((0, 0, 30)))
        lines = draw_lines(rng)
        yield from self._publish(self._paid(order, at, 0, lines, named))
        if rng.random() < 0.08:
            fewer = {**named, "points_used": rng.choice((0, used))} if used else named
            yield from self._publish(self._paid(order, later(at, rng.randrange(2 * DAY)), 1, draw_lines(rng), fewer))
        some = (LinePart("l1"),) if rng.random() < 0.1 else None
        if rng.random() < 0.8:
            yield from self._publish(Shipped(_SHOP, f"{order}:shipped", later(at, rng.randrange(2 * DAY)), order, some))
        if rng.random() < 0.75:
            received = later(at, DAY + rng.randrange(8 * DAY))
            yield from self._publish(Completed(_SHOP, f"{order}:completed", received, order, some))
        for number in range(rng.choices((0, 1, 2), (70, 22, 8))[0]):
            parts = [RefundedLine(f"l{1 + rng.randrange(3)}", rng.choice(_AMOUNTS))]
            back = later(at, rng.randrange(rng.choice((5, 60)) * DAY))
            refund = Refunded(
                _SHOP, f"{order}:r{number}", back, order, f"r{number}", tuple(parts), rng.choice((0, 500))
            )
            yield from self._publish(refund)
            if rng.random() < 0.15:
                failed = RefundFailed(_SHOP, f"{order}:r{number}:failed", later(back, DAY), order, f"r{number}")
                yield from self._publish(failed)
        # First orders more often, so that what depends on them comes and goes.
        if rng.random() < (0.5 if len(self._orders) < 3 else 0.07):
            cancelled_at = later(at, rng.randrange(-HOUR, 12 * DAY))
            yield from self._publish(Cancelled(_SHOP, f"{order}:cancelled", cancelled_at, order))
            if rng.random() < 0.3:
                reinstated_at = later(cancelled_at, rng.choice((0, HOUR, DAY)))
                yield from self._publish(Reinstated(_SHOP, f"{order}:reinstated", reinstated_at, order))

    def _paid(self, order: str, at: Micros, revision: int, lines: tuple[Line, ...], named: dict[str, Any]) -> Paid:
        return Paid(
            _SHOP, f"{order}:paid:{revision}", at, order, revision, lines, self._rng.choice((0, 1_000)),
            channel=self._rng.choice(("", CHANNEL)), **named,
        )  # fmt: skip

    def _sign_in(self) -> Iterator[Step]:
        for day in range(self._rng.choice((1, 1, 3, 8))):
            yield from self._publish(SignedIn(_SHOP, self._name("sign-in"), later(self._at, day * DAY)))
        if self._rng.random() < 0.3:
            missed = Day(_FIRST_DAY + (self._at - START) // DAY - self._rng.randint(1, 4))
            yield from self._ask(RepairStreak(_APP, self._name("make-up"), self._at, missed))

    def _review(self) -> Iterator[Step]:
        review = self._name("review")
        yield from self._publish(ReviewPublished(_SHOP, f"{review}:published", self._at, review))
        if self._rng.random() < 0.3:
            yield from self._publish(ReviewRemoved(_SHOP, f"{review}:removed", later(self._at, HOUR), review))

    def _activity(self) -> Iterator[Step]:
        name, what = self._name("activity"), self._rng.choice(("favourite", "game"))
        yield from self._publish(ActivityRecorded(_SHOP, name, self._at, what, name, str(self._rng.randint(1, 30))))

    def _profile(self) -> Iterator[Step]:
        filled = tuple(self._rng.sample(("name", "phone", "email", "birthday"), self._rng.randint(1, 4)))
        yield from self._publish(
            ProfileUpdated(_SHOP, self._name("profile"), self._at, filled, (), referred_by=self._referrer())
        )

    def _referrer(self) -> str:
        """Who referred the member, if somebody did; at times another than before."""
        return self._rng.choice(self._others) if self._rng.random() < _REFERRED else ""

    def _tier(self) -> Iterator[Step]:
        if not self._tiers or self._tiers[-1][0] < self._at:
            self._tiers.append((later(self._at, -self._rng.randrange(DAY)), self._rng.choice(_TIERS)))
            self._tiers.sort()
        version = len(self._tiers)
        tiers = TierHistoryReceived("/loyalty/tiering", self._name("tier"), self._at, (version, 0), tuple(self._tiers))
        yield from self._publish(tiers)

    def _spend(self) -> Iterator[Step]:
        rng, at = self._rng, self._at
        points, part = rng.choice(_POINTS), rng.choice((None, None, 1, 20))
        match rng.randrange(6):
            case 0 | 1:
                hold = yield from self._hold(points)
                ends = rng.randrange(4)
                if ends == 0:
                    yield from self._ask(CaptureHold(_APP, self._name("capture"), at, hold, part))
                elif ends == 1:
                    yield from self._ask(ReleaseHold(_APP, self._name("release"), at, hold))
            case 2 | 3:
                redemption = yield from self._redeem(points)
                if rng.random() < 0.5:
                    input_ = ReturnRedemption(_APP, self._name("return"), at, redemption, part)
                    yield from self._ask(input_, rng.choice((0, DAY, 40 * DAY)))
            case 4 if self._holds:
                hold = rng.choice(self._holds)
                yield from self._ask(CaptureHold(_APP, self._name("capture"), at, hold, part))
                yield from self._ask(ReleaseHold(_APP, self._name("release"), at, hold))
            case 5 if self._redemptions and self._orders:
                redemption, order = rng.choice(self._redemptions), rng.choice(self._orders)
                yield from self._ask(ReturnRedemption(_APP, self._name("return"), at, redemption, part))
                yield from self._ask(DecideShortfall(_APP, self._name("decide"), at, order, rng.random() < 0.5))

    def _buy(self) -> Iterator[Step]:
        """A reward, of which there may be none left; now and then it is given back, or of an unknown name."""
        rng, redemption = self._rng, f"{self._member_id}-{self._name('reward')}"
        reward = rng.choice((*REWARDS, *REWARDS, "unicorn"))
        yield from self._ask(RedeemReward(_APP, self._name("buy"), self._at, redemption, redemption, reward, nonce=""))
        if rng.random() < 0.5:
            input_ = ReturnRedemption(_APP, self._name("return"), self._at, redemption, rng.choice((None, None, 10)))
            yield from self._ask(input_, rng.choice((SECOND, DAY, 10 * DAY, 40 * DAY)))
        else:
            self._redemptions.append(redemption)

    def _send(self) -> Iterator[Step]:
        """Points for another member; now and then under a reference that was used."""
        rng, name = self._rng, self._name("transfer")
        transfer = f"{self._member_id}-{'transfer-first' if rng.random() < 0.1 else name}"
        sent = SendPoints(_APP, name, self._at, transfer, transfer, rng.choice(self._others), rng.choice(_POINTS))
        yield from self._ask(sent)

    def _hold(self, points: int) -> Generator[Step, None, str]:
        """The id of a hold asked for shortly before; now and then its reference is not new."""
        rng = self._rng
        hold = (
            rng.choice(self._holds) if self._holds and rng.random() < 0.03 else f"{self._member_id}-{self._name('h')}"
        )
        self._holds.append(hold)
        asked = HoldPoints(_APP, self._name("hold"), self._at, hold, hold, points, rng.choice(_TTL_SECONDS))
        yield from self._ask(asked, -5 * MINUTE)
        return hold

    def _redeem(self, points: int) -> Generator[Step, None, str]:
        """The id of a redemption asked for shortly before."""
        redemption = f"{self._member_id}-{self._name('r')}"
        self._redemptions.append(redemption)
        yield from self._ask(
            RedeemPoints(_APP, self._name("redeem"), self._at, redemption, redemption, points), -MINUTE
        )
        return redemption
