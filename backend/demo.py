"""Try Flattr without a site of your own: two worked months in the terminal, or a server with a small blog beside it."""

import sys
import tempfile
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session, sessionmaker

from backend import access, audit, checks, claims, cli, clicks, db, settlement, users
from backend import statements as st
from backend.bank.pain import Party
from backend.deposits import Deposit, imports
from backend.ledger import Account, Kind
from backend.money import decimal_text, format_money, parse_amount
from backend.payouts import batches, details
from backend.period import ends_at, starts_at
from backend.users import User

out = Console()


@click.group()
def demo() -> None:
    """Try Flattr."""


# Two worked months ----------------------------------------------------------------------------------------------------

READERS = {"Ann": ("5.00", "20.00"), "Ben": ("6.00", "6.00"), "Cleo": ("3.00", "10.00")}  # budget, money paid in
OWNERS = {"Dora": ["garden.example.org"], "Emil": ["emil.example.org", "songs.example.org"], "Fay": ["fay.example.org"]}
SEPTEMBER, OCTOBER = "2026-09", "2026-10"
PRESSES = {
    SEPTEMBER: {
        "Ann": ["garden.example.org/roses", "emil.example.org/", "songs.example.org/1", "fay.example.org/essay"],
        "Ben": ["emil.example.org/", "songs.example.org/1", "songs.example.org/2"],
        "Cleo": ["garden.example.org/", "fay.example.org/"],
    },
    OCTOBER: {
        "Ann": ["garden.example.org/tulips"],
        "Ben": ["garden.example.org/"],
        "Cleo": ["garden.example.org/roses", "emil.example.org/news"],
    },
}
WORLD = checks.World("https://flattr.example", dev=False)
OURS = Party("Demo Flattr", "DE89370400440532013000")
ACCOUNTS = {"Dora": "DE02120300000000202051", "Emil": "FR1420041010050500013M02606", "Fay": "NL91ABNA0417164300"}
STATEMENT = """<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>1</Id>
<Acct><Id><IBAN>{}</IBAN></Id></Acct>{}</Stmt></BkToCstmrStmt></Document>"""
BALANCE = """<Bal><Tp><CdOrPrtry><Cd>{}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{}</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Dt><Dt>2026-09-01</Dt></Dt></Bal>"""
ENTRY = """<Ntry><Amt Ccy="EUR">{}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-09-01</Dt>
</BookgDt><NtryDtls><TxDtls><RmtInf><Ustrd>Flattr {}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"""


@demo.command()
def month() -> None:
    """Play two worked months on a database of their own, and show the books."""
    with tempfile.TemporaryDirectory() as folder:
        engine = db.make_engine(f"sqlite:///{Path(folder) / 'demo.db'}")
        db.upgrade(engine)
        sessions = db.session_maker(engine)
        people = _people(sessions)
        _pay_in(sessions, people, Path(folder) / "statement.xml")
        _claim(sessions, people, ["Dora", "Emil"], starts_at(SEPTEMBER))
        _play(sessions, people, SEPTEMBER)
        out.print(
            "\nFay puts her tag on fay.example.org: what Ann and Cleo promised her counts in October.", style="bold"
        )
        _claim(sessions, people, ["Fay"], starts_at(OCTOBER).replace(day=9))
        _play(sessions, people, OCTOBER)
        _pay_out(sessions, people)
        with sessions() as session:
            out.print(_trial_balance(session))
            problems = audit.problems(session)
        out.print("\n".join(problems) or "The audit finds nothing: every micro is where it should be.")
    sys.exit(1 if problems else 0)


def _people(sessions: sessionmaker[Session]) -> dict[str, User]:
    now, people = starts_at(SEPTEMBER), {}
    with sessions.begin() as session:
        for name in (*READERS, *OWNERS):
            people[name] = users.add(session, f"{name.lower()}@demo.example", now=now, name=name)
        for name, (budget, paid) in READERS.items():
            users.set_budget(session, people[name], parse_amount(budget), now=now)
            out.print(f"{name} decides that a month is worth {budget} €, and pays {paid} € in.")
    return people


