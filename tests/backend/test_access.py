"""How people and their browsers get in, and how nobody else does."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend import access, users
from backend.access import Device, LinkSpent, Pairing, PairingOver, PairingPending, SignInLink, Unauthorized, WebSession
from backend.errors import InvalidRequest, NotFound
from backend.users import BadAddress
from tests.backend.at_once import at_once

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
VERIFIER = "a verifier that only this browser knows"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture
def ann(sessions):
    with sessions.begin() as session:
        return users.add(session, "ann@example.org", now=NOON, name="Ann")


# Sign-in by mail ------------------------------------------------------------------------------------------------------


def test_a_link_signs_in_once(session, ann):
    token = access.new_link(session, " Ann@Example.org", now=NOON, next_path="/sites")
    user, path = access.use_link(session, token, now=NOON + MINUTE)

    assert (user.id, path) == (ann.id, "/sites")
    with pytest.raises(LinkSpent):
        access.use_link(session, token, now=NOON + MINUTE)


def test_a_link_makes_a_user_of_somebody_new_only_when_it_is_used(session):
    token = access.new_link(session, "bea@example.org", now=NOON)
    assert session.scalar(sa.select(sa.func.count()).select_from(users.User)) == 0
    assert access.use_link(session, token, now=NOON)[0].email == "bea@example.org"


def test_only_the_newest_link_works(session, ann):
    older, newer = (access.new_link(session, "ann@example.org", now=NOON + n * MINUTE) for n in range(2))
    with pytest.raises(LinkSpent):
        access.use_link(session, older, now=NOON + 2 * MINUTE)
    assert access.use_link(session, newer, now=NOON + 2 * MINUTE)[0].id == ann.id


def test_a_link_works_for_a_quarter_of_an_hour(session, ann):
    token = access.new_link(session, "ann@example.org", now=NOON)
    with pytest.raises(LinkSpent):
        access.use_link(session, token, now=NOON + 15 * MINUTE)
    assert access.use_link(session, token, now=NOON + 15 * MINUTE - timedelta(seconds=1))[0].id == ann.id


@pytest.mark.parametrize("token", ["", "made up", "\0", "\ud800", "x" * 10_000])
def test_a_made_up_link_signs_nobody_in(session, ann, token):
    access.new_link(session, "ann@example.org", now=NOON)
    with pytest.raises(LinkSpent):
        access.use_link(session, token, now=NOON)


def test_a_link_used_twice_at_once_works_once(sessions, ann):
    with sessions.begin() as session:
        token = access.new_link(session, "ann@example.org", now=NOON)

    def use():
        with sessions.begin() as session:
            return access.use_link(session, token, now=NOON)[0].id

    results = at_once(use, use, use)
    assert results.count(ann.id) == 1
    assert sum(isinstance(result, LinkSpent) for result in results) == 2


@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example.net/", "//evil.example.net", "/\\evil.example.net", "\\\\evil.example.net", "evil"),
        *(
            "javascript:alert(1)",
            "/\t/evil.example.net",
            "/\n/evil.example.net",
            "",
            " /x",
            "/" + "x" * 2400,
            "/\ud800",
        ),
    ],
)
def test_a_link_never_leads_elsewhere(session, ann, path):
    token = access.new_link(session, "ann@example.org", now=NOON, next_path=path)
    assert access.use_link(session, token, now=NOON)[1] == "/month"


def test_a_link_is_sent_to_addresses_only(session):
    with pytest.raises(BadAddress):
        access.new_link(session, "ann", now=NOON)


# Web sessions ---------------------------------------------------------------------------------------------------------


def test_a_cookie_says_who_it_is_until_they_sign_out(session, ann):
    secret, other = access.sign_in(session, ann, now=NOON), access.sign_in(session, ann, now=NOON)
    assert access.signed_in(session, secret, now=NOON)[0].id == ann.id

    access.sign_out(session, secret)
    assert access.signed_in(session, secret, now=NOON) is None
    assert access.signed_in(session, other, now=NOON)[0].id == ann.id


def test_signing_out_everywhere_ends_all_of_ones_own_sessions_but_no_device(session, ann):
    bea = users.add(session, "bea@example.org", now=NOON)
    secrets = [access.sign_in(session, user, now=NOON) for user in (ann, ann, bea)]
    token, _ = access.new_device(session, ann, "Firefox", now=NOON)

    access.sign_out_everywhere(session, ann)

    assert [bool(access.signed_in(session, secret, now=NOON)) for secret in secrets] == [False, False, True]
    assert access.device_of(session, token, now=NOON)[1].id == ann.id


def test_a_session_ends_after_ninety_days_and_is_fresh_for_ten_minutes(session, ann):
    secret = access.sign_in(session, ann, now=NOON)
    assert access.signed_in(session, secret, now=NOON + 90 * DAY) is None

    _, web_session = access.signed_in(session, secret, now=NOON + 89 * DAY)
    assert access.is_fresh(web_session, now=NOON + 9 * MINUTE)
    assert not access.is_fresh(web_session, now=NOON + 10 * MINUTE)


@pytest.mark.parametrize("secret", [None, "", "made up", "\0"])
def test_a_made_up_cookie_is_nobody(session, ann, secret):
    access.sign_in(session, ann, now=NOON)
    assert access.signed_in(session, secret, now=NOON) is None


def test_no_secret_is_stored_as_it_was_given_out(session, ann):
    given = [access.new_link(session, "ann@example.org", now=NOON), access.sign_in(session, ann, now=NOON)]
    given.append(access.new_device(session, ann, "Firefox", now=NOON)[0])
    session.flush()

    stored = [
        session.scalars(sa.select(c)).one() for c in (SignInLink.token_hash, WebSession.id_hash, Device.token_hash)
    ]
    assert stored == [hashlib.sha256(secret.encode()).digest() for secret in given]


# Pairing --------------------------------------------------------------------------------------------------------------


def pair(session, challenge=CHALLENGE):
    return access.start_pairing(session, challenge, "Firefox on Linux", now=NOON)


@pytest.mark.parametrize(
    "challenge", [CHALLENGE, hashlib.sha256(VERIFIER.encode()).hexdigest()], ids=["base64url", "hex"]
)
def test_typing_the_code_connects_the_browser_that_shows_it(session, ann, challenge):
    pairing = pair(session, challenge)
    assert access.try_code(session, pairing.id, pairing.code, ann, now=NOON + MINUTE)

    token, device = access.redeem(session, pairing.id, VERIFIER, now=NOON + 2 * MINUTE)

    assert token.startswith("flt_")
    assert (device.name, device.user_id) == ("Firefox on Linux", ann.id)
    assert access.device_of(session, token, now=NOON + 2 * MINUTE)[1].id == ann.id


def test_a_code_forgives_what_people_misread(session, ann):
    pairing = pair(session)
    pairing.code = "01ab1z"
    session.flush()
    for typed in ("O1AB1Z", "0iab1z", "o-LAB-Iz", " 01a b1z ", "01AB1Z"):
        assert access.try_code(session, pairing.id, typed, ann, now=NOON), typed
        pairing.user_id = None
        session.flush()


@pytest.mark.parametrize("typed", ["", "000000x", "\u06f01ab1z", "\ud800", "\0", "z" * 10_000])
def test_a_wrong_code_connects_nothing(session, ann, typed):
    pairing = pair(session)
    assert not access.try_code(session, pairing.id, typed, ann, now=NOON)
    with pytest.raises(PairingPending):
        access.redeem(session, pairing.id, VERIFIER, now=NOON)


def test_five_wrong_codes_end_it_even_for_the_right_one(session, ann):
    pairing = pair(session)
    tries = [access.try_code(session, pairing.id, "wrong", ann, now=NOON) for _ in range(5)]
    assert tries == [False] * 5
    with pytest.raises(PairingOver):
        access.try_code(session, pairing.id, pairing.code, ann, now=NOON)
    with pytest.raises(PairingOver):
        access.redeem(session, pairing.id, VERIFIER, now=NOON)


def test_guessing_from_many_places_at_once_gets_no_more_tries(sessions, ann):
    with sessions.begin() as session:
        pairing_id = pair(session).id

    def guess():
        with sessions.begin() as session:
            return access.try_code(session, pairing_id, "wrong", ann, now=NOON)

    results = at_once(*[guess] * 10)
    assert results.count(False) == 5
    assert sum(isinstance(result, PairingOver) for result in results) == 5


def test_a_browser_that_asks_too_early_is_told_to_wait(session):
    pairing = pair(session)
    with pytest.raises(PairingPending):
        access.redeem(session, pairing.id, VERIFIER, now=NOON)


def test_only_the_browser_that_started_it_gets_the_token(session, ann):
    pairing = pair(session)
    access.try_code(session, pairing.id, pairing.code, ann, now=NOON)
    with pytest.raises(PairingOver):
        access.redeem(session, pairing.id, "another verifier", now=NOON)
    assert access.redeem(session, pairing.id, VERIFIER, now=NOON)[0]


def test_a_code_is_good_for_ten_minutes(session, ann):
    pairing = pair(session)
    with pytest.raises(PairingOver):
        access.try_code(session, pairing.id, pairing.code, ann, now=NOON + 10 * MINUTE)
    assert access.try_code(session, pairing.id, pairing.code, ann, now=NOON + 9 * MINUTE)
    with pytest.raises(PairingOver):
        access.redeem(session, pairing.id, VERIFIER, now=NOON + 10 * MINUTE)


def test_a_token_is_given_out_once_even_when_asked_for_twice_at_once(sessions, ann):
    with sessions.begin() as session:
        pairing = pair(session)
        access.try_code(session, pairing.id, pairing.code, ann, now=NOON)

    def redeem():
        with sessions.begin() as session:
            return access.redeem(session, pairing.id, VERIFIER, now=NOON)[0]

    results = at_once(redeem, redeem, redeem)
    assert sum(isinstance(result, PairingOver) for result in results) == 2
    with sessions() as session:
        assert len(access.devices(session, ann)) == 1


def test_a_code_that_connected_somebody_connects_nobody_else(session, ann):
    bea = users.add(session, "bea@example.org", now=NOON)
    pairing = pair(session)
    access.try_code(session, pairing.id, pairing.code, ann, now=NOON)
    with pytest.raises(PairingOver):
        access.try_code(session, pairing.id, pairing.code, bea, now=NOON)
    assert access.redeem(session, pairing.id, VERIFIER, now=NOON)[1].user_id == ann.id


@pytest.mark.parametrize("pairing_id", ["", "unknown", "x" * 500, "\0"])
def test_an_unknown_pairing_is_over(session, ann, pairing_id):
    with pytest.raises(PairingOver):
        access.redeem(session, pairing_id, VERIFIER, now=NOON)
    with pytest.raises(PairingOver):
        access.try_code(session, pairing_id, "000000", ann, now=NOON)


@pytest.mark.parametrize(
    "challenge", ["", "short", "g" * 64, "a" * 42, "a" * 44, "ab " * 21 + "a", "\u00e9" * 43, "\u00e9" * 64, "\0" * 43]
)
def test_what_is_no_sha_256_starts_no_pairing(session, challenge):
    with pytest.raises(InvalidRequest, match="SHA-256"):
        pair(session, challenge)


def test_pairings_of_yesterday_are_swept_up(session):
    pair(session)
    access.start_pairing(session, CHALLENGE, "\u202e\0", now=NOON + DAY + MINUTE)
    assert session.scalars(sa.select(Pairing.device_name)).all() == ["Browser"]


# Devices --------------------------------------------------------------------------------------------------------------


def test_a_disconnected_browser_is_out_at_once_and_the_others_stay(session, ann):
    (lost, lost_device), (kept, kept_device) = (access.new_device(session, ann, name, now=NOON) for name in ("A", "B"))
    access.disconnect(session, ann, lost_device.id, now=NOON)
    access.disconnect(session, ann, lost_device.id, now=NOON + DAY)

    with pytest.raises(Unauthorized):
        access.device_of(session, lost, now=NOON)
    assert access.device_of(session, kept, now=NOON)[0].id == kept_device.id
    assert access.devices(session, ann) == [kept_device]
    assert lost_device.revoked_at == NOON


def test_nobody_disconnects_the_browser_of_somebody_else(session, ann):
    bea = users.add(session, "bea@example.org", now=NOON)
    token, device = access.new_device(session, ann, "Firefox", now=NOON)
    for device_id in (device.id, 999):
        with pytest.raises(NotFound):
            access.disconnect(session, bea, device_id, now=NOON)
    assert access.device_of(session, token, now=NOON)[1].id == ann.id


def test_a_browser_unused_for_half_a_year_is_out(session, ann):
    token, device = access.new_device(session, ann, "Firefox", now=NOON)
    assert access.device_of(session, token, now=NOON + 179 * DAY)[0].id == device.id
    with pytest.raises(Unauthorized):
        access.device_of(session, token, now=NOON + 180 * DAY)


def test_the_use_of_a_browser_is_noted_once_a_day(session, ann):
    _, device = access.new_device(session, ann, "Firefox", now=NOON)
    assert not access.is_stale(device, now=NOON + DAY)
    assert access.is_stale(device, now=NOON + DAY + MINUTE)


@pytest.mark.parametrize("token", ["", "flt_", "flt_made-up", "\0", "\ud800"])
def test_a_made_up_token_is_nobody(session, ann, token):
    access.new_device(session, ann, "Firefox", now=NOON)
    with pytest.raises(Unauthorized):
        access.device_of(session, token, now=NOON)
