"""The doctor: each finding is there while its cause is, and gone when that is mended; and it tells no secret."""

import json
import os
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
import time_machine

from backend import auditlog, cli, doctor, jobs, ledger, users
from backend.doctor import MISSING, OK, WARNING
from tests.backend.hostile import server
from tests.backend.test_mail import Inbox, started

SECRETS = {
    "SECRET_KEY": "marker-one-" + "x" * 40,
    "MAIL_URL": "smtp://ann:marker-two@127.0.0.1:{port}",
    "STRIPE_KEY": "rk_live_marker_three",
    "STRIPE_WEBHOOK_SECRET": "whsec_marker_four",
}


@pytest.fixture
def sound(config, town, sessions):
    """An installation that lacks nothing but a mail server."""
    with sessions.begin() as session:
        for name in ("olga", "otto"):
            users.add(session, f"{name}@example.org", now=town.now, operator=True)
        users.add(session, "charity@example.org", now=town.now)
        for beat in ("worker", "backup"):
            jobs.beat(session, beat, now=town.now)
    return replace(
        config,
        secret_key="s" * 40,
        base_url="https://flattr.example",
        proxies=1,
        charity="charity@example.org",
        bank_name="Flattr e.V.",
        bank_iban="DE89370400440532013000",
    )


@pytest.fixture
def says(sessions, town):
    """What the doctor says of one check."""

    def ask(config, check):
        with sessions() as session:
            return {line.check: line for line in doctor.examine(session, config, now=town.now)}[check]

    return ask


@pytest.mark.parametrize(
    ("check", "state", "changes"),
    [
        ("dev mode", MISSING, {"dev": True}),
        ("secret", MISSING, {"secret_key": "short"}),
        ("address", MISSING, {"base_url": "http://flattr.example"}),
        ("proxies", MISSING, {"proxies": 0}),
        ("mail", MISSING, {"mail_url": ""}),
        ("mail", MISSING, {"mail_url": "smtp://127.0.0.1:1"}),
        ("mail", MISSING, {"mail_url": "smtp://127.0.0.1:port"}),
        ("bank", MISSING, {"bank_iban": ""}),
        ("bank", MISSING, {"bank_iban": "DE89370400440532013001"}),
        ("bank", MISSING, {"bank_bic": "COBA"}),
        ("charity", MISSING, {"charity": "nobody@example.org"}),
        ("charity", MISSING, {"charity": "no address"}),
    ],
)
def test_a_setting_that_is_not_for_production_is_named(sound, says, check, state, changes):
    assert says(replace(sound, **changes), check).state == state
    if check != "mail":
        assert says(sound, check).state == OK


def test_a_generated_secret_is_not_enough(sound, says):
    (sound.instance / "secret_key").write_text(sound.secret_key)
    assert says(sound, "secret").state == MISSING
    assert sound.secret_key not in says(sound, "secret").says


def test_a_folder_that_is_not_there_is_named(sound, says, tmp_path):
    assert says(sound, "disk").state in (OK, WARNING)
    assert says(replace(sound, instance=tmp_path / "gone"), "disk").state == MISSING


BREAKS = {
    "operators": lambda session, now: session.execute(sa.update(users.User).values(is_operator=False)),
    "worker": lambda session, now: jobs.beat(session, "worker", now=now - timedelta(minutes=11)),
    "backup": lambda session, now: jobs.beat(session, "backup", now=now - timedelta(hours=26)),
    "jobs": lambda session, now: jobs.enqueue(session, "mail", "late", {}, now=now - timedelta(hours=2)),
    "books": lambda session, now: session.execute(sa.update(ledger.Account).values(balance_micros=1)),
    "clock": lambda session, now: auditlog.record(
        session, "backup.made", "x", now=doctor.datetime.now(doctor.UTC) + timedelta(hours=1)
    ),
}


@pytest.mark.parametrize("check", BREAKS)
def test_what_goes_wrong_in_the_tables_is_named(sound, says, sessions, town, check):
    town.person("Ann", wallet="1.00")
    assert says(sound, check).state == OK
    with sessions.begin() as session:
        BREAKS[check](session, town.now)
    assert says(sound, check).state == MISSING


def test_nothing_was_ever_seen_of_a_worker_or_a_backup(sound, says, sessions):
    with sessions.begin() as session:
        session.execute(sa.delete(jobs.Heartbeat))
    assert (says(sound, "worker").state, says(sound, "backup").state) == (MISSING, MISSING)


def test_what_waits_for_an_operator_is_a_warning(sound, says, sessions, town):
    for name in ("Bea", "Carl"):
        town.person(name)
    town.claim("Bea", "bea.example.org")
    assert [says(sound, check).state for check in ("claims", "settlement", "jobs")] == [OK, OK, OK]
    town.claim("Carl", "bea.example.org")
    town.person("Ann", budget="1.00", wallet="5.00")
    town.claim("Carl", "carl.example.org")
    town.press("Ann", "carl.example.org/")
    with sessions.begin() as session:
        session.execute(sa.update(jobs.Job).values(tries=jobs.MAX_TRIES))
        one = session.scalar(sa.select(users.User).where(users.User.is_operator).limit(1))
        one.is_operator = False
    assert says(sound, "operators").state == WARNING
    assert says(sound, "claims").state == WARNING
    town.on("2026-11-02")
    assert "2026-10" in says(sound, "settlement").says
    town.settle()
    assert says(sound, "settlement").state == OK


def test_the_database_is_named_with_what_it_lacks(sound, says, engine):
    found = says(sound, "database")
    assert found.state == (WARNING if engine.dialect.name == "sqlite" else MISSING)  # the tests' server has fsync off


