"""Brokers that ask who is there: TLS, each way to log in, and who may read and write what."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from deploy.local import kafka as kafka_server
from deploy.local.processes import free_port
from deploy.local.tokens import Signer
from deploy.shop.events import KAFKA_HEADERS, Event, cloud_event
from schemas.topics import ALL, BY_NAME, SERVICES
from services.kit.acls import rules_of
from services.kit.brokers import BrokerSettings, ClientCredentials, connection_of
from services.kit.clock import now
from services.kit.kafka import shard_of
from services.ledger.consumer import TOPICS as LEDGER_READS
from services.notifier.events.inbound import TOPICS as NOTIFIER_READS
from services.tiering.events.inbound import TOPICS as TIERING_READS
from tests.certificates import Authority, Certificate
from tests.conftest import REPOSITORY, as_role
from tests.integration.kit_support import eventually

PRINCIPALS = (*SERVICES, "gateways", "shop")
PASSWORDS = {name: f"{name}'s password" for name in ("admin", *PRINCIPALS)}
_MODULE = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Brokers:
    """A broker with a listener for logins over TLS, and one for certificates."""

    logins: str
    certificates: str
    authority: Authority
    ledger: Certificate

    def environment(self, name: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The settings of a client that logs in."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.logins,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_USERNAME": name,
            "KAFKA_PASSWORD": PASSWORDS[name],
            "KAFKA_SSL_CA_FILE": str(self.authority.file),
            **kafka_server.ONE_BROKER,
        }

    def settings(self, name: str, mechanism: str = "SCRAM-SHA-512", **more: Any) -> BrokerSettings:
        """The same, as the code has them."""
        fields: dict[str, Any] = {n.lower(): value for n, value in self.environment(name, mechanism).items()}
        return BrokerSettings(**{**fields, **more})


@pytest.fixture(scope="module")
def brokers(server_dir: Path) -> Iterator[Brokers]:
    directory = server_dir / "secured"
    authority = Authority(directory)
    server = authority.sign("broker", host="127.0.0.1")
    logins, certificates = free_port(), free_port()
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    tls = {"keystore.type": "PEM", "keystore.location": str(server.both_file),
           "truststore.type": "PEM", "truststore.location": str(authority.file)}  # fmt: skip
    listeners = f"LOGINS://127.0.0.1:{logins},CERTIFICATES://127.0.0.1:{certificates}"
    more = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "LOGINS:SASL_SSL,CERTIFICATES:SSL",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",  # the broker itself, and who makes topics and rules
        "listener.name.logins.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        "listener.name.logins.scram-sha-512.sasl.jaas.config": f"{_MODULE}.scram.ScramLoginModule required;",
        "listener.name.logins.plain.sasl.jaas.config": f"{_MODULE}.plain.PlainLoginModule required {users};",
        "listener.name.logins.oauthbearer.sasl.jaas.config":
            f'{_MODULE}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
        "listener.name.certificates.ssl.client.auth": "required",
        "listener.name.certificates.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        **{f"listener.name.{name}.ssl.{key}": value
           for name in ("logins", "certificates") for key, value in tls.items()},
    }  # fmt: skip
    broker = kafka_server.start(
        directory / "kafka", log=directory / "kafka.log", heap_mb=384, die_with_parent=True, more=more, scram=PASSWORDS
    )
    made = Brokers(f"127.0.0.1:{logins}", f"127.0.0.1:{certificates}", authority, authority.sign("ledger"))
    applied = topics(made, "--acls")
    assert applied.returncode == 0, applied.stderr
    yield made
    kafka_server.stop(broker)


def topics(brokers: Brokers, *arguments: str, name: str = "admin") -> subprocess.CompletedProcess[str]:
    """`python -m services.kit.topics`, as an operator runs it."""
    return subprocess.run(
        [sys.executable, "-m", "services.kit.topics", *arguments],
        env={"PATH": os.environ["PATH"], **brokers.environment(name)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


async def writes(settings: BrokerSettings, topic: str) -> bool:
    """Whether this client may write to a topic."""
    producer = AIOKafkaProducer(**connection_of(settings), request_timeout_ms=5000)
    try:
        async with asyncio.timeout(20):
            await producer.start()
            await producer.send_and_wait(topic, b"{}", key=b"m")
        return True
    except TopicAuthorizationFailedError:
        return False
    finally:
        await producer.stop()


async def sees(settings: BrokerSettings, topic: str) -> bool:
    """Whether the brokers tell this client that there is such a topic."""
    admin = AIOKafkaAdminClient(**connection_of(settings))
    try:
        await admin.start()
        found = (await admin.describe_topics([topic]))[0]
        assert found["error_code"] in (0, TopicAuthorizationFailedError.errno)
        return bool(found["error_code"] == 0)
    finally:
        await admin.close()


async def reads(settings: BrokerSettings, topic: str) -> bool:
    """Whether this client may read a topic."""
    if not await sees(settings, topic):  # a consumer would ask for it again and again
        return False
    consumer = AIOKafkaConsumer(**connection_of(settings), enable_auto_commit=False)
    try:
        async with asyncio.timeout(20):
            await consumer.start()
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            await consumer.getmany(place, timeout_ms=300)
        return True
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()


# ── who may what ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_mend_d01_the_rules_are_those_of_the_contract() -> None:
    may = {(rule.principal, rule.operation, rule.name) for rule in rules_of()}
    both = {("ledger", operation, "loyalty.internal.v1") for operation in ("read", "write")}
    assert {rule for rule in may if rule[2] == "loyalty.internal.v1"} == both
    assert {who for who, operation, name in may if (operation, name) == ("write", "loyalty.tiers.v1")} == {"tiering"}
    assert {who for who, operation, name in may if (operation, name) == ("write", "notify.receipts.v1")} == {"gateways"}
    for service, read in (("ledger", LEDGER_READS), ("tiering", TIERING_READS), ("notifier", NOTIFIER_READS)):
        for topic in (*read, "loyalty.dead_letters.v1"):
            assert (service, "read", topic) in may
    assert {rule.principal for rule in rules_of(principals={"ledger": "CN=ledger"})} >= {"CN=ledger", "tiering"}


def test_mend_d01_the_command_prints_what_it_applies_and_may_be_run_again(brokers: Brokers) -> None:
    again = topics(brokers, "--acls")
    assert again.returncode == 0, again.stderr
    assert "User:ledger may write topic loyalty.internal.v1\n" in again.stdout
    assert again.stdout.endswith(f"{len(ALL)} topics are as the contracts say, 0 of them new.\n")
    refused = topics(brokers, "--acls", name="shop")
    assert refused.returncode == 1
    assert "shop" not in refused.stdout


@pytest.mark.parametrize("name", PRINCIPALS)
async def test_mend_d01_each_forbidden_read_and_write_is_refused(name: str, brokers: Brokers) -> None:
    settings = brokers.settings(name)
    may = {(rule.operation, rule.name) for rule in rules_of() if rule.principal == name}
    for topic in BY_NAME:
        # What is written here is no event: it goes where no service of this module reads.
        if ("write", topic) not in may:
            assert not await writes(settings, topic), topic
        assert await reads(settings, topic) == (("read", topic) in may), topic


# ── ways to log in ───────────────────────────────────────────────────────────────────────────────────────────────


class Issuer:
    """Gives tokens for client credentials. They are unsigned, which the test's broker accepts."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                issuer.asked.append(form | {"authorization": [self.headers["Authorization"]]})
                body = json.dumps({"access_token": unsigned("ledger"), "token_type": "Bearer", "expires_in": 300})
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"


