"""The `flattr` command as operators and their scripts use it."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
import sqlalchemy as sa

from backend import access, card_payments, cli, jobs, ledger, sites, statements, users
from backend.cards.stripe import Stripe
from backend.db import exclusive
from tests.backend.bank import Bank
from tests.backend.browser import Visitor, mails
from tests.backend.card_provider import SECRET, open_provider

ROOT = Path(__file__).parents[2]


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def env(config, monkeypatch, tmp_path):
    """The environment of an operator who tries Flattr on 5 October 2026."""
    for name in [name for name in os.environ if name.startswith("FLATTR_")]:
        monkeypatch.delenv(name)
    settings = {
        "DATABASE_URL": config.database_url,
        "INSTANCE": str(tmp_path),
        "DEV": "1",
        "NOW": "2026-10-05T12:00:00Z",
        "SECRET_KEY": config.secret_key,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"FLATTR_{name}", value)


@pytest.fixture
def flattr(env, monkeypatch, capfd):
    """Run a command."""

    def run(*words, stdin=b"", now=None):
        if now:
            monkeypatch.setenv("FLATTR_NOW", f"{now}T12:00:00Z")
        monkeypatch.setattr(sys, "argv", ["flattr", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(ended.value.code or 0, *capfd.readouterr())

    return run


def refused(ended, code=3):
    """The one line with which a command was refused; nothing went to standard output."""
    assert (ended.code, ended.out) == (code, "")
    lines = ended.err.strip().splitlines()
    assert "Traceback" not in ended.err
    assert code == 2 or len(lines) == 1, ended.err
    return lines[-1]


def commands(group=cli.flattr, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


# What is true of all --------------------------------------------------------------------------------------------------


def test_every_command_says_what_it_does_and_answers_programs(flattr):
    for path, command in commands():
        assert "--json" in [option for param in command.params for option in param.opts], path
        ended = flattr(*path, "--help")
        assert (ended.code, ended.err) == (0, ""), path
        assert command.help


def test_wrong_usage_is_exit_2_and_touches_nothing(flattr, session):
    for words in (
        ("nonsense",),
        ("users",),
        ("users", "add"),
        ("users", "add", "not an address"),
        ("users", "add", "ann@example.org", "--budget", "five"),
        ("users", "add", "ann@example.org", "--budget", "-5"),
        ("deposits", "add", "ann@example.org", "20.00"),
        ("deposits", "add", "ann@example.org", "1e3", "--reference", "R"),
        ("settle", "2026-13"),
        ("settle", "last month"),
        ("statement", "ann@example.org", "11/2026"),
        ("serve", "--port", "0"),
        ("explain", "https://a.example.org/", "--html", "no such file"),
    ):
        ended = flattr(*words)
        assert (ended.code, ended.out) == (2, ""), words
        assert ended.err.strip(), words
        assert "Traceback" not in ended.err
    assert session.query(users.User).count() == 0


def test_what_the_rules_refuse_is_exit_3_and_one_line(flattr):
    flattr("users", "add", "ann@example.org")
    for words, said in (
        (("users", "link", "who@example.org"), "no user with the address who@example.org"),
        (("users", "token", "who@example.org"), "no user"),
        (("statement", "who@example.org", "2026-09"), "no user"),
        (("deposits", "add", "who@example.org", "1", "--reference", "R"), "no user"),
        (("users", "add", "ann@example.org", "--budget", "1000001"), "between nothing and a million"),
        (("claims", "revoke", "nobody.example.org"), "nobody.example.org"),
        (("claims", "check", "co.uk"), "shared by many people"),
        (("claims", "approve", "blog.example.org", "who@example.org"), "no user"),
    ):
        assert said in refused(flattr(*words, "--json")), words


def test_a_setting_that_cannot_be_used_is_named(flattr, monkeypatch):
    for name, value in (("FEE_BPS", "1%"), ("FEE_BPS", "10001"), ("NOW", "noon"), ("DATABASE_URL", "mysql://x/y")):
        with monkeypatch.context() as patched:
            patched.setenv(f"FLATTR_{name}", value)
            assert f"FLATTR_{name}" in refused(flattr("audit"), 2), name


def test_a_database_that_is_not_there_is_no_failed_check(flattr, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for url in ("postgresql://flattr@127.0.0.1:1/flattr", f"sqlite:///{tmp_path}/file/flattr.db"):
        monkeypatch.setenv("FLATTR_DATABASE_URL", url)
        assert refused(flattr("audit", "--json")), url


def test_time_stands_still_in_dev_mode_only(flattr, monkeypatch):
    monkeypatch.delenv("FLATTR_DEV")

    assert refused(flattr("audit"), 2) == "FLATTR_NOW works only with FLATTR_DEV=1."


def test_the_command_and_the_module_are_the_same_program(env):
    for program in ([Path(sys.executable).parent / "flattr"], [sys.executable, "-m", "backend.cli"]):
        done = subprocess.run([*program, "audit", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {"ok": True, "transfers": 0, "problems": []}


# The database ---------------------------------------------------------------------------------------------------------


def test_postgresql_refuses_until_it_was_upgraded(flattr, postgres, monkeypatch):
    admin, url = postgres
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS not_upgraded_yet WITH (FORCE)")
        connection.exec_driver_sql("CREATE DATABASE not_upgraded_yet")
    monkeypatch.setenv("FLATTR_DATABASE_URL", url.format("not_upgraded_yet"))

    for words in (("audit",), ("users", "add", "ann@example.org"), ("settle",), ("serve",), ("worker", "--once")):
        assert "flattr db upgrade" in refused(flattr(*words)), words
    assert flattr("db", "upgrade", "--json").json == {"upgraded": True}
    assert flattr("db", "upgrade", "--json").json == {"upgraded": False}
    assert flattr("db", "upgrade").out == "It was at this version already.\n"
    assert flattr("audit").code == 0


def test_sqlite_upgrades_itself_where_the_operator_stands(flattr, monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("FLATTR_DATABASE_URL")
    monkeypatch.delenv("FLATTR_INSTANCE")
    assert flattr("users", "add", "ann@example.org", "--json").json["email"] == "ann@example.org"
    assert (tmp_path / "here" / "instance" / "flattr.db").is_file()

    monkeypatch.setenv("FLATTR_DATABASE_URL", "sqlite:///instance/other.db")
    assert flattr("audit").code == 0
    assert (tmp_path / "here" / "instance" / "other.db").is_file()
    assert not (tmp_path / "here" / "instance" / "instance").exists()


# People and money -----------------------------------------------------------------------------------------------------


def test_a_user_is_added_once_and_keeps_what_is_not_given(flattr, session):
    first = flattr("users", "add", "Ann@Example.org", "--name", "Ann B.", "--budget", "7.50", "--operator", "--json")
    again = flattr("users", "add", "ann@example.org", "--json")

    assert (first.code, first.err) == (0, "")
    assert set(first.json) == {"email", "public_id", "deposit_reference", "operator"}
    assert (first.json["email"], first.json["operator"]) == ("ann@example.org", True)
    assert first.json["deposit_reference"] == users.deposit_reference(first.json["public_id"])
    assert again.json == first.json
    assert f"public_id: {first.json['public_id']}\n" in flattr("users", "add", "ann@example.org").out
    ann = users.by_email(session, "ann@example.org")
    assert ann.name == "Ann B."
    assert users.decision(session, ann.id, "2026-10") == (7_500_000, "keep")


def test_a_link_from_the_operator_signs_in(flattr, app):
    flattr("users", "add", "ann@example.org")
    link = flattr("users", "link", "ann@example.org", "--json").json["link"]
    newer = flattr("users", "link", "ANN@example.org").out.strip()

    visitor = Visitor(app)
    visitor.visit(link.removeprefix("http://127.0.0.1:8000"))
    assert visitor.press("Sign in").status == 410
    visitor.visit(newer.removeprefix("http://127.0.0.1:8000"))
    assert visitor.press("Sign in").heading == "October 2026"


def test_a_token_from_the_operator_opens_the_api(flattr, client):
    flattr("users", "add", "ann@example.org")
    tokens = [flattr("users", "token", "ann@example.org", "--json").json["token"]]
    tokens.append(flattr("users", "token", "ann@example.org").out.strip())

    for token in tokens:
        me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert me.json["email"] == "ann@example.org"


def test_a_deposit_is_booked_once_and_another_amount_is_refused(flattr, town):
    town.person("Ann")
    add = ("deposits", "add", "ann@example.org")
    first = flattr(*add, "20.00", "--reference", "Bank 17", "--json")

    assert first.json == {
        "email": "ann@example.org",
        "reference": "Bank 17",
        "amount_micros": 20_000_000,
        "currency": "EUR",
        "state": "booked",
    }
    assert flattr(*add, "20.00", "--reference", "Bank 17", "--json").json == first.json | {"state": "already"}
    assert (
        flattr(*add, "20", "--reference", "Bank 17").out
        == "20.00\N{NO-BREAK SPACE}€ was booked already for ann@example.org.\n"
    )
    assert "another amount" in refused(flattr(*add, "20.01", "--reference", "Bank 17"))
    for amount in ("0", "0.00"):
        assert refused(flattr(*add, amount, "--reference", "Bank 18"), 2)
    assert town.balances() == {"bank": "-20.00", "Ann wallet": "20.00"}


@pytest.fixture
def bank_file(town, tmp_path):
    """A statement: 20.00 for Ann, 3.00 for who knows whom, a fee of 1.00."""
    bank = Bank(opening_micros=0)
    bank.credit("2026-10-02", "20.00", town.person("Ann").deposit_reference)
    bank.credit("2026-10-02", "3.00", "for [b]Ann", name="Zoë")
    bank.debit("2026-10-02", "1.00", "fee")
    file = tmp_path / "statement.xml"
    file.write_bytes(bank.statement("2026-10-02", "2026-10-02"))
    return file


@pytest.mark.parametrize("options", ["-c role=pg_monitor", "-c default_transaction_read_only=on"])
def test_a_database_that_refuses_is_one_line_and_no_failed_check(flattr, town, config, monkeypatch, options):
    town.person("Ann")
    if config.database_url.startswith("sqlite"):
        town.sessions.kw["bind"].dispose()
        Path(config.database_url.removeprefix("sqlite:///")).write_bytes(b"no database at all, but a file " * 50)
    else:
        monkeypatch.setenv("PGOPTIONS", options)
    said = refused(flattr("deposits", "add", "ann@example.org", "5.00", "--reference", "R"))
    assert any(why in said for why in ("permission denied", "read-only transaction", "not a database"))


def test_what_the_bank_took_back_is_booked_once(flattr, town, tmp_path):
    town.person("Ann")
    bank, file = Bank(), tmp_path / "statement.xml"
    bank.credit("2026-10-02", "5.00", town.people["Ann"].deposit_reference)
    bank.debit("2026-10-03", "5.00", reversal=True)
    file.write_bytes(bank.statement())
    flattr("deposits", "import", str(file))

    (waiting,) = flattr("deposits", "reversals", "--json").json["entries"]
    assert "1 taken back" in flattr("deposits", "reversals").out
    reverse = ("deposits", "reverse", str(waiting["id"]))
    assert "no user" in refused(flattr(*reverse, "who@example.org"))
    assert "Nobody" in refused(flattr(*reverse, "who"))
    assert flattr(*reverse, "ann@example.org").out == "Taken back: 5.00 € of the wallet.\n".replace(" €", "\u00a0€")
    again = flattr(*reverse, town.people["Ann"].deposit_reference, "--json").json
    assert (again["state"], again["wallet_micros"], again["reserve_micros"]) == ("already", 5_000_000, 0)
    assert flattr("deposits", "reversals").out == "Nothing was taken back.\n"


def test_a_bank_statement_is_imported_once_and_the_operator_does_the_rest(flattr, town, bank_file):
    first, again = (flattr("deposits", "import", str(bank_file), "--json") for _ in range(2))
    counts = ("imported", "already", "unmatched", "ignored")
    assert [first.json[name] for name in counts] == [1, 0, 1, 1]
    assert [again.json[name] for name in counts] == [0, 3, 0, 0]
    assert (first.code, first.json["warnings"]) == (0, [])
    assert again.json["entries"] == []
    waiting = first.json["entries"][0]
    assert {name: waiting[name] for name in ("booked_on", "amount_micros", "reason", "payer_name")} == {
        "booked_on": "2026-10-02",
        "amount_micros": 3_000_000,
        "reason": "no_reference",
        "payer_name": "Zoë",
    }
    assert flattr("deposits", "unmatched", "--json").json == {"entries": [waiting]}
    shown = flattr("deposits", "unmatched").out
    assert all(text in shown for text in ("1 unmatched", "Zoë", "[b]Ann", "no reference"))
    assert "3 already known, 0 unmatched" in flattr("deposits", "import", str(bank_file)).out

    town.person("Bea")
    assign = ("deposits", "assign", str(waiting["id"]))
    assert [flattr(*assign, "ann@example.org", "--json").json["state"] for _ in range(2)] == ["assigned", "already"]
    assert "does not wait" in refused(flattr(*assign, "bea@example.org"))
    assert "does not wait" in refused(flattr("deposits", "release", str(waiting["id"])))
    assert "no user" in refused(flattr(*assign, "who@example.org"))
    assert "No bank statement" in refused(flattr("deposits", "assign", "999", "ann@example.org"))
    assert flattr("deposits", "unmatched").out == "Nothing waits for its reader.\n"
    assert town.balances() == {"bank": "-23.00", "Ann wallet": "23.00"}
    assert flattr("audit").code == 0


def test_what_is_sent_back_leaves_the_books(flattr, town, bank_file):
    waiting = flattr("deposits", "import", str(bank_file), "--json").json["entries"][0]
    release = ("deposits", "release", str(waiting["id"]))
    assert flattr(*release).out == "3.00\N{NO-BREAK SPACE}€ of Zoë NL91ABNA0417164300 is off the books.\n"
    assert flattr(*release, "--json").json["state"] == "already"
    assert town.balances() == {"bank": "-20.00", "Ann wallet": "20.00"}


def test_a_file_that_is_no_statement_of_ours_is_refused_in_one_line(flattr, bank_file, monkeypatch, tmp_path):
    monkeypatch.setenv("FLATTR_BANK_IBAN", "DE89 3704 0044 0532 0130 00")
    assert "not of DE89370400440532013000" in refused(flattr("deposits", "import", str(bank_file)), 2)
    monkeypatch.delenv("FLATTR_BANK_IBAN")
    monkeypatch.setenv("FLATTR_CURRENCY", "GBP")
    assert "is in EUR, not GBP" in refused(flattr("deposits", "import", str(bank_file)), 2)
    assert refused(flattr("deposits", "import", str(tmp_path / "none.xml")), 2)
    assert refused(flattr("deposits", "import", str(tmp_path)), 2)


# Claims ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def blog():
    """A real site on this machine; its front page is what `pages` says."""

    class Blog(BaseHTTPRequestHandler):
        pages = {}

        def do_GET(self):
            page = self.pages.get(self.path)
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_):
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.2", 0), Blog) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Blog.name = f"127.0.0.2:{server.server_port}"
        yield Blog
        server.shutdown()


def test_a_site_with_somebodys_tag_is_claimed_by_a_check(flattr, blog):
    ann = flattr("users", "add", "ann@example.org", "--json").json
    assert flattr("claims", "list", "--json").json == {"claims": []}
    blog.pages["/"] = f'<!doctype html><head><meta name="flattr:id" content="{ann["public_id"]}"></head>'

    ended = flattr("claims", "check", f"http://{blog.name}/post", "--json")
    assert ended.code == 0
    assert (ended.json["site"], ended.json["code"]) == (blog.name, "proved")
    row = {"site": blog.name, "email": "ann@example.org", "state": "verified", "method": "tag", "days_in_doubt": None}
    assert flattr("claims", "list", "--json").json == {"claims": [row]}
    assert "ann@example.org" in flattr("claims", "list").out
    assert flattr("explain", f"http://{blog.name}/post", "--json").json["owner"] == ann["public_id"]


def test_a_check_that_proves_nothing_is_exit_1_and_says_why(flattr, blog):
    flattr("users", "add", "ann@example.org")
    for page, code in (
        (None, "bad_status"),
        ("<head></head>", "no_tag"),
        ('<meta name="flattr:id" content="000000000000">', "unknown_id"),
        ('<meta name="flattr:id" content="a"><meta name="flattr:id" content="b">', "two_ids"),
        ('<meta name="flattr:id" content="none">', "opted_out"),
    ):
        blog.pages["/"] = page
        ended = flattr("claims", "check", blog.name, "--json")
        assert (ended.code, ended.json["code"]) == (1, code), page
        assert ended.json["detail"] in flattr("claims", "check", blog.name).out
    assert flattr("claims", "check", "127.0.0.3:9", "--json").json["code"] == "unreachable"
    assert flattr("claims", "list", "--json").json == {"claims": []}


def test_an_operator_vouches_for_a_claim_and_takes_it_back(flattr):
    for name in ("ann", "bea"):
        flattr("users", "add", f"{name}@example.org")
    approve = ("claims", "approve", "blog.example.org")

    assert flattr(*approve, "ann@example.org", "--json").json["state"] == "verified"
    assert flattr(*approve, "ann@example.org").code == 0
    assert "Somebody else" in refused(flattr(*approve, "bea@example.org"))
    assert flattr("claims", "revoke", "https://blog.example.org/", "--json").json["state"] == "revoked"
    assert refused(flattr("claims", "revoke", "blog.example.org"))
    assert [row["state"] for row in flattr("claims", "list", "--json").json["claims"]] == ["revoked"]


def test_the_worker_drains_what_is_due(flattr, blog, app, config, sessions):
    ann = flattr("users", "add", "ann@example.org", "--json").json
    blog.pages["/"] = f'<head><meta name="flattr:id" content="{ann["public_id"]}">'
    with sessions.begin() as session:
        jobs.enqueue(session, "look", blog.name, {"site": blog.name}, now=config.now())

    assert flattr("worker", "--once", "--json").json == {"done": 2}  # the look, and the mail that follows
    assert flattr("worker", "--once").out == "0 jobs done.\n"
    assert [(mail["To"], blog.name in mail["Subject"]) for mail in mails(config)] == [("ann@example.org", True)]


# Explaining -----------------------------------------------------------------------------------------------------------


def test_explain_says_who_would_be_paid_and_what_the_tags_say(flattr, town, tmp_path):
    bea = town.person("Bea")
    town.claim("Bea", "bea.example.org")
    page = tmp_path / "page.html"
    page.write_text(
        '<head><meta name="flattr:id" content=" a "><meta name="FLATTR:id" content><p><meta name="flattr:id" content=b>'
    )

    ended = flattr("explain", "https://www.bea.example.org/?utm_source=x#top", "--html", str(page), "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json == {
        "canonical": "https://www.bea.example.org/",
        "site": "bea.example.org",
        "rule": "claimed",
        "ids": [" a "],
        "owner": bea.public_id,
    }
    assert "rule: claimed\n" in flattr("explain", "https://bea.example.org/").out
    nothing = {"canonical": None, "site": None, "rule": "not_flattrable", "ids": [], "owner": None}
    assert flattr("explain", "about:blank", "--json").json == nothing


BAD_LINES = [
    b"",
    b"not JSON",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'"https://a.example.org/"',
    b"{}",
    b'{"url": 7}',
    b'{"url": null, "html": "<head>"}',
    b'{"url": "\\ud800"}',
    b'{"url": "https://a\\u0000b.example.org/"}',
    b'{"url": "\xff\xfe"}',
    b"[" * 100_000,
    b"9" * 10_000,
    b"\xef\xbb\xbf{}",
    b'{"url": "file:///etc/passwd"}',
]


def test_a_stream_has_one_line_for_each_also_for_bad_ones(flattr):
    good = {
        "url": "https://a.example.org/\u00e4?q=1#x",
        "html": '<head><meta name="flattr:id" content="\u20ac\ud83d\ude00">',
    }
    odd = {"url": "https://a.example.org/", "html": 7}
    lines = [
        json.dumps(good).encode(),
        *BAD_LINES,
        json.dumps(odd).encode(),
        json.dumps(good, ensure_ascii=False).encode("utf-8", "surrogatepass"),
    ]

    ended = flattr("explain", "-", stdin=b"\n".join(lines) + b"\n")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.isascii()
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert len(answers) == len(lines)
    assert all(list(answer) == ["canonical", "site", "rule", "ids"] for answer in answers)
    assert answers[0] == {
        "canonical": "https://a.example.org/%C3%A4?q=1",
        "site": "a.example.org",
        "rule": "promise_host",
        "ids": ["\u20ac\U0001f600"],
    }
    nothing = {"canonical": None, "site": None, "rule": "not_flattrable", "ids": []}
    assert answers[1:-2] == [nothing] * len(BAD_LINES)
    assert (answers[-2]["rule"], answers[-2]["ids"]) == ("promise_host", [])


def test_a_stream_of_two_thousand_lines_is_answered_line_by_line(flattr):
    line = '{"url": "https://site%d.example.org/page?id=%d", "html": "<head><meta name=flattr:id content=x></head>"}\n'
    ended = flattr("explain", "-", stdin="".join(line % (number, number) for number in range(2000)).encode())
    answers = [json.loads(answer) for answer in ended.out.splitlines()]
    assert [answer["site"] for answer in answers] == [f"site{number}.example.org" for number in range(2000)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "words",
    [
        *("explain -", "claims list", "audit --full", "doctor", "log", "payouts list", "payouts stranded"),
        *("deposits unmatched", "deposits reversals", "statement ann@example.org 2026-10", "journal"),
    ],
)
def test_what_only_reads_keeps_nobody_from_writing_however_long_it_takes(flattr, words):
    flattr("users", "add", "ann@example.org")
    begun, note = [], lambda *said: begun.append(said[2]) if said[2].startswith("BEGIN") else None
    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    flattr(*words.split(), stdin=b'{"url": "https://a.example.org/"}\n')
    sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert set(begun) == {"BEGIN"}  # and not: BEGIN IMMEDIATE


def test_explaining_changes_nothing(flattr, session):
    flattr("explain", "https://new.example.org/")
    flattr("explain", "-", stdin=b'{"url": "https://new.example.org/"}\n')

    assert session.query(jobs.Job).count() == 0
    assert session.query(sites.Site).count() == 0


# Months ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def october(town):
    """Three owners on Ann's list, one of them with a name like a formula."""
    town.person("Ann", budget="5.00", wallet="20.00")
    for owner in ("Bea", "Carl", "Dora"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
        town.press("Ann", f"{owner.lower()}.example.org/post")
    town.press("Ann", "nobody.example.org/")
    with town.sessions.begin() as session:
        users.add(session, "bea@example.org", now=town.now, name="=HYPERLINK(1)")
        users.add(session, "carl@example.org", now=town.now, name="[/bold] [red]Carl")
    return town


def test_a_month_is_settled_once(flattr, october):
    ended = flattr("settle", "--json", now="2026-11-01")

    digest = ended.json["digest"]
    assert len(bytes.fromhex(digest)) == 32
    assert ended.json == {
        "period": "2026-10",
        "state": "settled",
        "currency": "EUR",
        "readers": 1,
        "owners": 3,
        "clicks": 3,
        "promises": 1,
        "charged_micros": 4_999_998,
        "received_micros": 4_999_998,
        "fee_micros": 0,
        "digest": digest,
    }
    for words in (("settle",), ("settle", "2026-10"), ("settle", "--dry-run"), ("settle", "2026-10", "--dry-run")):
        again = flattr(*words, "--json", now="2026-11-20")
        assert (again.code, again.json) == (0, ended.json), words
    assert f"digest: {digest}\n" in flattr("settle", "2026-10").out
    assert october.balances()["Ann wallet"] == "15.000002"


def test_a_month_that_is_not_over_is_refused(flattr, october):
    assert refused(flattr("settle", "2026-10")) == "2026-10 is not over yet: it ends at 2026-11-01 00:00 UTC."
    assert "not over" in refused(flattr("settle", "2026-10", "--dry-run"))
    assert "2026-10 has to be settled first" in refused(flattr("settle", "2026-11", now="2026-12-01"))
    assert october.balances()["Ann wallet"] == "20.00"


def test_a_dry_run_says_what_it_would_come_to_and_moves_nothing(flattr, october, monkeypatch):
    monkeypatch.setenv("FLATTR_FEE_BPS", "1000")
    dry = flattr("settle", "--dry-run", "--json", now="2026-11-01")
    assert (dry.code, dry.json["state"], dry.json["fee_micros"]) == (0, "dry_run", 499_998)
    assert october.balances()["Ann wallet"] == "20.00"
    assert october.month("Ann", "2026-10").state == "open"

    real = flattr("settle", "--json")
    assert dry.json == real.json | {"state": "dry_run"}
    assert real.json["received_micros"] + real.json["fee_micros"] == real.json["charged_micros"]


def test_a_month_is_settled_by_one_at_a_time(flattr, october, engine):
    with exclusive(engine, "settle"):
        assert "Another run" in refused(flattr("settle", now="2026-11-01"))

    assert flattr("settle").code == 0


def test_a_statement_says_both_sides(flattr, october):
    flattr("settle", now="2026-11-01")
    given = flattr("statement", "ann@example.org", "2026-10", "--json").json
    received = flattr("statement", "dora@example.org", "2026-10", "--json").json

    assert (given["period"], given["currency"]) == ("2026-10", "EUR")
    assert {name: given["given"][name] for name in ("charged_micros", "owners", "share_micros", "dust_micros")} == {
        "charged_micros": 4_999_998,
        "owners": 3,
        "share_micros": 1_666_666,
        "dust_micros": 2,
    }
    assert given["given"]["lines"][-1] == {
        "owner_id": october.people["Carl"].public_id,
        "name": "[/bold] [red]Carl",
        "amount_micros": 1_666_666,
        "pages": ["https://carl.example.org/post"],
    }
    assert (given["received"]["received_micros"], given["received"]["lines"]) == (0, [])
    assert received["given"]["charged_micros"] == 0
    assert (received["received"]["received_micros"], received["received"]["fee_micros"]) == (1_666_666, 0)
    assert [line["url"] for line in received["received"]["lines"]] == ["https://dora.example.org/post"]
    assert "Ann" not in json.dumps(received)
    assert "ann@" not in json.dumps(received)


def test_a_statement_is_shown_to_people_whatever_names_are_in_it(flattr, october):
    flattr("settle", now="2026-11-01")

    ended = flattr("statement", "ann@example.org", "2026-10")
    assert ended.code == 0
    assert "4.999998" in ended.out
    assert "[/bold] [red]Carl" in ended.out
    assert "1.666666" in flattr("statement", "carl@example.org", "2026-10").out


def test_a_statement_runs_nothing_in_a_spreadsheet(flattr, october):
    flattr("settle", now="2026-11-01")
    ended = flattr("statement", "ann@example.org", "2026-10", "--csv")

    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [(row["side"], row["who_or_page"], row["amount_micros"]) for row in rows[:3]] == [
        ("given", "'=HYPERLINK(1)", "1666666"),
        ("given", "Dora", "1666666"),
        ("given", "[/bold] [red]Carl", "1666666"),
    ]
    risky = tuple("=+-@\t\r")
    assert not [cell for row in rows for cell in row.values() if cell.startswith(risky)]


def test_cells_that_look_like_formulas_are_text():
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert statements.text_cell(text) == "'" + text
    for text in ("Ann", "https://a.example.org/", "1", ""):
        assert statements.text_cell(text) == text


def test_an_audit_names_the_account_that_does_not_add_up(flattr, october, engine):
    assert flattr("audit").out == "Everything adds up: 1 transfers.\n"
    with engine.execution_options(flattr_writing=True).begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE kind = 4")

    ended = flattr("audit", "--json")
    assert (ended.code, ended.json["ok"]) == (1, False)
    wallet = f"wallet of user {october.people['Ann'].id} says 20000001, its transfers say 20000000"
    assert wallet in ended.json["problems"][0]
    assert wallet in flattr("audit").out
    assert wallet in refused(flattr("settle", now="2026-11-01"))
    assert october.month("Ann", "2026-10").state == "open"


def test_tokens_made_by_operators_are_listed_like_browsers(flattr, sessions):
    flattr("users", "add", "ann@example.org")
    flattr("users", "token", "ann@example.org")

    with sessions() as session:
        assert [d.name for d in access.devices(session, users.by_email(session, "ann@example.org"))] == ["Command line"]


# Cards ----------------------------------------------------------------------------------------------------------------


def test_operators_bring_the_books_to_what_the_card_provider_says(flattr, town, sessions, monkeypatch):
    ann = town.person("Ann")
    with open_provider() as there:
        settings = {"KEY": "sk_test_key", "WEBHOOK_SECRET": SECRET, "API": there.url}
        for name, value in settings.items():
            monkeypatch.setenv(f"FLATTR_STRIPE_{name}", value)
        with sessions.begin() as session:
            payment = card_payments.begin(session, ann, 20_000_000, now=town.now)
        checkout = Stripe("sk_test_key", SECRET, there.url).checkout(payment.key, 20_000_000, "EUR", "http://back")
        with sessions.begin() as session:
            card_payments.keep_checkout(session, payment.key, checkout.id)
        there.pay(checkout.id)
        for changed in (1, 0):
            ended = flattr("cards", "sync", "--json")
            assert (ended.code, json.loads(ended.out)) == (0, {"checked": 1, "changed": changed, "failed": 0})
        there.broken = "429"
        ended = flattr("cards", "sync", "--json")
        assert (ended.code, json.loads(ended.out)) == (1, {"checked": 0, "changed": 0, "failed": 1})
    with sessions() as session:
        assert ledger.balance(session, ledger.wallet(ann.id)) == 20_000_000


def test_what_the_provider_pays_out_is_booked_once(flattr):
    for state in ("booked", "already"):
        ended = flattr("cards", "paid-out", "90", "--fee", "1.5", "--reference", "po_1", "--json")
        assert json.loads(ended.out)["state"] == state
    assert flattr("cards", "paid-out", "91", "--fee", "1.5", "--reference", "po_1").code == 3
    assert flattr("cards", "paid-out", "90", "--fee", "2", "--reference", "po_1").code == 3
    assert flattr("cards", "paid-out", "0", "--reference", "po_2").code == 2
    assert flattr("cards", "paid-out", "1", "--reference", " ").code == 2
    assert (flattr("cards", "sync").code, flattr("audit").code) == (0, 0)