def _pay_in(sessions: sessionmaker[Session], people: dict[str, User], file: Path) -> None:
    entries = [ENTRY.format(paid, people[name].deposit_reference) for name, (_, paid) in READERS.items()]
    total = decimal_text(sum(parse_amount(paid) for _, paid in READERS.values()))
    balances = BALANCE.format("OPBD", "0") + BALANCE.format("CLBD", total)
    file.write_text(STATEMENT.format(OURS.iban, balances + "".join(entries)))
    told = imports.import_file(sessions, file, iban=OURS.iban, currency="EUR", now=starts_at(SEPTEMBER))
    said = f"{told.imported} transfers name their readers, {told.unmatched} wait for theirs."
    out.print(f"\nA bank statement (camt.053): {said}", highlight=False)
    with sessions() as session:
        for deposit, name in session.execute(sa.select(Deposit, User.name).join(User).order_by(Deposit.id)):
            shown = format_money(deposit.amount_micros, "EUR")
            out.print(f'{shown:>9}  "Flattr {people[name].deposit_reference}"  {name}', highlight=False)


def _pay_out(sessions: sessionmaker[Session], people: dict[str, User]) -> None:
    now, terms = ends_at(OCTOBER), batches.Terms(OURS, "EUR", parse_amount("5.00"))
    _claim(sessions, people, list(OWNERS), now)  # what is paid was proved within three days
    with sessions.begin() as session:
        for name, iban in ACCOUNTS.items():
            details.change(session, people[name], iban, name, "EUR", now=starts_at(OCTOBER))
        otto, olga = (users.add(session, f"{name}@demo.example", now=now, operator=True) for name in ("otto", "olga"))
    batch = batches.prepare(sessions, terms, now=now, by=otto).batch
    assert batch
    with sessions.begin() as session:
        batches.approve(session, batch.id, olga, batch.digest.hex(), OURS, now=now)
        file = batches.export(session, batch.id, now=now)
    out.print(
        f"\nPayday: {batch.payouts} owners have 5.00 € or more, {format_money(batch.total_micros, 'EUR')} together.\n"
        f"Otto prepares it, Olga approves it, and `flattr payouts export {batch.id} payouts.xml`\n"
        f"would write the file for the bank (pain.001, {len(file)} bytes).",
        highlight=False,
    )


def _claim(sessions: sessionmaker[Session], people: dict[str, User], names: list[str], now: datetime) -> None:
    with sessions.begin() as session:
        for name in names:
            for site in OWNERS[name]:
                proof = claims.Finding("tag", "proved", (people[name].public_id,))
                checks.record(session, site, [proof], WORLD, now=now)


def _play(sessions: sessionmaker[Session], people: dict[str, User], period: str) -> None:
    table = Table("reader", "flattrs", title=f"\n{starts_at(period):%B}")
    with sessions.begin() as session:
        for name, urls in PRESSES[period].items():
            for url in urls:
                press = clicks.PageFacts(f"https://{url}")
                clicks.record(session, people[name], press, now=starts_at(period).replace(day=20))
            shown = clicks.month(session, people[name], period, now=starts_at(period)).clicks
            said = [f"{c.site}: {c.owner.name if c.owner else 'a promise'}" for c in reversed(shown)]
            table.add_row(name, "\n".join(dict.fromkeys(said)), end_section=True)
    out.print(table)
    result = settlement.settle(sessions, period, settlement.Terms("EUR", 0), WORLD, now=ends_at(period))
    charged = format_money(result.charged_micros, "EUR")
    out.print(
        f"{starts_at(period):%B} is settled: {charged} from {result.readers} readers to {result.owners} owners, "
        f"{result.promises} promises wait.",
        highlight=False,
    )
    with sessions() as session:
        out.print(_statements(session, people, period))


def _statements(session: Session, people: dict[str, User], period: str) -> Table:
    table = Table("", "split", "gave", "received", title=f"Statements for {starts_at(period):%B}")
    table.columns[2].justify = table.columns[3].justify = "right"
    for name, user in people.items():
        found = st.statement(session, user, period, "EUR")
        given, received = found.given, found.received
        split = f"{given.owners} x {format_money(given.share_micros, 'EUR')}" if given.owners else ""
        to = ", ".join(line.name for line in given.lines)
        table.add_row(
            name,
            f"{split} to {to}" if split else f"{received.readers} reader(s)" if received.readers else "",
            format_money(given.charged_micros, "EUR") if name in READERS else "",
            format_money(received.received_micros, "EUR") if name in OWNERS else "",
        )
    return table


