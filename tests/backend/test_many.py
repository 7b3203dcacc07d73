"""What there may be any number of, where PostgreSQL takes 65,535 parameters and SQLite conditions of 1,000 parts."""

import pytest
import sqlalchemy as sa

from backend import card_money, claims, clicks, sites
from backend.claims import Claim, states
from backend.clicks import Click
from backend.jobs import Job
from backend.payouts import batches
from backend.sites import Page, Site
from tests.backend.browser import Visitor
from tests.backend.claiming import EMPTY, OPT_OUT, mails, prove_by_dns, waiting
from tests.backend.office import TERMS as PAYING
from tests.backend.office import Office

MANY = 70_000
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


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


def test_a_site_that_takes_no_part_asks_no_more_of_the_database_the_more_readers_had_pressed(town):
    for reader in range(60):
        town.person(f"Reader{reader}")
        town.press(f"Reader{reader}", "popular.example.org/")
        if reader < 2:
            town.press(f"Reader{reader}", "lonely.example.org/")
    town.web |= {"lonely.example.org": OPT_OUT, "popular.example.org": OPT_OUT}
    few, many = (
        statements_of(town, lambda site=site: town.look(site)) for site in ("lonely.example.org", "popular.example.org")
    )
    assert many <= few
    assert all(town.month(f"Reader{reader}").clicks == [] for reader in range(60))
    told = [name for name, subject in mails(town) if subject == "popular.example.org takes no part"]
    assert sorted(told) == sorted(f"Reader{reader}" for reader in range(60))


def test_taking_an_author_off_the_list_asks_no_more_of_the_database_the_more_pages_are_theirs(town):
    """Each page would be looked for in all lists."""
    for name in ("Ann", "Bea", "Carl"):
        town.person(name)
    counts = []
    for host, pages in (("lonely.example.org", 2), ("popular.example.org", 60)):
        town.claim("Bea", host)
        with town.sessions.begin() as session:
            claims.list_author(session, sites.find(session, host), town.people["Carl"])
        for number in range(pages):
            click, _ = town.press("Ann", f"{host}/{number}")
            with town.sessions.begin() as session:
                clicks.confirm_author(session, session.get(Page, click.page_id), town.people["Carl"], now=town.now)
        town.press("Ann", f"{host}/of-bea")

        def take_off(host=host):
            with town.sessions.begin() as session:
                clicks.remove_author(session, sites.find(session, host), town.people["Carl"], now=town.now)

        assert {click.owner.name for click in town.month("Ann").clicks if click.site == host} == {"Bea", "Carl"}
        counts.append(statements_of(town, take_off))
        assert {click.owner.name for click in town.month("Ann").clicks} == {"Bea"}
    assert counts[1] <= counts[0]
    with town.sessions() as session:
        assert session.scalars(sa.select(Page.id).where(Page.author_id.is_not(None))).all() == []


def test_a_claim_by_dns_asks_no_more_of_the_database_the_more_hosts_below_it_wait(town):
    town.person("Bea")
    town.person("Ann", wallet="20.00")
    hosts = {"few.example.org": 2, "many.example.org": 60}
    for host, below in hosts.items():
        for number in range(below):
            town.press("Ann", f"u{number}.{host}/")
    town.on("2026-11-02")
    town.settle("2026-10")
    for host in hosts:
        town.web[host] = EMPTY
        prove_by_dns(town, "Bea", host)
    few, many = (statements_of(town, lambda host=host: town.look(host)) for host in hosts)
    assert many <= few
    assert sorted(click.site for click in town.month("Ann").clicks) == sorted(
        f"u{number}.{host}" for host, below in hosts.items() for number in range(below)
    )


def test_the_looks_that_payouts_wait_for_are_queued_at_once(sessions, monkeypatch):
    office, counts = Office(sessions, monkeypatch), []
    for owner, hosts, day in (("Bea", 2, "2026-10-25"), ("Carl", 60, "2026-11-25")):
        office.person(owner)
        office.account(owner)
        office.paid(owner, "20.00")
        for number in range(hosts):
            office.claim(owner, f"{owner.lower()}{number}.example.org")
        office.on(day)
        counts.append(statements_of(office, lambda: batches.prepare(sessions, PAYING, now=office.now)))
    assert counts[1] <= counts[0]
    assert len(waiting(office)) == 62


