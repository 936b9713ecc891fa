"""A member's state depends on the inputs and their business times, never on when they arrive."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.kit.calendar import Micros
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    MemberInput,
    PreferencesPut,
    ProfileUpdated,
    apply_input,
)
from services.notifier.domain.member import CHANNELS, CLASSES, Member

TIMES = st.integers(1, 6).map(Micros)
VALUES = st.none() | st.sampled_from(["a", "b"])


def consent(at: Micros, *, granted: bool, channel: str = "sms", message_class: str = "promo") -> ConsentChanged:
    return ConsentChanged("m", at, channel, message_class, granted, actor="/shop", evidence=None)  # type: ignore[arg-type]


INPUTS: st.SearchStrategy[MemberInput] = st.one_of(
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


def member_after(inputs: list[MemberInput]) -> Member:
    member = Member()
    for input_ in inputs:
        apply_input(member, input_)
    return member


@given(st.lists(INPUTS, max_size=8), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_inputs_ends_in_the_same_member(
    inputs: list[MemberInput], random: object
) -> None:
    shuffled = [*inputs, *inputs]
    shuffle: Callable[[list[MemberInput]], None] = random.shuffle  # type: ignore[attr-defined]
    shuffle(shuffled)
    assert member_after(shuffled) == member_after(inputs)


@given(st.lists(INPUTS, max_size=8), TIMES)
def test_nothing_from_before_an_erasure_survives_it(inputs: list[MemberInput], at: Micros) -> None:
    member = member_after([*inputs, Erased("m", at)])
    assert all(value.at > at for value in member.profile.values())
    assert all(consent.at > at for consent in member.consents.values())
    assert all(device.at > at for device in member.devices.values())


def test_an_older_time_never_overwrites_a_newer_one_field_by_field() -> None:
    member = member_after(
        [
            ProfileUpdated("m", Micros(5), {"name": "Li Lei", "phone": "13800138000"}),
            ProfileUpdated("m", Micros(3), {"name": "Old", "email": "li@shop.example"}),
        ]
    )
    assert member.value("name") == "Li Lei"
    assert member.value("email") == "li@shop.example"


def test_absent_is_unknown_and_null_is_deleted() -> None:
    member = member_after(
        [
            ProfileUpdated("m", Micros(1), {"name": "Li Lei", "phone": "1"}),
            ProfileUpdated("m", Micros(2), {"phone": None}),
        ]
    )
    assert member.value("name") == "Li Lei"
    assert member.value("phone") is None


def test_a_member_who_joins_anew_after_an_erasure_is_known_again() -> None:
    inputs: list[MemberInput] = [
        ProfileUpdated("m", Micros(1), {"name": "A"}),
        Erased("m", Micros(2)),
        ProfileUpdated("m", Micros(3), {"name": "B"}),
    ]
    for order in permutations(inputs):
        member = member_after(list(order))
        assert not member.erased
        assert member.value("name") == "B"


def test_S2_a_promotion_by_sms_or_mail_needs_a_recorded_consent() -> None:
    member = Member()
    assert not member.allows("sms", "promo")
    assert not member.allows("email", "promo")
    assert member_after([consent(Micros(1), granted=True)]).allows("sms", "promo")


def test_S2_service_notice_and_promo_are_different_consents() -> None:
    member = member_after(
        [
            consent(Micros(1), granted=True, message_class="promo"),
            consent(Micros(1), granted=False, message_class="notice"),
        ]
    )
    assert member.allows("sms", "promo")
    assert not member.allows("sms", "notice")
    assert member.allows("sms", "service")
    assert member.allows("email", "notice")


def test_S2_a_withdrawal_stands_against_a_grant_of_the_same_instant() -> None:
    assert not member_after([consent(Micros(1), granted=True), consent(Micros(1), granted=False)]).allows(
        "sms", "promo"
    )
    assert not member_after([consent(Micros(1), granted=False), consent(Micros(1), granted=True)]).allows(
        "sms", "promo"
    )


def test_the_version_of_a_consent_is_the_instant_it_was_given_and_0_where_it_is_assumed() -> None:
    member = member_after([consent(Micros(7), granted=True)])
    assert member.consent_version("sms", "promo") == 7
    assert member.consent_version("sms", "service") == 0


def test_preferences_change_the_cells_they_name_and_are_journalled_with_their_actor() -> None:
    member = member_after([consent(Micros(1), granted=True)])
    put = PreferencesPut("m", Micros(2), "user-7", (("sms", "promo", False), ("inapp", "notice", True)), "zh-TW")
    changes = apply_input(member, put)
    assert [(change.actor, change.preference, change.value) for change in changes] == [
        ("user-7", "sms/promo", "withdrawn"),
        ("user-7", "inapp/notice", "granted"),
        ("user-7", "locale", "zh-TW"),
    ]
    assert apply_input(member, put) == []
    assert member.value("locale") == "zh-TW"


def test_every_channel_and_class_has_an_answer() -> None:
    member = Member()
    assert {(c, k): member.allows(c, k) for c in CHANNELS for k in CLASSES} == {
        (c, k): k != "promo" or c == "inapp" for c in CHANNELS for k in CLASSES
    }
