"""A program document is read as written, and refused with every problem, its line, its path and the way out."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.__main__ import main
from schemas.currencies import decimals_of
from schemas.generate.examples import program_examples
from schemas.generate.json_schema import program_schema
from schemas.program import NOT_BUILT, Problem, Program, ProgramRefused, check, content_hash, lint, load
from schemas.program.source import read_source
from services.kit.money import exponent

DEFAULT = Path(__file__).parent.parent.parent / "deploy" / "program.yaml"
TEXT = DEFAULT.read_text(encoding="utf-8")


FIRST_PURCHASE = """\
rule: first-purchase
    title: {zh-CN: 首次购物, zh-TW: 首次購物, en: First purchase}
    on: first_order
    points: 100"""
CAMPAIGN = '{from: 2026-06-08T00:00:00+08:00, to: 2026-06-09T00:00:00+08:00, multiplier: "2"}'

CAPPED_NOTHING = """\
rule: referral
    on: referral
    referrer: 0
    referred: 50
    min_spend: "0.001"
    cap: {per: month, referrals: 5}"""
NOBODY_GIVES = "transfers: {allowed: false, per_day: 100}"
ODD_LIMITS = "transfers: {allowed: true, minimum: 100, per_day: 50, per_month: 20}"


def changed(*changes: tuple[str, str], text: str = TEXT) -> str:
    """The default program with some text replaced."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def problems(text: str) -> list[Problem]:
    with pytest.raises(ProgramRefused) as refused:
        check(text)
    return refused.value.problems


def only_problem(text: str) -> Problem:
    (problem,) = problems(text)
    return problem


def line_of(text: str, part: str) -> int:
    """The line on which a text first stands."""
    return text[: text.index(part)].count("\n") + 1


def test_the_default_program_has_the_numbers_of_the_contract() -> None:
    document = load(TEXT).document()
    purchase, *others = document["earn"]
    assert purchase["bands"]["steps"] == [
        {"upto": "200", "exclusive": True, "rate": "1"},
        {"upto": "800", "exclusive": False, "rate": "1.5"},
        {"exclusive": False, "rate": "2"},
    ]
    assert purchase["tier_multiplier"] == {
        "none": "1", "regular": "1", "senior": "1.1", "vip": "1.2", "supreme": "1.5",
    }  # fmt: skip
    assert {rule["rule"]: rule.get("points") for rule in others} == {
        "first-purchase": 100, "sign-in": 5, "review": 20, "profile": 50, "favourite": 2, "game": None,
        "joining-gift": 20,
    }  # fmt: skip
    ladder = [(tier["tier"], tier["when"], tier["target_share"]) for tier in document["tiers"]["ladder"]]
    assert ladder == [
        ("regular", {"orders": 1}, "0.80"),
        ("senior", {"growth": "399"}, "0.15"),
        ("vip", {"growth": "688"}, "0.05"),
        ("supreme", {"growth": "888"}, "0.01"),
    ]


def test_the_programs_that_show_more_ways_of_earning_pass_the_lint_without_a_warning() -> None:
    shown = sorted((DEFAULT.parent / "programs").glob("*.yaml"))
    assert [path.name for path in shown] == ["tea-house.yaml"]
    for path in shown:
        assert not check(path.read_text(encoding="utf-8")).warnings, path.name


def test_the_default_program_as_written_fits_the_schema_that_editors_use() -> None:
    assert TEXT.startswith("# yaml-language-server: $schema=../schemas/generated/program.schema.json\n")
    Draft202012Validator(program_schema()).validate(read_source(TEXT).data)


def test_the_default_program_names_tiers_in_three_languages() -> None:
    for tier in load(TEXT).tiers.ladder:
        assert {"zh-CN", "zh-TW", "en"} <= set(tier.name)


def test_the_default_program_is_warned_that_its_shares_add_to_101_percent() -> None:
    (warning,) = check(TEXT).warnings
    assert (warning.line, warning.path) == (line_of(TEXT, "  ladder:"), "tiers.ladder")
    assert "101 %" in warning.message
    assert check(changed(('"0.80"', '"0.79"'))).warnings == ()


def test_a_tier_that_earns_less_than_a_lower_one_is_warned_about() -> None:
    warnings = check(changed(('vip: "1.2"', 'vip: "1"'))).warnings
    assert "vip earns less than senior" in [warning.message for warning in warnings]


