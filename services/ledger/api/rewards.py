"""The redemption catalogue, with the stock left, and the codes of its coupons."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.problem import UNAVAILABLE, responses
from services.ledger.api.commands import Asked, Body, Commands, refusals
from services.ledger.api.context import Context, answer
from services.ledger.domain.program.catalogue import Reward, pool_account
from services.ledger.domain.state.fact_keys import CODES, stock_key
from services.ledger.domain.state.inputs import AddCodes
from services.ledger.domain.state.rewards import decode_pool, decode_stock
from services.ledger.reads import history

MAX_CODES = 1000
"""Codes of one request."""

PoolPath = Annotated[str, Path(pattern="^[a-z][a-z0-9_-]{0,56}$", description="The pool, as the program names it.")]


class PrizeOut(BaseModel):
    """What a draw may give, and how likely it is."""

    prize: str
    chance: str
    reward: str | None = None
    points: int | None = None


class RewardOut(BaseModel):
    """Something points buy."""

    reward: str
    kind: Literal["gift", "coupon", "points_cash", "free_shipping", "lottery", "tier", "privilege"]
    title: dict[str, str] | None = None
    points: int
    price: str | None = Field(default=None, description="What is paid beside the points.")
    left: int | None = Field(default=None, description="How many there are; absent if they are not counted.")
    tier: str | None = None
    days: int | None = None
    privilege: str | None = None
    prizes: list[PrizeOut] | None = Field(default=None, description="In the order in which a draw looks at them.")


class RewardsOut(BaseModel):
    """The catalogue of the program in force."""

    program_version: str
    rewards: list[RewardOut]


class CodesIn(Body):
    """Codes for coupons."""

    codes: list[Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]] = Field(min_length=1, max_length=MAX_CODES)


class PoolOut(BaseModel):
    """A pool of codes: how many it was given, and how many are left."""

    pool: str
    added: int
    left: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """The catalogue's paths."""
    router = APIRouter(tags=["rewards"])
    reader, adjusting = context.reader(), commands.asked("ledger:adjust")

    @router.get(
        "/v1/rewards",
        response_model=RewardsOut,
        responses=responses(UNAVAILABLE),
        summary="What points buy, and what is left",
    )
    async def catalogue(caller: Caller = reader) -> Response:
        """Of the program version in force now."""
        async with context.reads.snapshot() as tx:
            program = (await context.reads.programs.read(tx)).at(context.clock())
            counted = [(reward, account) for reward in program.rewards.values() if (account := reward.account)]
            stocks = await history.facts_of(tx, [(context.shard(at), at, stock_key(each.name)) for each, at in counted])
            pools = await history.facts_of(tx, [(context.shard(at), at, CODES) for _, at in counted])
        left = {
            reward.name: _left(reward, stock, pool)
            for (reward, _), stock, pool in zip(counted, stocks, pools, strict=True)
        }
        shown = [_shown(reward, left.get(reward.name)) for reward in program.rewards.values()]
        return answer({"program_version": program.version, "rewards": shown})

    @router.post(
        "/v1/pools/{pool}/codes",
        response_model=PoolOut,
        responses=refusals(),
        summary="Fill a pool of codes",
    )
    async def fill(pool: PoolPath, body: CodesIn, asked: Asked = adjusting) -> Response:
        """They are given out in this order, each once; a code that the pool was given before is not added again."""
        return await commands.do(asked, pool_account(pool), body, partial(AddCodes, codes=tuple(body.codes)))

    return router


def _left(reward: Reward, stock: bytes | None, pool: bytes | None) -> int:
    """How many more would be granted."""
    counts = []
    if reward.stock is not None:
        counts.append(reward.stock - decode_stock(stock).granted)
    if reward.codes is not None:
        codes = decode_pool(pool)
        counts.append(codes.added - codes.taken)
    # A newer program may have fewer than were granted under the one before.
    return max(0, min(counts))


def _shown(reward: Reward, left: int | None) -> dict[str, Any]:
    said = {name: value for name, value in reward.document.items() if name in RewardOut.model_fields}
    return said if left is None else said | {"left": left}
