"""Asking a service whether all of it works."""

from __future__ import annotations

import json
import urllib.error
import urllib.request


def readiness(url: str, token: str = "") -> tuple[bool, str]:
    """Whether the service at `url` answers and is well, and if not, what it says is wrong to a token with ops:read."""
    asked = urllib.request.Request(f"{url}/status", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=5):  # noqa: S310  # loopback http
            return True, ""
    except urllib.error.HTTPError as not_well:
        with not_well:
            return False, _reasons(not_well.read())
    except OSError as silent:
        return False, f"it does not answer ({silent})"


def _reasons(document: bytes) -> str:
    """What does not hold by the document of /status, each thing once though several workers say it."""
    try:
        workers = json.loads(document)["workers"].values()
        wrong = {
            f"{name}: {check['detail']}. {check['remedy']}".strip() if "detail" in check else name
            for checks in workers
            for name, check in checks.items()
            if not check["ok"]
        }
        return " · ".join(sorted(wrong))
    except (ValueError, KeyError, TypeError, AttributeError):
        return document[:200].decode(errors="replace")
