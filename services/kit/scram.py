"""The verifier that PostgreSQL keeps of a password (RFC 5803), so that the password itself is never sent to set it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

ITERATIONS: Final = 4096
"""As PostgreSQL's own default."""


def verifier(password: str) -> str:
    """A SCRAM-SHA-256 verifier of a password, with a salt of its own. ValueError unless it is printable ASCII, of which
    there is one spelling: other text would have to be normalized as the server does it."""
    if not password or not all(" " <= character <= "~" for character in password):
        raise ValueError("a password is one or more printable ASCII characters")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_base64(salt)}${_base64(stored)}:{_base64(server)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
