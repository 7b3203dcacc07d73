"""What there may be any number of, where PostgreSQL takes 65,535 parameters and SQLite conditions of 1,000 parts."""

import sqlalchemy as sa

from backend import card_money
from backend.claims import Claim
from backend.clicks import Click
from backend.jobs import Job
from backend.sites import Page, Site
from tests.backend.claiming import prove_by_dns

MANY = 70_000


def test_a_month_can_be_settled_whatever_was_claimed_since_it_ended(town):
    for name in ("Ann", "Bea"):
        town.person(name, budget="4.00", wallet="40.00")
    for page in ("example.org/", "blog.example.org/", "notexample.org/"):
        town.press("Ann", page)
    town.on("2026-11-02")
    town.web["example.org"] = "<!doctype html><head></head>"
    prove_by_dns(town, "Bea", "example.org")
    assert town.look("example.org").code == "proved"
    with town.sessions.begin() as session:
        names = [f"site{number}.example.net" for number in range(MANY)]
        session.execute(sa.insert(Site), [{"name": name} for name in names])
        proof = session.scalars(sa.select(Claim)).one()
        columns = [column for column in Claim.__table__.c if column.name not in ("id", "site_id")]
        claimed = sa.select(Site.id).where(Site.name.endswith(".example.net"))
        rows = claimed.add_columns(*(sa.literal(getattr(proof, column.name), column.type) for column in columns))
        session.execute(sa.insert(Claim).from_select(["site_id", *(column.name for column in columns)], rows))

    assert town.settle("2026-10").promises == 3
    joined = [click.url for click in town.month("Ann").clicks if click.promised_in == "2026-10"]
    assert sorted(joined) == ["https://blog.example.org/", "https://example.org/"]


def test_an_owner_may_have_any_number_of_pages(town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    ann = town.person("Ann", budget="7.00", wallet="7.00")
    click, _ = town.press("Ann", "bea.example.org/")
    with town.sessions.begin() as session:
        site = session.scalars(sa.select(Site).where(Site.name == "bea.example.org")).one()
        pages = [{"site_id": site.id, "url": f"https://bea.example.org/{n}", "title": None} for n in range(1, MANY)]
        session.execute(sa.insert(Page), pages)
        others = sa.select(Page.id).where(Page.id != click.page_id)
        same = {"period": "2026-10", "reader_id": ann.id, "site_id": site.id}
        moments = {"clicked_at": town.now, "accepted_at": town.now}
        typed = [sa.literal(value, Click.__table__.c[name].type) for name, value in (same | moments).items()]
        rows = others.add_columns(*typed)
        session.execute(sa.insert(Click).from_select(["page_id", *same, *moments], rows))
    town.on("2026-11-02")
    town.settle("2026-10")

    received = town.statement("Bea", "2026-10").received
    assert (received.received_micros, received.readers, len(received.lines)) == (7_000_000, 1, MANY)
    assert received.lines == sorted(received.lines, key=lambda line: line.url)


def test_what_is_held_is_known_of_any_number_of_owners(town):
    for owner in ("Bea", "Carl"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    town.person("Ann", budget="6.00")
    town.card("Ann", "6.00")
    for owner in ("bea", "carl"):
        town.press("Ann", f"{owner}.example.org/")
    town.on("2026-11-02")
    town.settle("2026-10")
    bea, carl = (town.people[name].id for name in ("Bea", "Carl"))
    with town.sessions() as session:
        everybody = card_money.held(session, range(1, MANY), now=town.now.replace(day=3))
    assert everybody == {bea: 3_000_000, carl: 3_000_000}


def statements_of(town, act):
    """How many statements an act sends to the database."""
    sent, engine = [], town.sessions.kw["bind"]
    note = lambda *said: sent.append(said[2])  # noqa: E731 (the listener that is taken away again)
    sa.event.listen(engine, "before_cursor_execute", note)
    act()
    sa.event.remove(engine, "before_cursor_execute", note)
    return len(sent)


def test_a_claim_asks_no_more_of_the_database_the_more_readers_wait_for_it(town):
    """On SQLite nobody else can write meanwhile."""
    town.person("Bea")
    for reader in range(60):
        town.person(f"Reader{reader}")
        town.press(f"Reader{reader}", "popular.example.org/")
        if reader < 2:
            town.press(f"Reader{reader}", "lonely.example.org/")
    town.on("2026-11-02")
    town.settle("2026-10")
    few, many = (
        statements_of(town, lambda site=site: town.claim("Bea", site))
        for site in ("lonely.example.org", "popular.example.org")
    )
    assert many <= few
    assert all(len(town.month(f"Reader{reader}").clicks) == (2 if reader < 2 else 1) for reader in range(60))
    with town.sessions() as session:
        mails = session.scalars(sa.select(Job).where(Job.kind == "mail", Job.key.contains("promise to popular"))).all()
    assert {mail.payload["to"] for mail in mails} == {f"reader{reader}@example.org" for reader in range(60)}
