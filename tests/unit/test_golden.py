"""Golden journals: what comes of recorded inputs is what came of them when they were recorded, byte for byte."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from deploy.shop.imitation import write_imitation
from tests.golden import drawn, replay
from tests.golden.histories import read
from tests.golden.rows import Journals, difference, kept, read_kept


def test_the_journals_that_were_kept_whole_are_as_they_were() -> None:
    """A third of the histories; `python -m tests.golden compare` plays all of them."""
    compared = drawn.compare(whole_only=True)
    assert compared.difference is None, compared.difference
    assert compared.histories > 100
    assert compared.rows == compared.whole > 5_000


@pytest.fixture(scope="module")
def journals() -> Journals:
    """Those of some history."""
    return drawn.play(read()[0])


def test_a_row_that_differs_is_shown_beside_what_was_recorded(journals: Journals) -> None:
    (member_id, rows), *_ = journals.items()
    changed = rows[1]._replace(record=rows[1].record[:-1] + b"\x91")
    words = difference(read_kept(kept(journals, whole=True)), {**journals, member_id: [rows[0], changed, *rows[2:]]})
    assert words is not None
    assert words.startswith(f"account {member_id}, row 2:")
    assert "record DIFFERS" in words
    assert "input_ DIFFERS" not in words


def test_of_a_row_whose_hash_alone_was_recorded_it_is_said_which_it_is(journals: Journals) -> None:
    (member_id, rows), *_ = journals.items()
    recorded = read_kept(kept(journals, whole=False))
    assert difference(recorded, journals) is None
    changed = rows[2]._replace(at=rows[2].at + 1)
    words = difference(recorded, {**journals, member_id: [*rows[:2], changed, *rows[3:]]})
    assert words is not None
    assert words.startswith(f"account {member_id}, row 3:")
    for missing, row in ((rows[:-1], len(rows)), ([*rows, rows[-1]], len(rows) + 1)):
        words = difference(recorded, {**journals, member_id: missing})
        assert words is not None
        assert words.startswith(f"account {member_id}, row {row}:")


def test_a_replay_is_played_again_as_it_was(tmp_path: Path) -> None:
    file, recording, journal = tmp_path / "shop.csv", tmp_path / "recording.gz", tmp_path / "journal.gz"
    write_imitation(file, seed=5, invoices=60)
    recorded = replay.record(file, recording, journal)
    assert recorded.rows > 200
    assert recorded.counts["commands"]
    assert recorded.counts["tiers"]
    assert replay.compare(file, recording, journal) == recorded
    stored = json.loads(gzip.decompress(recording.read_bytes()))
    member_id, account = max(stored["accounts"].items(), key=lambda item: item[1]["rows"])
    account["hashes"] = "0" * 16 + account["hashes"][16:]
    recording.write_bytes(gzip.compress(json.dumps(stored).encode()))
    journal.unlink()
    words = replay.compare(file, recording, journal).difference
    assert words is not None
    assert words.startswith(f"account {member_id}, row 1:")