def test_without_tables_only_that_is_said(sound, town, postgres):
    empty = sa.create_engine("sqlite://")
    with sa.orm.Session(empty) as session:
        found = doctor.examine(session, sound, now=town.now)
    assert found[0] == doctor.Line("tables", MISSING, "Run flattr db upgrade.")
    assert "books" not in {line.check for line in found}


def test_a_mail_server_that_answers_in_the_clear_is_a_warning(sound, says):
    controller = started(Inbox())
    try:
        found = says(replace(sound, mail_url=f"smtp://127.0.0.1:{controller.port}"), "mail")
    finally:
        controller.stop()
    assert (found.state, "no STARTTLS" in found.says) == (WARNING, True)


@pytest.mark.parametrize(("vouched", "state"), [(True, OK), (False, MISSING)])
def test_a_mail_server_with_starttls_is_sound_if_somebody_vouches_for_it(
    sound, says, tmp_path, monkeypatch, vouched, state
):
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *request.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    if vouched:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    controller = started(Inbox(), tls_context=context)
    try:
        found = says(replace(sound, mail_url=f"smtp://localhost:{controller.port}"), "mail")
    finally:
        controller.stop()
    assert (found.state, "with STARTTLS" in found.says) == (state, vouched)


@pytest.mark.parametrize(("free", "state"), [(499_000_000, MISSING), (4_999_000_000, WARNING), (5_000_000_000, OK)])
def test_a_disk_that_is_nearly_full_is_named(sound, says, monkeypatch, free, state):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert says(sound, "disk").state == state


def test_a_clock_that_differs_from_the_databases_is_named(sound, says, engine):
    assert says(sound, "clock").state == OK
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1, hours=1)):
        found = says(sound, "clock")
    if engine.dialect.name == "postgresql":  # SQLite has no clock of its own
        assert (found.state, "off by 9000" in found.says) == (MISSING, True)


def test_a_clock_behind_the_log_is_named(sound, says, sessions):
    with sessions.begin() as session:
        auditlog.record(session, "fee.changed", "2026-10", now=datetime.now(UTC) + timedelta(hours=1))
    found = says(sound, "clock")
    assert (found.state, "behind the log" in found.says) == (MISSING, True)


def test_a_mail_server_that_nobody_vouches_for_is_missing(sound, says):
    with server(b"", tls=True) as other:
        assert says(replace(sound, mail_url=f"smtps://localhost:{other.port}"), "mail").state == MISSING


def test_a_mail_server_that_stalls_or_drips_is_not_waited_for(sound, says, monkeypatch):
    monkeypatch.setattr(doctor, "MAIL_SECONDS", 0.3)
    with server(lambda _: silent.over.wait(30), speaks_first=True) as silent:
        stalls = says(replace(sound, mail_url=f"smtp://127.0.0.1:{silent.port}"), "mail")
    with server(lambda s: slow.until_over(lambda: s.sendall(b"2")), speaks_first=True) as slow:
        drips = says(replace(sound, mail_url=f"smtp://127.0.0.1:{slow.port}"), "mail")
    assert [("in time" in found.says, found.state) for found in (stalls, drips)] == [(True, MISSING)] * 2


@pytest.fixture
def run(sound, monkeypatch, capfd):
    """The command, with secrets in all settings that hold one: its exit code, and all that it printed."""
    for name in [name for name in os.environ if name.startswith("FLATTR_")]:
        monkeypatch.delenv(name)
    settings = SECRETS | {"DATABASE_URL": sound.database_url, "INSTANCE": str(sound.instance), "PROXIES": "1"}
    settings |= {"BASE_URL": "https://flattr.example", "BANK_NAME": "F", "BANK_IBAN": sound.bank_iban}
    for name, value in settings.items():
        monkeypatch.setenv(f"FLATTR_{name}", value.format(port=1))

    def command(*words, **env):
        for name, value in env.items():
            monkeypatch.setenv(f"FLATTR_{name}", value)
        monkeypatch.setattr(sys, "argv", ["flattr", "doctor", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    return command


@pytest.mark.parametrize(
    "mail",
    [
        SECRETS["MAIL_URL"].format(port=1),
        "smtp://ann:marker-two@nowhere.invalid:25",
        "smtps://ann:marker-two@127.0.0.1:1",
        "smtp://ann:marker-two#x@mail.example.org",
        "smtp://ann:marker-two/x@mail.example.org",
    ],
)
def test_no_secret_is_printed_in_any_form(run, mail):
    for words in ((), ("--json",)):
        code, out, err = run(*words, MAIL_URL=mail)
        assert code == 1
        assert "marker" not in out + err
        assert out


def test_a_database_that_is_away_is_refused_without_its_password(run):
    code, out, err = run(DATABASE_URL="postgresql://ann:marker-five@127.0.0.1:1/flattr")
    assert (code, out) == (3, "")
    assert "marker" not in err


def test_exit_0_when_nothing_is_missing(run, monkeypatch):
    monkeypatch.setattr(doctor, "_database", lambda _: (OK, "As in production."))
    monkeypatch.setattr(doctor, "WORKER_RESTS", timedelta(days=10_000))
    monkeypatch.setattr(doctor, "BACKUP_LASTS", timedelta(days=10_000))
    monkeypatch.setattr(doctor, "_clock", lambda _: (OK, "Now."))
    controller = started(Inbox())
    try:
        code, out, _ = run("--json", MAIL_URL=f"smtp://127.0.0.1:{controller.port}")
    finally:
        controller.stop()
    assert (code, json.loads(out)["ok"]) == (0, True), out
    assert run()[0] == 1  # the mail server is gone
