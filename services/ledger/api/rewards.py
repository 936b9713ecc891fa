"""The catalogue of rewards with what is left of each, and the codes of its coupons."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.problem import UNAVAILABLE, responses
from services.ledger.api.commands import Body, Commands, Origin, refusals
from services.ledger.api.context import Context, json_response
from services.ledger.domain.program.catalogue import Reward, pool_account
from services.ledger.domain.state.fact_keys import CODES, stock_key
from services.ledger.domain.state.inputs import AddCodes
from services.ledger.domain.state.rewards import decode_pool, decode_stock
from services.ledger.reads import history

MAX_CODES = 1000
"""In one request."""

PoolPath = Annotated[str, Path(pattern="^[a-z][a-z0-9_-]{0,56}$", description="The pool, as the program names it.")]


class PrizeOut(BaseModel):
    """A prize of a draw, and its chance."""

    prize: str
    chance: str
    reward: str | None = None
    points: int | None = None


class RewardOut(BaseModel):
    """A reward that points buy."""

    reward: str
    kind: Literal["gift", "coupon", "points_cash", "free_shipping", "lottery", "tier", "privilege"]
    title: dict[str, str] | None = None
    points: int
    price: str | None = Field(default=None, description="The money that is paid beside the points.")
    left: int | None = Field(default=None, description="How many are left; absent where they are not counted.")
    tier: str | None = None
    days: int | None = None
    privilege: str | None = None
    prizes: list[PrizeOut] | None = Field(default=None, description="In the order in which a draw goes through them.")


class RewardsOut(BaseModel):
    """The catalogue of the program in force."""

    program_version: str
    rewards: list[RewardOut]


class CodesIn(Body):
    """Codes for coupons."""

    codes: list[Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]] = Field(min_length=1, max_length=MAX_CODES)


class PoolOut(BaseModel):
    """A pool of codes: how many were added to it in all, and how many are left."""

    pool: str
    added: int
    left: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """The catalogue's paths."""
    router = APIRouter(tags=["rewards"])
    reader, adjuster = context.reader(), commands.writer("ledger:adjust")

    @router.get(
        "/v1/rewards",
        response_model=RewardsOut,
        responses=responses(UNAVAILABLE),
        summary="The rewards that points buy",
    )
    async def catalogue(caller: Caller = reader) -> Response:
        """The rewards are those of the program version in force."""
        async with context.reads.snapshot() as tx:
            program = (await context.reads.programs.read(tx)).at(context.clock())
            counted = [(reward, account) for reward in program.rewards.values() if (account := reward.account)]
            stocks = await history.facts_of(tx, [(context.shard(at), at, stock_key(each.name)) for each, at in counted])
            pools = await history.facts_of(tx, [(context.shard(at), at, CODES) for _, at in counted])
        left = {
            reward.name: _left(reward, stock, pool)
            for (reward, _), stock, pool in zip(counted, stocks, pools, strict=True)
        }
        rewards = [_reward_json(reward, left.get(reward.name)) for reward in program.rewards.values()]
        return json_response({"program_version": program.version, "rewards": rewards})

    @router.post(
        "/v1/pools/{pool}/codes",
        response_model=PoolOut,
        responses=refusals(),
        summary="Fill a pool of codes",
    )
    async def fill(pool: PoolPath, body: CodesIn, origin: Origin = adjuster) -> Response:
        """Codes are given out in this order, each once. A code that was added before is not added again."""
        return await commands.execute(origin, pool_account(pool), body, partial(AddCodes, codes=tuple(body.codes)))

    return router


def _left(reward: Reward, stock: bytes | None, pool: bytes | None) -> int:
    """How many more can be granted."""
    counts = []
    if reward.stock is not None:
        counts.append(reward.stock - decode_stock(stock).granted)
    if reward.codes is not None:
        codes = decode_pool(pool)
        counts.append(codes.added - codes.taken)
    # A newer program may have fewer than were granted under the one before.
    return max(0, min(counts))


def _reward_json(reward: Reward, left: int | None) -> dict[str, Any]:
    fields = {name: value for name, value in reward.document.items() if name in RewardOut.model_fields}
    return fields if left is None else fields | {"left": left}