def test_N2_a_multiplier_that_is_never_the_largest_is_warned_about() -> None:
    idle = CAMPAIGN.replace('multiplier: "2"', 'multiplier: "1"')
    to_campaign = ("on: first_order\n    points: 100", f"on: order\n    campaign: {idle}")
    text = changed(("stacking: multiply", "stacking: max"), to_campaign)
    (warning,) = [each for each in check(text).warnings if each.path == "earn[1].campaign.multiplier"]
    assert (warning.line, warning.fix) == (line_of(text, "campaign: {"), "use more than 1")
    assert [each.path for each in check(changed(to_campaign)).warnings] == ["tiers.ladder"]


def test_D4_days_for_sale_without_a_streak_are_warned_about() -> None:
    text = changed(("streak: {7: 30}", "make_up: {cost: 10, within_days: 3}"))
    (warning,) = [each for each in check(text).warnings if each.path == "earn[2].make_up"]
    assert (warning.line, warning.message) == (
        line_of(text, "make_up"),
        "without a streak a missed day is worth nothing",
    )


def test_a_published_document_that_spells_out_its_defaults_is_taken_again() -> None:
    text = changed(("on: first_order\n    points: 100", f"on: order\n    campaign: {CAMPAIGN}"))
    document = json.dumps(load(text).document())
    assert '"include": {"categories": [], "skus": []}' in document
    assert load(document) == load(text)


@pytest.mark.parametrize(
    ("offset", "field", "message", "fix"),
    [
        ("points_per_unit: 1000, step: 1", "step", "no whole number of the smallest CNY amount", "a multiple of 10"),
        ("points_per_unit: 100, step: 100, minimum: 150", "minimum", "the least that can be used is 200", "use 200"),
    ],
)
def test_a_cash_offset_in_odd_steps_is_warned_about(offset: str, field: str, message: str, fix: str) -> None:
    (written,) = re.findall(r"cash_offset: (\{.*\}\})", TEXT)
    text = changed((written, f"{{{offset}}}"))
    (warning,) = [each for each in check(text).warnings if each.path == f"redeem.cash_offset.{field}"]
    assert warning.line == line_of(text, "cash_offset:")
    assert message in warning.message
    assert fix in warning.fix
    even = text.replace(offset, "points_per_unit: 100, step: 100, minimum: 200")
    assert [each.path for each in check(even).warnings] == ["tiers.ladder"]


def test_a_document_reads_back_as_the_same_program_under_the_same_hash() -> None:
    program = load(TEXT)
    document = json.loads(json.dumps(program.document()))
    assert Program.from_document(document) == program
    assert content_hash(Program.from_document(document).document()) == content_hash(program.document())
    assert load(json.dumps(document)) == program


def test_documents_of_the_past_keep_their_hash_when_there_is_more_to_say() -> None:
    """A new option is optional and has no default in the model: where nothing is said of it, nothing is hashed."""
    hash_ = "sha256:8e88eb9df425f50820422c64625c2c6c3a33f13555b829b99ba97e4415cb8244"
    assert content_hash(load(TEXT).document()) == hash_


