"""The reference of a reader in what people and banks make of it."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend import users
from backend.deposits.reference import public_ids

ANN, BEA = "0a1b2c3d4e5f", "zyxwvtsrqpnm"
REFERENCE = users.deposit_reference(ANN)
IDS = st.text(users.ALPHABET, min_size=12, max_size=12)


def found(*texts):
    return public_ids(texts)[0]


@pytest.mark.parametrize(
    "text",
    [
        REFERENCE,
        REFERENCE.lower(),
        f"for the wallet {REFERENCE}, thanks",
        f"{REFERENCE[:4]} {REFERENCE[4:8]} {REFERENCE[8:12]} {REFERENCE[12:]}",
        "-".join(REFERENCE),
        f"{REFERENCE[:7]}\r\n{REFERENCE[7:]}",
        f"/REMI/USTD//{REFERENCE}/",
        f"SVWZ+{REFERENCE}ABWA+Ann",
        f"RF{REFERENCE}{REFERENCE}",
        "".join(chr(ord(letter) + 0xFEE0) for letter in REFERENCE),
        f"{REFERENCE[:6]}\u00a0\u200b{REFERENCE[6:]}",
    ],
)
def test_a_reference_is_found_however_it_is_written(text):
    assert found(text) == {ANN}


def test_a_reference_is_found_in_every_text_and_several_are_all_found():
    assert found("hello", "", REFERENCE) == {ANN}
    assert found(REFERENCE, f"also {users.deposit_reference(BEA)}") == {ANN, BEA}
    assert found(REFERENCE + users.deposit_reference(BEA)) == {ANN, BEA}


def test_what_one_text_ends_with_and_another_begins_with_is_no_reference():
    assert public_ids([REFERENCE[:9], REFERENCE[9:]]) == (set(), False)


@given(IDS)
@example("0o1i1l".translate(str.maketrans("oil", "011")) * 2)
def test_letters_that_look_like_digits_are_read_as_those(public_id):
    reference = users.deposit_reference(public_id)
    for digit, letters in (("0", "Oo"), ("1", "IiLl")):
        for letter in letters:
            assert found(reference.replace(digit, letter)) == {public_id}


@given(IDS, st.integers(0, 15), st.sampled_from(string.ascii_uppercase + string.digits))
def test_one_wrong_letter_names_nobody_else(public_id, place, letter):
    reference = users.deposit_reference(public_id)
    mistyped = reference[:place] + letter + reference[place + 1 :]
    others = found(mistyped, f"x{mistyped}x") - {public_id}
    # A letter counts as two digits and a digit as one, so a change from one to the other can fit by chance.
    assert not others or reference[place].isdigit() != (letter in string.digits + "OIL")


@given(IDS, st.integers(0, 14))
def test_two_letters_that_changed_places_name_nobody_else(public_id, place):
    reference = users.deposit_reference(public_id)
    swapped = reference[:place] + reference[place + 1] + reference[place] + reference[place + 2 :]
    others = found(swapped) - {public_id}
    assert not others or reference[place].isdigit() != reference[place + 1].isdigit() or place < 4


@given(st.text(max_size=60))
def test_any_text_is_read(text):
    assert isinstance(public_ids([text, text])[1], bool)


def test_a_mistyped_reference_is_told_from_none():
    wrong = REFERENCE[:-1] + ("0" if REFERENCE[-1] != "0" else "2")
    assert public_ids([wrong]) == (set(), True)
    assert public_ids(["RF", "for the roof 12"]) == (set(), False)