def unsigned(subject: str) -> str:
    def part(content: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part({'sub': subject, 'iat': 1.0, 'exp': 4102444800.0})}."


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "PLAIN", "OAUTHBEARER", "mTLS"])
async def test_mend_d01_each_way_to_log_in_is_who_it_says(way: str, brokers: Brokers, issuer: Issuer) -> None:
    if way == "mTLS":
        settings = BrokerSettings(
            kafka_bootstrap_servers=brokers.certificates,
            kafka_security_protocol="SSL",
            kafka_ssl_ca_file=brokers.authority.file,
            kafka_ssl_certificate_file=brokers.ledger.file,
            kafka_ssl_key_file=brokers.ledger.key_file,
        )
    else:
        more = {"kafka_oauth_token_url": issuer.url, "kafka_oauth_scope": "kafka"} if way == "OAUTHBEARER" else {}
        settings = brokers.settings("ledger", way, **more)
    assert await writes(settings, "loyalty.checkpoints.v1")
    assert not await writes(settings, "loyalty.tiers.v1")
    if way == "OAUTHBEARER":
        assert issuer.asked[0]["scope"] == ["kafka"]
        asked = len(issuer.asked)
        tokens = ClientCredentials(settings)
        assert await tokens.token() == await tokens.token()
        assert len(issuer.asked) == asked + 1, "a token is used again until shortly before its end"


