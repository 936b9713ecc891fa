"""The keys and tokens of a local stack: what an identity provider does elsewhere."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SCOPES = (
    "events:write",
    "ledger:read",
    "ledger:spend",
    "ledger:adjust",
    "ledger:approve",
    "tiering:read",
    "tiering:admin",
    "notify:read",
    "notify:admin",
    "program:publish",
    "audit:read",
    "ops:read",
)
"""Every scope of the contract: what the shop's backend and its operator hold together."""

MEMBER_SCOPES = ("ledger:read", "ledger:spend", "tiering:read", "notify:read")
"""What a member's token may do, for its own member only."""

ISSUER = "points-ledger-local"
AUDIENCE = "points-ledger"
SHOP_CLAIMS = {"sources": ["/shop/*"], "types": ["commerce.*"]}
"""What a token with `events:write` may publish here."""
DEFAULT_TTL_S = 30 * 86_400
_ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs tokens with a private key; services verify them by the public one in `jwks_file`."""

    private_key: ec.EllipticCurvePrivateKey
    key_id: str
    jwks_file: Path

    @staticmethod
    def kept_in(directory: Path) -> Signer:
        """The signer whose key is kept in `directory`; made the first time, readable by its owner only."""
        private_file, jwks_file = directory / "signing-key.pem", directory / "jwks.json"
        if not private_file.exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            scratch = private_file.with_suffix(".new")
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(pem)
            scratch.rename(private_file)
        key = serialization.load_pem_private_key(private_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        key_id = str(public["x"])[:12]
        jwks = {"keys": [{**public, "kid": key_id, "alg": _ALGORITHM, "use": "sig"}]}
        jwks_file.write_text(json.dumps(jwks, indent=2) + "\n")
        return Signer(key, key_id, jwks_file)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that accepts these tokens, and no others."""
        return {"JWKS_FILE": str(self.jwks_file), "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}

    def token(
        self,
        *,
        subject: str = "shop",
        scopes: Iterable[str] = SCOPES,
        member: str | None = None,
        ttl_s: int = DEFAULT_TTL_S,
        **claims: object,
    ) -> str:
        """A bearer token for `subject` with `scopes`, for `ttl_s` seconds from now (below 0: expired)."""
        now = int(time.time())
        scopes = tuple(scopes)
        payload: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": min(now, now + ttl_s),
            "exp": now + ttl_s,
            "scope": " ".join(scopes),
            **(SHOP_CLAIMS if "events:write" in scopes else {}),
            **claims,
        }
        if member is not None:
            payload["member"] = member
        return jwt.encode(payload, self.private_key, _ALGORITHM, headers={"kid": self.key_id})

    def member_token(self, member: str, *, ttl_s: int = DEFAULT_TTL_S) -> str:
        """The token that the mobile app of `member` would hold."""
        return self.token(subject=f"member:{member}", scopes=MEMBER_SCOPES, member=member, ttl_s=ttl_s)
