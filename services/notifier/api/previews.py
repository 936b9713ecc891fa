"""`POST /v1/templates/{code}/preview`: a text as it would be sent."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response, Security
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller
from services.kit.problem import Problem, kind, responses
from services.notifier.api.context import Context, answer
from services.notifier.domain.member import Channel
from services.notifier.domain.occasions import SAMPLES, Touchpoint
from services.notifier.texts.rendering import MissingTextError, TemplateError

TEXT_MISSING: Final = kind("text-missing", "There is no such text", 404)
TEXT_BROKEN: Final = kind("text-broken", "The text cannot be made of these parameters", 422)


class PreviewBody(BaseModel):
    """What to preview. Parameters that are absent are those of an example."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    locale: str = Field("zh-CN", max_length=35)
    name: str | None = Field(None, max_length=200, description="The member's name, where the text uses it.")
    parameters: dict[str, int | str] = Field(default={}, max_length=50)


class Preview(BaseModel):
    """A text as it would be sent."""

    locale: str
    title: str
    text: str
    html: str | None


def routes(context: Context) -> APIRouter:
    """The path of previews."""
    router = APIRouter()

    @router.post(
        "/v1/templates/{code}/preview",
        response_model=Preview,
        summary="A text as it would be sent",
        responses=responses(TEXT_MISSING, TEXT_BROKEN),
    )
    async def preview(
        code: Annotated[Touchpoint, Path(description="A touchpoint.")],
        body: PreviewBody,
        _: Annotated[Caller, Security(context.guard, scopes=["notify:admin"])],
    ) -> Response:
        at = context.clock()
        try:
            text = context.render(
                context.programs.current_at(at).program,
                code,
                body.channel,
                {**SAMPLES[code], **body.parameters},
                at,
                wanted_locale=body.locale,
                name=body.name,
            )
        except MissingTextError as missing:
            raise Problem(TEXT_MISSING, f"{missing}.") from None
        except TemplateError as broken:
            raise Problem(TEXT_BROKEN, f"{broken}.", field="parameters") from None
        return answer({"locale": text.locale, "title": text.title, "text": text.body, "html": text.html})

    return router