@pytest.mark.parametrize(
    "changes",
    [
        {"kafka_password": "another"},
        {"kafka_ssl_ca_file": None},
        {"kafka_security_protocol": "SSL"},
        {"kafka_security_protocol": "PLAINTEXT"},
    ],
)
async def test_mend_d01_who_is_not_known_or_cannot_be_trusted_gets_nowhere(
    changes: dict[str, Any], brokers: Brokers
) -> None:
    with pytest.raises((KafkaError, TimeoutError, OSError)):
        async with asyncio.timeout(10):
            await writes(brokers.settings("ledger", **changes), "loyalty.checkpoints.v1")


def test_mend_d01_what_a_login_lacks_is_said_by_name() -> None:
    fields: dict[str, Any] = {"kafka_bootstrap_servers": "b:9093", "kafka_security_protocol": "SASL_SSL"}
    with pytest.raises(ValueError, match="SASL_SSL needs KAFKA_USERNAME and KAFKA_PASSWORD"):
        BrokerSettings(**fields)
    with pytest.raises(ValueError, match="needs KAFKA_OAUTH_TOKEN_URL"):
        BrokerSettings(**fields, kafka_username="u", kafka_password="p", kafka_sasl_mechanism="OAUTHBEARER")
    assert "hunter2" not in repr(BrokerSettings(**fields, kafka_username="u", kafka_password="hunter2"))


# ── each service does its work ───────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def services_on(brokers: Brokers, dsn: str, signer: Signer, directory: Path) -> AsyncIterator[None]:
    """The three services, each logged in as itself, under the default program."""
    running = []
    environments = {
        name: {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": as_role(dsn, name),
            "SESSION_TIMEOUT_SECONDS": "6",
            "WORKERS": "1",
            **brokers.environment(name),
            **signer.environment,
        }
        for name in SERVICES
    }
    for name, environment in environments.items():
        with (directory / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", f"services.{name}", "serve", "--port", str(free_port())]
            running.append(subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=log, stderr=log))  # noqa: ASYNC220
    published = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.ledger", "publish", "deploy/program.yaml"],
        env=environments["ledger"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert published.returncode == 0, published.stderr
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            await asyncio.to_thread(process.wait)


async def test_mend_d01_each_service_does_its_work_as_itself(
    brokers: Brokers, migrated_database: str, signer: Signer, tmp_path: Path
) -> None:
    member = "secured-1"
    line = {"line_id": "1", "sku": "kettle", "quantity": 1, "amount": "900.00"}
    said = [
        event("commerce.member.registered.v1", member, {"name": "An", "email": "an@shop.example", "locale": "en"}),
        event("commerce.order.paid.v1", member, {"order_id": "o1", "currency": "CNY", "lines": [line]}),
        event("commerce.order.completed.v1", member, {"order_id": "o1"}),
    ]
    async with services_on(brokers, migrated_database, signer, tmp_path):
        producer = AIOKafkaProducer(**connection_of(brokers.settings("shop")))
        await producer.start()
        for each in said:
            await producer.send_and_wait(each.topic, each.body, key=member.encode(), headers=KAFKA_HEADERS)
        await producer.stop()

        async def told(reader: str, topic: str, kind: str) -> bool:
            return await heard(brokers.settings(reader), topic, member, kind)

        seen = [
            ("tiering", "loyalty.points.v1", "loyalty.points.confirmed.v1"),  # the ledger has booked and told
            ("ledger", "loyalty.tiers.v1", "loyalty.tier.upgraded.v1"),  # tiering has read that, and told
            ("gateways", "notify.email.v1", "notify.email.requested.v1"),  # the notifier has read both
        ]
        for reader, topic, kind in seen:
            await eventually(partial(told, reader, topic, kind), seconds=60, what=f"{kind}; logs: {tmp_path}")


def event(kind: str, member: str, data: dict[str, Any]) -> Event:
    return cloud_event(
        source="/shop/backend", event_id=f"{member}:{kind}", event_type=kind, member_id=member, at=now(), data=data
    )


async def heard(settings: BrokerSettings, topic: str, member: str, kind: str) -> bool:
    consumer = AIOKafkaConsumer(**connection_of(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(topic, shard_of(member, 16))
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(place, timeout_ms=500)).values():
                if any(record.key == member.encode() and kind.encode() in record.value for record in records):
                    return True
        return False
    finally:
        await consumer.stop()
