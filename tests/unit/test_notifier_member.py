"""What is known of a member depends on what was told and when it was true, never on when it arrived."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.notifier.addresses import e164, mail_address
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    PreferencesPut,
    ProfileUpdated,
    Telling,
    absorb,
)
from services.notifier.domain.member import CHANNELS, CLASSES, Member

TIMES = st.integers(1, 6)
VALUES = st.none() | st.sampled_from(["a", "b"])


def consent(at: int, *, granted: bool, channel: str = "sms", message_class: str = "promo") -> ConsentChanged:
    return ConsentChanged("m", at, channel, message_class, granted, actor="/shop", evidence=None)  # type: ignore[arg-type]


TELLINGS: st.SearchStrategy[Telling] = st.one_of(
    st.builds(
        ProfileUpdated,
        st.just("m"),
        TIMES,
        st.dictionaries(st.sampled_from(["name", "phone", "email"]), VALUES, max_size=3),
    ),
    st.builds(lambda at, granted: consent(at, granted=granted), TIMES, st.booleans()),
    st.builds(
        DeviceRegistered, st.just("m"), TIMES, st.just("d1"), st.sampled_from(["ios", "android"]), st.just("token")
    ),
    st.builds(Erased, st.just("m"), TIMES),
)


def told(tellings: list[Telling]) -> Member:
    member = Member()
    for telling in tellings:
        absorb(member, telling)
    return member


@given(st.lists(TELLINGS, max_size=8), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_tellings_ends_in_the_same_member(
    tellings: list[Telling], random: object
) -> None:
    shuffled = [*tellings, *tellings]
    shuffle: Callable[[list[Telling]], None] = random.shuffle  # type: ignore[attr-defined]
    shuffle(shuffled)
    assert told(shuffled) == told(tellings)


@given(st.lists(TELLINGS, max_size=8), TIMES)
def test_nothing_told_before_an_erasure_survives_it(tellings: list[Telling], at: int) -> None:
    member = told([*tellings, Erased("m", at)])
    assert all(value.at > at for value in member.profile.values())
    assert all(consent.at > at for consent in member.consents.values())
    assert all(device.at > at for device in member.devices.values())


def test_an_older_time_never_overwrites_a_newer_one_field_by_field() -> None:
    member = told(
        [
            ProfileUpdated("m", 5, {"name": "Li Lei", "phone": "13800138000"}),
            ProfileUpdated("m", 3, {"name": "Old", "email": "li@shop.example"}),
        ]
    )
    assert member.value("name") == "Li Lei"
    assert member.value("email") == "li@shop.example"


def test_absent_is_unknown_and_null_is_deleted() -> None:
    member = told([ProfileUpdated("m", 1, {"name": "Li Lei", "phone": "1"}), ProfileUpdated("m", 2, {"phone": None})])
    assert member.value("name") == "Li Lei"
    assert member.value("phone") is None


def test_a_member_who_joins_anew_after_an_erasure_is_known_again() -> None:
    tellings: list[Telling] = [
        ProfileUpdated("m", 1, {"name": "A"}),
        Erased("m", 2),
        ProfileUpdated("m", 3, {"name": "B"}),
    ]
    for order in permutations(tellings):
        member = told(list(order))
        assert not member.erased
        assert member.value("name") == "B"


def test_S2_a_promotion_by_sms_or_mail_needs_a_recorded_consent() -> None:
    member = Member()
    assert not member.allows("sms", "promo")
    assert not member.allows("email", "promo")
    assert told([consent(1, granted=True)]).allows("sms", "promo")


def test_S2_service_notice_and_promo_are_different_consents() -> None:
    member = told([consent(1, granted=True, message_class="promo"), consent(1, granted=False, message_class="notice")])
    assert member.allows("sms", "promo")
    assert not member.allows("sms", "notice")
    assert member.allows("sms", "service")
    assert member.allows("email", "notice")


def test_S2_a_withdrawal_stands_against_a_grant_of_the_same_instant() -> None:
    assert not told([consent(1, granted=True), consent(1, granted=False)]).allows("sms", "promo")
    assert not told([consent(1, granted=False), consent(1, granted=True)]).allows("sms", "promo")


def test_the_version_of_a_consent_is_the_instant_it_was_given_and_0_where_it_is_assumed() -> None:
    member = told([consent(7, granted=True)])
    assert member.consent_version("sms", "promo") == 7
    assert member.consent_version("sms", "service") == 0


def test_preferences_change_the_cells_they_name_and_are_journalled_with_their_actor() -> None:
    member = told([consent(1, granted=True)])
    put = PreferencesPut("m", 2, "user-7", (("sms", "promo", False), ("inapp", "notice", True)), "zh-TW")
    changes = absorb(member, put)
    assert [(change.actor, change.preference, change.value) for change in changes] == [
        ("user-7", "sms/promo", "withdrawn"),
        ("user-7", "inapp/notice", "granted"),
        ("user-7", "locale", "zh-TW"),
    ]
    assert absorb(member, put) == []
    assert member.value("locale") == "zh-TW"


def test_every_channel_and_class_has_an_answer() -> None:
    member = Member()
    assert {(c, k): member.allows(c, k) for c in CHANNELS for k in CLASSES} == {
        (c, k): k != "promo" or c == "inapp" for c in CHANNELS for k in CLASSES
    }


def test_telephone_numbers_are_kept_in_e164() -> None:
    assert e164("138 0013 8000", "CN") == "+8613800138000"
    assert e164("0912-345-678", "TW") == "+886912345678"
    assert e164("+44 20 7946 0958", "CN") == "+442079460958"
    assert e164("12", "CN") is None
    assert e164("no number", "CN") is None
    assert e164(None, "CN") is None


def test_a_mail_address_that_no_server_would_take_is_none() -> None:
    assert mail_address(" li@shop.example ") == "li@shop.example"
    assert mail_address("李雷@邮件.example") == "李雷@邮件.example"
    for broken in ("li", "li@shop", "a b@shop.example", "a@b@c.example", "li@shop.example\nBcc: x@y.example", ""):
        assert mail_address(broken) is None
    assert mail_address("a" * 64 + "@" + "b" * 190 + ".example") is None
