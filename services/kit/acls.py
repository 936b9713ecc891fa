"""Who may read and write which topic, for brokers that ask (ACLs): one principal a service.

Made from the list of topics, which says who writes and who reads each. So only the ledger reads and writes what one
shard tells another, only tiering writes tiers, only gateways write receipts. Rules that are there already stay as they
are, and none is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from schemas.topics import ALL, SERVICES, Topic

Operation = Literal["read", "write", "describe", "describe_configs"]

_OPERATIONS: Final[dict[Operation, int]] = {"read": 3, "write": 4, "describe": 8, "describe_configs": 10}
_RESOURCES: Final = {"topic": 2, "group": 3}
_LITERAL, _ALLOW = 3, 3
_NONE: Final = 0
EVERY: Final = "*"


class Rule(NamedTuple):
    """That a principal may do something with a topic or a consumer group (`*`: with every one)."""

    principal: str
    operation: Operation
    resource: Literal["topic", "group"]
    name: str

    def __str__(self) -> str:
        return f"User:{self.principal} may {self.operation} {self.resource} {self.name}"


class AclError(Exception):
    """The brokers did not take a rule."""


def rules_of(topics: Iterable[Topic] = ALL, principals: Mapping[str, str] | None = None) -> list[Rule]:
    """All rules. `principals` says whom the brokers know a name of ours by, where that is another name."""
    known_as = principals or {}
    rules: list[Rule] = []
    for topic in topics:
        rules += [Rule(known_as.get(name, name), "write", "topic", topic.name) for name in topic.writers]
        rules += [Rule(known_as.get(name, name), "read", "topic", topic.name) for name in topic.readers]
    for service in SERVICES:
        principal = known_as.get(service, service)
        rules.append(Rule(principal, "read", "group", service))
        # A service checks that the topics are as it needs them; what they hold is not told by that.
        rules.append(Rule(principal, "describe", "topic", EVERY))
        rules.append(Rule(principal, "describe_configs", "topic", EVERY))
    rules.append(Rule(known_as.get("gateways", "gateways"), "read", "group", EVERY))
    return rules


async def apply(admin: AIOKafkaAdminClient, rules: Iterable[Rule]) -> None:
    """Makes the rules that are missing. `admin` is a started client of who may alter the cluster. Raises AclError,
    KafkaError."""
    for rule in rules:
        request = CreateAclsRequest(
            _RESOURCES[rule.resource],
            rule.name,
            _LITERAL,
            f"User:{rule.principal}",
            "*",
            _OPERATIONS[rule.operation],
            _ALLOW,
        )
        answer: Any = await admin._send_request(request)  # its public methods have none for ACLs
        for code, message in answer.creation_responses:
            if code != _NONE:
                raise AclError(f"{rule}: {message or f'error {code}'}.")