def test_the_hash_goes_by_content_not_by_spelling() -> None:
    spelled = changed(('rate: "1.5"', "rate: 1.5"), ("# Change it", "# Do change it"), ("skus: []", "skus: [] "))
    assert content_hash(load(spelled).document()) == content_hash(load(TEXT).document())
    other = changed(("points: 100", "points: 101"))
    assert content_hash(load(other).document()) != content_hash(load(TEXT).document())
    assert content_hash({"b": "é", "a": 1}) == content_hash({"a": 1, "b": "é"})
    assert content_hash({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_yaml_reads_nothing_as_a_float_a_time_or_a_yes() -> None:
    source = read_source("on: off\nrate: 1.10\nat: 2026-01-01T00:00:00+08:00\nn: 12:30\nk: 0x10\nt: true\ni: 7\n")
    assert source.data == {
        "on": "off", "rate": "1.10", "at": "2026-01-01T00:00:00+08:00", "n": "12:30", "k": "0x10", "t": True, "i": 7,
    }  # fmt: skip


def test_a_version_and_a_rate_may_go_without_quotes() -> None:
    program = load(changed(('version: "2026.1"', "version: 2026.10"), ('rate: "1.5"', "rate: 1.50")))
    assert program.version == "2026.10"
    assert program.document()["earn"][0]["bands"]["steps"][1]["rate"] == "1.50"


def test_everything_the_contract_names_can_be_said_and_what_is_not_built_is_refused_by_name() -> None:
    text = program_examples()["everything.yaml"]
    source = read_source(text)
    Program.model_validate(source.data)
    Draft202012Validator(program_schema()).validate(source.data)
    found = problems(text)
    assert all("is not built yet in this release" in problem.message for problem in found)
    named = {problem.message.split("`")[1].partition(":")[0] for problem in found}
    assert named == {row.path.replace("[]", "").replace(".**", "") for row in NOT_BUILT}


@pytest.mark.parametrize(
    ("old", "new", "path", "message", "fix"),
    [
        ("kind: open", "kind: restricted", "membership.kind", "`membership.kind: restricted`", "use `open`"),
        (
            "on: first_order\n    points: 100",
            f"on: order\n    campaign: {CAMPAIGN[:-1]}, segment: top}}",
            "earn[1].campaign.segment",
            "`earn.campaign.segment: top` is not built",
            "leave it out",
        ),
        ("mode: upgrade_only", "mode: upgrade_downgrade", "tiers.mode", "`tiers.mode: upgr", "upgrade_only"),
        ("after_days: 0", "after_days: 7", "tiers.growth.after_days", "after_days: 7` is not built", "use 0"),
        ("touchpoint: joined", "touchpoint: parcel", "touchpoints[0].touchpoint", "parcel` is not", "joined"),
    ],
)
def test_what_is_not_built_is_refused_with_its_line_and_the_way_out(
    old: str, new: str, path: str, message: str, fix: str
) -> None:
    text = changed((old, new))
    problem = only_problem(text)
    assert problem.path == path
    assert line_of(text, new) <= problem.line <= line_of(text, new) + new.count("\n")
    assert message in problem.message
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ('rate: "1.5"', 'rate: "0.99"', "earn[0].bands.steps[1].rate", "earns less than one just below"),
        ('rate: "1.5"', 'rate: "-1"', "earn[0].bands.steps[1].rate", "is not written as expected"),
        ('upto: "800"', 'upto: "150"', "earn[0].bands.steps[1].upto", "above the one before"),
        ('upto: "800"', 'upto: "800.005"', "earn[0].bands.steps[1].upto", "CNY has 2 decimals"),
        ('{upto: "800", rate', "{rate", "earn[0].bands.steps[1]", "only the last step"),
        ('- {rate: "2"}', '- {upto: "900", rate: "2"}', "earn[0].bands.steps[2].upto", "nothing is said"),
        ("    bands:\n", '    rate: "1"\n    bands:\n', "earn[0]", "by `rate`, by `bands` or by `each_full`"),
        ("    bands:\n", '    each_full: "2.50"\n    bands:\n', "earn[0]", "says for which amount"),
        ("    bands:\n", "    points: 5\n    bands:\n", "earn[0]", "`points` how many it earns"),
        ("    bands:\n", '    each_full: "0"\n    bands:\n', "earn[0].each_full", "nothing is full of amounts of 0"),
        ("    bands:\n", '    each_full: "2.505"\n    bands:\n', "earn[0].each_full", "CNY has 2 decimals"),
        ('vip: "1.2"', 'vp: "1.2"', "earn[0].tier_multiplier.vp", "the tier `vp` is not defined"),
        ('vip: "1.2"', 'vip: "-0.1"', "earn[0].tier_multiplier.vip", "is not written as expected"),
        ("streak: {7: 30}", "streak: {2: 10, 7: 30}", "earn[2].streak", "would take points: 10 + 10"),
        (
            "streak: {7: 30}",
            "streak: {7: 30}\n    make_up: {cost: 10, within_days: 0}",
            "earn[2].make_up.within_days",
            "none could",
        ),
        ("rule: review", "rule: purchase", "earn[3].rule", "the rule `purchase` is defined twice"),
        (
            "on: first_order\n    points: 100",
            f"on: order\n    campaign: {CAMPAIGN.replace('06-09', '06-08')}",
            "earn[1].campaign.to",
            "ends before it begins",
        ),
        (
            "on: first_order\n    points: 100",
            "on: order\n    campaign: " + CAMPAIGN.replace('"2"', '"0.9", budget: 1000'),
            "earn[1].campaign.budget",
            "times 0.9 takes points",
        ),
        (
            FIRST_PURCHASE,
            f"rule: {'m' * 39}\n    on: order\n    campaign: {CAMPAIGN[:-1]}, budget: 1000}}",
            "earn[1].rule",
            "has at most 38 characters",
        ),
        (
            "  - rule: profile\n",
            "  - {rule: more, on: review, points: 1}\n  - rule: profile\n",
            "earn[4].on",
            "`review` says",
        ),
        ("on: review", "on: reviews", "earn[3].on", "is none of order, first_order"),
        ("{activity: game}", "{activity: favourite}", "earn[6].on", "`favourite` says already"),
        ('points_per_unit: "1" ', "points: 1\n    points_per_unit: 2", "earn[6]", "`points` or `points_per"),
        ('growth: "688"', 'growth: "398"', "tiers.ladder[2].when", "asks for less `growth`"),
        ('growth: "688"', 'growth: "399"', "tiers.ladder[2].when", "who reaches `senior` is here at once"),
        ('{growth: "688"}', '{growth: "688", orders: 2}', "tiers.ladder[2].when", "says one thing"),
        ('{growth: "688"}', "{any: []}", "tiers.ladder[2].when.any", "joins no conditions"),
        ('growth: "688"', 'growth: "688.001"', "tiers.ladder[2].when.growth", "CNY has 2 decimals"),
        ("tier: vip", "tier: none", "tiers.ladder[2].tier", "`none` means to have no tier"),
        ("months: 12\n", "\n", "points.expiry", "needs to know how long"),
        ("kind: rolling ", "kind: none ", "points.expiry.months", "never expire"),
        ("kind: rolling ", "kind: fixed_dates ", "points.expiry", "needs its dates"),
        ("kind: rolling ", "kind: fixed_dates\n    dates: [12-31]", "points.expiry.months", "by its dates alone"),
        ("    months: 12\n", "    months: 12\n    dates: [12-31]\n", "points.expiry.dates", "by `months` alone"),
        ("months: 12\n", "dates: [06-31]\n", "points.expiry.dates[0]", "no year has a 06-31"),
        ("months: 12\n", "dates: [13-01]\n", "points.expiry.dates[0]", "no year has a 13-01"),
        ("months: 12\n", "dates: [06-30, 12-31, 06-30]\n", "points.expiry.dates[2]", "given twice"),
        ("points: 100", "points: 100\n    pionts: 5", "earn[1].pionts", "is no field of this part"),
        ("on: first_order\n    points: 100", "on: first_order", "earn[1].points", "is missing"),
        ("points: 100", 'points: "100"', "earn[1].points", "valid integer"),
        ("currency: CNY", "currency: CNY\ncurrency: USD", "currency", "`currency` is given twice"),
        ("\ntiers:\n", f"\n{NOBODY_GIVES}\ntiers:\n", "transfers.per_day", "may not give points away at all"),
        (
            "\ntiers:\n",
            f"\n{ODD_LIMITS}\ntiers:\n",
            "transfers.minimum",
            "`minimum` is above `per_day`: 100 against 50",
        ),
        (
            "\ntiers:\n",
            f"\n{ODD_LIMITS}\ntiers:\n",
            "transfers.per_day",
            "`per_day` is above `per_month`: 50 against 20",
        ),
        ("    points: 100", '    points: 100\n    min_spend: "0.001"', "earn[1].min_spend", "CNY has 2 decimals"),
        (FIRST_PURCHASE, CAPPED_NOTHING, "earn[1].cap", "it caps what the referrer gets, and that is nothing"),
        (FIRST_PURCHASE, CAPPED_NOTHING, "earn[1].min_spend", "CNY has 2 decimals"),
        ("timezone: Asia/Shanghai", "timezone: Asia/Peking", "timezone", "no name of the tz database"),
        ("T00:00:00+08:00", "T00:00:00", "effective_from", "no time with offset"),
        ("says: [points_earned, ", "says: [gossip, ", "touchpoints[1].says[0]", "nothing is known to say"),
        ("not_after: 7d", "not_after: 7 days", "touchpoints[0].not_after", "is not written as expected"),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_path(old: str, new: str, path: str, message: str) -> None:
    text = changed((old, new))
    found = [problem for problem in problems(text) if problem.path == path]
    assert found, problems(text)
    assert message in found[0].message
    # What is missing or does not add up is named where the part around it begins, some lines above.
    assert -1 <= line_of(TEXT, old) + new.count("\n") - found[0].line <= 10


def test_a_program_without_a_rule_for_orders_is_refused() -> None:
    start, end = TEXT.index("  - rule: purchase"), TEXT.index("  - rule: first-purchase")
    problem = only_problem(TEXT[:start] + TEXT[end:])
    assert (problem.path, problem.line) == ("earn", line_of(TEXT, "earn:"))
    assert "no rule says what an order earns" in problem.message


def test_all_problems_come_at_once_in_the_order_of_their_lines() -> None:
    text = changed(
        ("kind: open", "kind: restricted"),
        ('vip: "1.2"', 'vp: "1.2"'),
        ("mode: upgrade_only", "mode: upgrade_downgrade"),
    )
    found = problems(text)
    assert [problem.path for problem in found] == [
        "membership.kind", "earn[0].tier_multiplier.vp", "tiers.mode",
    ]  # fmt: skip
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert str(found[0]) == (
        f"line {found[0].line}: membership.kind: `membership.kind: restricted` is not built yet in this release; "
        "use `open`"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a program is a mapping"),
        ("- a", "a program is a mapping"),
        ("a: [", "is no YAML"),
        ("a: b: c", "is no YAML"),
        ("a: \t- x", "is no YAML"),
        ("a: *b", "is no YAML"),
        ("x" * 1_000_001, "more than 1,000,000 characters"),
        ("a: " + "[" * 2000, "is no YAML"),
        ("a: &x [1]\nb: *x", "aliases are not read"),
        ("a: !!python/object:os.system x", "the tag"),
        ("a: !!float 1", "the tag"),
        ("? [1, 2]\n: b", "a field's name is text"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str, message: str) -> None:
    assert any(message in problem.message for problem in problems(text))


def test_the_decimals_of_currencies_are_those_the_services_compute_with() -> None:
    codes = ("AED", "BHD", "BIF", "CLF", "CLP", "CNY", "EUR", "HKD", "IQD", "JOD", "JPY", "KRW", "KWD", "OMR", "TND")
    more = ("TWD", "USD", "UYI", "UYW", "VND", "VUV", "XAF", "XOF", "XPF", "BHD", "GNF", "ISK", "KMF", "LYD", "PYG")
    assert [decimals_of(code) for code in codes + more] == [exponent(code) for code in codes + more]


def test_the_command_prints_problems_and_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(DEFAULT)]) == 0
    assert f"{DEFAULT}: warning: line " in capsys.readouterr().err
    bad = tmp_path / "bad.yaml"
    bad.write_text(changed(("kind: open", "kind: restricted")), encoding="utf-8")
    assert main(["lint", str(DEFAULT), str(bad)]) == 1
    assert "membership.kind: restricted" in capsys.readouterr().err


SMALL = load(program_examples()["fixed-rate.yaml"]).document()


def bands_program(steps: list[dict[str, Any]], min_spend: int) -> Program:
    """A program in yen with these bands: its smallest amount is 1."""
    rule = {"rule": "purchase", "on": "order", "min_spend": str(min_spend), "bands": {"mode": "whole", "steps": steps}}
    return Program.from_document({**SMALL, "currency": "JPY", "earn": [rule]})


@st.composite
def bands(draw: st.DrawFn) -> list[dict[str, Any]]:
    edges = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=3)))
    rates = draw(st.lists(st.sampled_from(["0", "0.9", "1", "1.05", "1.5", "2"]), min_size=4, max_size=4))
    exclusive = draw(st.booleans())
    steps: list[dict[str, Any]] = [
        {"upto": str(edge), "exclusive": exclusive, "rate": rate} for edge, rate in zip(edges, rates, strict=False)
    ]
    return [*steps, {"rate": rates[len(edges)]}]


