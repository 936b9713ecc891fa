"""The envelope of every event that leaves a service."""

from __future__ import annotations

from services.kit.cloudevent import structured


def test_the_envelopes_members_keep_their_order_for_repeats_must_be_the_same_bytes() -> None:
    event = structured(id="m:3:0", source="/loyalty/x", type="x.v1", subject="m", time="2026-03-01T00:00:00Z", data={})
    assert event == (
        b'{"specversion":"1.0","id":"m:3:0","source":"/loyalty/x","type":"x.v1","subject":"m",'
        b'"time":"2026-03-01T00:00:00Z","datacontenttype":"application/json","data":{}}'
    )