def steps_of(town, act):
    """How many hundreds of steps SQLite takes for an act."""
    taken, engine = [], town.sessions.kw["bind"]
    watch = lambda connection, *_: connection.set_progress_handler(lambda: taken.append(1), 100)  # noqa: E731
    sa.event.listen(engine, "checkout", watch)
    act()
    sa.event.remove(engine, "checkout", watch)
    return len(taken)


@ON_SQLITE
def test_a_press_that_is_sent_again_does_not_look_at_all_of_the_month(town):
    town.person("Ann")
    town.on("2026-09-30")
    old, _ = town.press("Ann", "bea.example.org/", clicked_at=town.now)
    town.on("2026-10-01")
    town.press("Ann", "example.org/", clicked_at=town.now)
    again = (
        lambda: town.press("Ann", "example.org/", clicked_at=town.now),
        lambda: town.press("Ann", "bea.example.org/", clicked_at=old.clicked_at),
    )
    few = [steps_of(town, press) for press in again]
    with town.sessions.begin() as session:
        click = session.scalars(sa.select(Click).limit(1)).one()
        same = {"page_id": click.page_id, "site_id": click.site_id, "clicked_at": town.now, "accepted_at": town.now}
        readers = range(1000, 21_000)
        for period in ("2026-09", "2026-10"):
            session.execute(sa.insert(Click), [same | {"period": period, "reader_id": reader} for reader in readers])
    many = [steps_of(town, press) for press in again]
    assert all(more <= less + 10 for more, less in zip(many, few, strict=True)), (few, many)
    assert town.press("Ann", "bea.example.org/", clicked_at=old.clicked_at)[0].period == "2026-09"


@ON_SQLITE
def test_what_is_held_of_many_owners_is_looked_at_once(town):
    def hold(owners):
        with town.sessions.begin() as session:
            rows = [{"period": "2026-09", "owner_id": o, "ripe_day": 30_000, "held_micros": 1000} for o in owners]
            session.execute(sa.insert(card_money.Held), rows)

    def ask(owners):
        with town.sessions() as session:
            assert len(card_money.held(session, owners, now=town.now)) == len(owners)

    with town.sessions.begin() as session:
        clicks.ensure_period(session, "2026-09")
    hold(range(1, 201))
    few = steps_of(town, lambda: ask(range(1, 201)))
    hold(range(201, 2001))
    many = steps_of(town, lambda: ask(range(1, 2001)))
    assert many < 20 * few  # ten times as many owners, each looked for among ten times as many: 100 times


def test_of_many_sites_a_page_loads_those_that_it_shows(app, town):
    bea = town.person("Bea")
    with town.sessions.begin() as session:
        names = [f"site{number:04}.example.org" for number in range(1000)]
        session.execute(sa.insert(Site), [{"name": name} for name in names])
        for number, site_id in enumerate(session.scalars(sa.select(Site.id).order_by(Site.name)).all()):
            claim = states.ask(session, session.get(Site, site_id), bea, now=town.now)
            if number < 500:
                claim.state, claim.verified_at = "verified", town.now
    visitor, loaded = Visitor(app), []
    note = lambda *_: loaded.append(1)  # noqa: E731 (the listener that is taken away again)
    visitor.sign_in("bea@example.org")
    sa.event.listen(Claim, "load", note)
    first, last = (visitor.visit(path).text for path in ("/sites", "/sites?part=34"))
    assert "site0029.example.org" in first
    assert "site0030.example.org" not in first
    assert "site0999.example.org" in last
    first, last = (visitor.visit(f"/u/{bea.public_id}{part}").text for part in ("", "?part=2"))
    assert "site0299.example.org" in first
    assert "site0300.example.org" not in first
    assert "site0499.example.org" in last
    assert "site0500.example.org" not in last
    sa.event.remove(Claim, "load", note)
    assert len(loaded) == 40