@given(bands(), st.integers(0, 6))
@settings(max_examples=300, deadline=None)
def test_N5_a_program_is_refused_exactly_if_an_order_that_costs_more_earns_less(
    steps: list[dict[str, Any]], min_spend: int
) -> None:
    def earned(amount: int) -> Fraction:
        if amount < min_spend:
            return Fraction(0)
        for step in steps:
            edge = int(step.get("upto", 10**9))
            if amount < edge or (amount == edge and not step.get("exclusive", False)):
                return amount * Fraction(step["rate"])
        raise AssertionError("no step")

    falls = any(more < less for less, more in pairwise(earned(amount) for amount in range(20)))
    findings = lint.errors(bands_program(steps, min_spend))
    assert any(finding.path[-1] == "rate" for finding in findings) == falls


@pytest.mark.parametrize(
    ("streak", "passes"),
    [
        ({7: 30}, True),
        ({3: 10, 7: 30}, True),
        ({2: 10, 7: 30}, False),
        ({1: 5}, True),
        ({1: 5, 2: 5}, True),
        ({1: 10, 30: 1}, False),
        ({5: 1, 6: 100}, True),
        ({}, True),
    ],
)
def test_D5_a_streak_in_which_a_late_day_could_take_points_is_refused(streak: dict[int, int], passes: bool) -> None:
    text = changed(("streak: {7: 30}", f"streak: {streak}"))
    if passes:
        assert load(text)
    else:
        assert only_problem(text).path == "earn[2].streak"