def _trial_balance(session: Session) -> Table:
    table = Table("account", "balance", title="\nTrial balance", show_footer=True)
    table.columns[1].justify = "right"
    query = sa.select(Account, User.name).outerjoin(User, User.id == Account.user_id).order_by(Account.kind, Account.id)
    rows = session.execute(query).all()
    for account, name in rows:
        if account.balance_micros or name:
            said = " of ".join(filter(None, (Kind(account.kind).name.lower(), name)))
            table.add_row(said, format_money(account.balance_micros, "EUR"))
    table.columns[0].footer = "together"
    table.columns[1].footer = format_money(sum(account.balance_micros for account, _ in rows), "EUR")
    return table


# A server with a blog beside it ---------------------------------------------------------------------------------------

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{tag}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 18px/1.6 Georgia, serif; margin: 4em auto; max-width: 32em; padding: 0 1em }}</style></head>
<body><p><a href="/">{site}</a></p><h1>{title}</h1><p>{text}</p>{links}</body></html>"""
ROLES = {"reader": "Rita Reader", "writer": "Wilma Writer", "operator": "Otto Operator"}
POSTS = {
    "/bread": ("Bread on a Tuesday", "Flour, water, salt, and somebody who gets up at four."),
    "/rain": ("Notes on rain", "It falls on everybody's roof at the same rate. That is what makes it fair."),
    "/maps": ("A map of small paths", "The best ones are on no map; this is the second best collection."),
}


@demo.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65534))
def serve(port: int) -> None:
    """Serve Flattr in dev mode, with a small blog on the next port."""
    for wanted in (port, port + 1):
        if not cli.is_free("127.0.0.1", wanted):
            raise click.ClickException(f"Port {wanted} is in use. Try another: make run PORT={port + 10}")
    desk, people, links = cli.open_desk(), {}, {}
    now = desk.config.now()
    with desk.sessions.begin() as session:
        for role, name in ROLES.items():
            people[role] = users.add(session, f"{role}@demo.test", now=now, name=name, operator=role == "operator")
            links[role] = f"http://127.0.0.1:{port}/sign-in/{access.new_link(session, people[role].email, now=now)}"
    blog = ThreadingHTTPServer(("127.0.0.1", port + 1), _blog(people["writer"].public_id))
    threading.Thread(target=blog.serve_forever, daemon=True).start()
    _print_steps(port, links)
    cli.flattr(["serve", "--port", str(port)])


def _print_steps(port: int, links: dict[str, str]) -> None:
    extension = Path(__file__).parent.parent / "extension"
    steps = [
        f"1. Open the page         http://127.0.0.1:{port}",
        f"                         and the demo blog, http://127.0.0.1:{port + 1}",
        f"                         (at http://localhost:{port + 1} it is a stranger's: nobody claimed it)",
        f"2. Load the extension    {extension}",
        "                         Chromium: chrome://extensions, Developer mode, Load unpacked",
        "                         Firefox: about:debugging, This Firefox, Load Temporary Add-on, its manifest.json",
        *(f"3. Sign in as {role:10} {link}" for role, link in links.items()),
        "                         (once, within 15 minutes; mails with later links are printed here)",
        "   Settle an ended month .venv/bin/flattr settle",
    ]
    click.echo("\n" + "\n".join(steps) + "\n", err=True)


def _blog(public_id: str) -> type[BaseHTTPRequestHandler]:
    """The writer's blog at 127.0.0.1, and the same pages without a tag, a stranger's, at localhost."""

    class Blog(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            title, text = POSTS.get(self.path, ("Small things, written down", "Three posts so far."))
            mine = (self.headers.get("Host") or "").startswith("127.0.0.1")
            page = PAGE.format(
                title=title,
                text=text,
                site="Wilma's blog" if mine else "A stranger's blog",
                tag=f'<meta name="flattr:id" content="{public_id}">' if mine else "",
                links="".join(f'<p><a href="{path}">{post[0]}</a></p>' for path, post in POSTS.items()),
            ).encode()
            self.send_response(200 if self.path == "/" or self.path in POSTS else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Quiet: what matters is said by Flattr."""

    return Blog


if __name__ == "__main__":
    demo()
