"""Structured logs: one JSON object a line on stderr. Never personal data, tokens or bodies: ids, counts, places."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

Logger = structlog.stdlib.BoundLogger

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Their info lines repeat what ours say, and aiokafka's debug lines would print records.
_QUIET: Final = ("aiokafka", "asyncio", "asyncpg", "uvicorn", "kafka")


def configure(service: str, level: str = "info", *, worker: int | None = None) -> None:
    """Sets up logging for this process; `service` and `worker` are on every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service, **({} if worker is None else {"worker": worker}))


def get(name: str) -> Logger:
    """A logger; call it with an event in snake case and keyword facts: `log.info("shards_owned", shards=[0, 1])`."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger
