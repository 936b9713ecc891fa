"""The Online Retail format: every line is accounted for once, what is sent back belongs to what was sold."""

from __future__ import annotations

import gzip
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest

from deploy.shop.imitation import HEADER, write_imitation
from deploy.shop.online_retail import LineClass, Refund, Shop, read_rows, read_shop, sort_lines

HEAD = ",".join(HEADER)


def shop_of(*lines: str) -> Shop:
    """The shop of a file with such lines: `invoice,sku,quantity,day,price,customer`, a day of June 2011."""
    rows = []
    for line in lines:
        invoice, sku, quantity, day, price, customer = line.split(",")
        rows.append(f"{invoice},{sku},ITEM,{quantity},2011-06-{int(day):02d} 10:00:00,{price},{customer},France")
    return sort_lines(read_rows([HEAD, *rows]), decimals=2)


def sent_back(refund: Refund) -> tuple[str | None, dict[int, tuple[int, int]]]:
    return refund.order, refund.lines


def test_each_line_falls_into_one_class() -> None:
    shop = shop_of(
        "1,A,6,1,2.55,17850.0",
        "2,A,6,1,2.55,",  # nobody's
        "C3,A,-2,2,2.55,17850.0",
        "C4,Z,-2,2,2.55,17850.0",  # never bought
        "C5,A,-9,3,2.55,17850.0",  # 4 are left of 6
        "C6,A,-1,3,2.55,",
        "A7,B,1,4,11062.06,",
        "A8,B,1,4,-11062.06,",
        "9,A,-5,4,0,",  # thrown away
        "10,A,5,4,0,17850.0",  # a present
        "11,A,1,4,0.001,17850.0",  # not worth a cent
        "C12,A,5,4,1,17850.0",  # sends back more than nothing: a correction
    )
    assert shop.classes == {
        LineClass.PURCHASE: 1,
        LineClass.GUEST: 2,
        LineClass.REFUND: 1,
        LineClass.REFUND_UNMATCHED: 1,
        LineClass.REFUND_IN_PART: 1,
        LineClass.BAD_DEBT: 2,
        LineClass.STOCK_CORRECTION: 2,
        LineClass.WITHOUT_PRICE: 2,
    }
    assert shop.lines == 12


def test_goods_sent_back_are_the_latest_bought_at_that_price() -> None:
    shop = shop_of("1,A,6,1,2.00,7.0", "2,A,6,2,2.00,7.0", "3,A,6,3,9.00,7.0", "C4,A,-8,4,2.00,7.0")
    assert [sent_back(refund) for refund in shop.refunds] == [("2", {1: (6, 1200)}), ("1", {1: (2, 400)})]


def test_goods_of_another_price_are_sent_back_when_there_are_no_others() -> None:
    shop = shop_of("1,A,6,1,2.00,7.0", "C4,A,-8,4,2.50,7.0")
    assert [sent_back(refund) for refund in shop.refunds] == [("1", {1: (6, 1500)}), (None, {1: (2, 500)})]


def test_what_is_sent_back_before_it_was_bought_waits_for_no_order() -> None:
    shop = shop_of("C1,A,-2,1,2.00,7.0", "2,A,6,2,2.00,7.0")
    assert [sent_back(refund) for refund in shop.refunds] == [(None, {1: (2, 400)})]


def test_goods_of_another_customer_are_not_sent_back() -> None:
    shop = shop_of("1,A,6,1,2.00,8.0", "C2,A,-2,2,2.00,7.0")
    assert [sent_back(refund) for refund in shop.refunds] == [(None, {1: (2, 400)})]


def test_an_item_twice_on_an_invoice_is_two_lines_and_is_sent_back_from_both() -> None:
    shop = shop_of("1,A,2,1,2.00,7.0", "1,A,3,1,2.00,7.0", "C2,A,-4,2,2.00,7.0")
    assert [line.line_id for line in shop.invoices[0].lines] == [1, 2]
    assert [sent_back(refund) for refund in shop.refunds] == [("1", {2: (3, 600), 1: (1, 200)})]


def test_two_lines_of_a_cancellation_that_meet_one_line_are_one_part_of_it() -> None:
    shop = shop_of("1,A,6,1,2.00,7.0", "C2,A,-1,2,2.00,7.0", "C2,A,-2,2,2.00,7.0")
    assert [sent_back(refund) for refund in shop.refunds] == [("1", {1: (3, 600)})]


def test_an_invoice_has_the_time_of_its_first_line() -> None:
    shop = sort_lines(
        read_rows(
            [
                HEAD,
                "1,A,ITEM,1,2011-06-01 10:00:00,1.00,7.0,France",
                "1,B,ITEM,1,2011-06-01 10:01:00,1.00,7.0,France",
            ]
        ),
        decimals=2,
    )
    assert [(invoice.at, len(invoice.lines)) for invoice in shop.invoices] == [
        (datetime.fromisoformat("2011-06-01 10:00"), 2)
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b,c"], "not the Online Retail format"),
        ([HEAD, "1,A,ITEM,one,2011-06-01 10:00:00,1.00,7.0,France"], "line 2"),
        ([HEAD, "1,A,ITEM,1,yesterday,1.00,7.0,France"], "line 2"),
        ([HEAD, "1,A,ITEM,1,2011-06-01 10:00:00,NaN,7.0,France"], "line 2"),
        ([HEAD, "1,A"], "line 2"),
    ],
)
def test_a_file_of_another_format_is_refused_by_line(lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_rows(lines))


@pytest.mark.parametrize("name", ["shop.csv", "shop.csv.gz"])
def test_a_shop_of_a_year_adds_up(tmp_path: Path, name: str) -> None:
    lines = write_imitation(tmp_path / name, seed=7, invoices=400)
    shop = read_shop(tmp_path / name, decimals=2)
    assert shop.lines == lines
    assert set(shop.classes) == set(LineClass), "the imitation has every kind of line"
    assert shop.classes[LineClass.PURCHASE] == sum(len(invoice.lines) for invoice in shop.invoices)

    sold = {(invoice.number, line.line_id): line.quantity for invoice in shop.invoices for line in invoice.lines}
    when = {invoice.number: (invoice.at, invoice.customer) for invoice in shop.invoices}
    back: defaultdict[tuple[str, int], int] = defaultdict(int)
    for refund in shop.refunds:
        if refund.order is not None:
            bought_at, customer = when[refund.order]
            assert (bought_at, customer) == (min(bought_at, refund.at), refund.customer)
            for line_id, (quantity, _) in refund.lines.items():
                back[refund.order, line_id] += quantity
    assert back
    assert all(0 < quantity <= sold[line] for line, quantity in back.items())


def test_the_imitation_is_repeatable(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_imitation(tmp_path / f"{name}.csv.gz", seed=3, invoices=50)
    one, two = (gzip.decompress((tmp_path / f"{name}.csv.gz").read_bytes()) for name in ("one", "two"))
    assert one == two
