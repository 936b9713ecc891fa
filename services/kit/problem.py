"""Problem documents (RFC 9457): every error that leaves the API has a stable type and says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.kit import log
from services.kit.executor import ClockOff, DatabaseUnavailable, Overloaded
from services.kit.postgres import DATABASE_ERRORS, is_too_slow, is_unavailable
from services.kit.program import NoProgram, ProgramOutdated

_log = log.get(__name__)
MEDIA_TYPE: Final = "application/problem+json"


class Kind(NamedTuple):
    """A kind of problem: `urn:loyalty:problem:<code>`, its title and HTTP status."""

    code: str
    title: str
    status: int

    @property
    def type(self) -> str:
        """The stable `type` of the document."""
        return f"urn:loyalty:problem:{self.code}"


_KINDS: Final[dict[str, Kind]] = {}


def kind(code: str, title: str, status: int) -> Kind:
    """Registers a kind of problem; ValueError when the code is taken by another."""
    new = Kind(code, title, status)
    if _KINDS.setdefault(code, new) != new:
        raise ValueError(f"problem {code!r} is {_KINDS[code]} already")
    return new


INVALID: Final = kind("invalid-request", "The request is not valid", 422)
MALFORMED: Final = kind("malformed-request", "The request cannot be read", 400)
UNAUTHENTICATED: Final = kind("unauthenticated", "A valid token is needed", 401)
FORBIDDEN: Final = kind("forbidden", "The token does not allow this", 403)
NOT_FOUND: Final = kind("not-found", "Not found", 404)
MEMBER_ERASED: Final = kind("member-erased", "The member is erased", 409)
METHOD_NOT_ALLOWED: Final = kind("method-not-allowed", "The path has no such method", 405)
TOO_LARGE: Final = kind("too-large", "The request is too large", 413)
TOO_SLOW: Final = kind("too-slow", "The request came too slowly", 408)
HEAD_TOO_LARGE: Final = kind("headers-too-large", "The headers are too large", 431)
OVERLOADED: Final = kind("overloaded", "Too much is asked at once", 503)
UNAVAILABLE: Final = kind("unavailable", "Not available at the moment", 503)
INTERNAL: Final = kind("internal", "Something went wrong here", 500)


class Document(BaseModel):
    """A problem document, RFC 9457."""

    type: str = Field(examples=[INVALID.type])
    title: str
    status: int
    detail: str | None = None
    field: str | None = Field(default=None, description="The field that is wrong, as a path.")
    errors: list[dict[str, str]] | None = Field(default=None, description="All fields that are wrong: field, detail.")


class Problem(HTTPException):
    """Raised to answer with a problem document. (An HTTPException, because FastAPI makes "400" of any other error that
    is raised while it reads a body.)"""

    def __init__(
        self,
        of: Kind,
        detail: str = "",
        *,
        field: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """`detail` is for this occurrence; `members` are further members of the document."""
        super().__init__(of.status, detail, headers)
        self.kind = of
        self.field = field
        self.errors = errors
        self.members = members

    def __str__(self) -> str:
        return f"{self.kind.code}: {self.detail}"

    def document(self) -> dict[str, Any]:
        """The document as JSON."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            **self.members,
        }
        if self.detail:
            document["detail"] = self.detail
        if self.field is not None:
            document["field"] = self.field
        if self.errors:
            document["errors"] = [dict(error) for error in self.errors]
        return document

    def response(self) -> Response:
        """The answer."""
        return Response(
            orjson.dumps(self.document()),
            status_code=self.kind.status,
            media_type=MEDIA_TYPE,
            headers=dict(self.headers or {}),
        )


