"""Each rule that is built has a test that names it, and none that is not."""

from __future__ import annotations

import pytest

from schemas.program.built import NOT_BUILT
from tests.rules import RULES, listing, named_by_tests


def test_every_rule_that_is_built_is_named_by_a_test_and_no_other() -> None:
    named = named_by_tests()
    assert not named.keys() - RULES.keys(), "a test names a rule that there is not"
    print(*listing(), sep="\n")
    assert not [code for code, rule in RULES.items() if rule.is_tested and not named[code]], "built, without a test"
    assert not [code for code, rule in RULES.items() if not rule.is_tested and named[code]], "tested, and not built?"


@pytest.mark.parametrize("code", [code for code, rule in RULES.items() if rule.option])
def test_what_a_rule_lacks_a_program_cannot_ask_for(code: str) -> None:
    assert RULES[code].option in {row.path for row in NOT_BUILT}, "it is built: say so in the list of rules"