def responses(*of: Kind) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of an endpoint that may answer these kinds: `@router.get(…, responses=responses(GONE))`."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for one in of:
        known = by_status.get(one.status)
        description = f"{known['description']}; {one.code}" if known else one.code
        schema = {"$ref": "#/components/schemas/Problem"}
        by_status[one.status] = {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
    return by_status


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document, and puts the document's schema into its OpenAPI."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Overloaded, _overloaded)
    for unavailable in (DatabaseUnavailable, *DATABASE_ERRORS):
        app.add_exception_handler(unavailable, _unavailable)
    app.add_exception_handler(NoProgram, _no_program)
    app.add_exception_handler(ProgramOutdated, _outdated_program)
    app.add_exception_handler(Exception, _unknown)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components["Problem"] = Document.model_json_schema()
            _replace_validation_errors(schema)
            components.pop("HTTPValidationError", None)
            components.pop("ValidationError", None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _replace_validation_errors(schema: dict[str, Any]) -> None:
    """Declares the problem documents that are really answered. FastAPI by itself declares another form of 422, no 401,
    and nothing for a body that cannot be read."""
    problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            answers = operation.setdefault("responses", {})
            if "422" in answers and MEDIA_TYPE not in answers["422"].get("content", {}):
                answers["422"] = {"description": INVALID.title, **problem}
            if "requestBody" in operation:
                answers.setdefault("400", {"description": MALFORMED.title, **problem})
                answers.setdefault("413", {"description": TOO_LARGE.title, **problem})
                answers.setdefault("408", {"description": TOO_SLOW.title, **problem})
            if operation.get("security"):
                answers.setdefault("401", {"description": UNAUTHENTICATED.title, **problem})
                answers.setdefault("403", {"description": FORBIDDEN.title, **problem})


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [{"field": _path(each["loc"]), "detail": str(each["msg"])} for each in found]
    if any(each["type"] == "json_invalid" for each in found):
        return Problem(MALFORMED, "The body is not JSON.", errors=errors).response()
    first = errors[0]
    return Problem(INVALID, first["detail"], field=first["field"], errors=errors).response()


def _path(location: Sequence[int | str]) -> str:
    """`("body", "lines", 0, "amount")` as `lines[0].amount`; a parameter keeps its location: `query.limit`."""
    parts = list(location)
    if parts[:1] == ["body"] and len(parts) > 1:
        parts = parts[1:]
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: NOT_FOUND,
        405: METHOD_NOT_ALLOWED,
        401: UNAUTHENTICATED,
        403: FORBIDDEN,
        400: MALFORMED,
        413: TOO_LARGE,
    }
    try:
        phrase = HTTPStatus(error.status_code).phrase
    except ValueError:
        phrase = "Error"
    of = known.get(error.status_code) or Kind(phrase.lower().replace(" ", "-"), phrase, error.status_code)
    detail = "" if error.detail == phrase else str(error.detail)
    return Problem(of, detail, headers=error.headers).response()


async def _unavailable(request: Request, error: Exception) -> Response:
    if not (isinstance(error, DatabaseUnavailable) or is_unavailable(error)):
        return await _unknown(request, error)
    _log.warning("request_unavailable", error=repr(error))
    if isinstance(error, ClockOff):
        return Problem(UNAVAILABLE, f"Nothing is booked: {error}.", headers={"Retry-After": "30"}).response()
    if is_too_slow(error) or (error.__cause__ is not None and is_too_slow(error.__cause__)):
        detail = "The answer takes longer to find than a request may. Ask for less, or again when there is less to do."
        return Problem(UNAVAILABLE, detail, headers={"Retry-After": "5"}).response()
    detail = "The database cannot be reached. Nothing was booked, or the same request sent again answers what was."
    return Problem(UNAVAILABLE, detail, headers={"Retry-After": "2"}).response()


async def _overloaded(_: Request, error: Exception) -> Response:
    detail = f"{error}. Nothing was booked; send the same request again later."
    return Problem(OVERLOADED, detail, headers={"Retry-After": "1"}).response()


async def _no_program(_: Request, error: Exception) -> Response:
    return Problem(UNAVAILABLE, "No loyalty program has been published yet.", headers={"Retry-After": "5"}).response()


async def _outdated_program(_: Request, error: Exception) -> Response:
    detail = f"Nothing is decided under a program that may be outdated: {error}."
    return Problem(UNAVAILABLE, detail, headers={"Retry-After": "5"}).response()


async def _unknown(request: Request, error: Exception) -> Response:
    route = getattr(request.scope.get("route"), "path", "")
    _log.error("request_failed", method=request.method, route=route, exc_info=error)
    return Problem(INTERNAL, "It has been logged; trying again may help.").response()
