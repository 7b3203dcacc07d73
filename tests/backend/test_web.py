"""Visits, as people make them: signing in, the month, the money, the sites, the browsers."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend import access, checks, claims, deposits, jobs, sites, users
from backend.access import SignInLink
from backend.users import User
from tests.backend.browser import Visitor, device_of, link_to, mails, on, running
from tests.backend.town import WORLD


@pytest.fixture
def ann(app, town):
    """Ann, signed in and on her month's page."""
    town.person("Ann", budget="5.00")
    visitor = Visitor(app)
    visitor.sign_in("ann@example.org")
    return visitor


def claim(town, name, site, config):
    """Somebody's tag is found on a site: the claim, and the path of the "this was not me" link that is mailed."""
    town.web[site] = town.tag(name)
    outcome = checks.look(town.sessions, site, replace(WORLD, secret=config.secret_key), now=town.now)
    [(_, claimed)] = outcome.events
    with town.sessions() as session:
        mailed = session.scalars(sa.select(jobs.Job.payload).where(jobs.Job.kind == "mail")).all()
    texts = [mail["text"] for mail in mailed if mail["to"] == town.people[name].email]
    return claimed, next(word for word in texts[-1].split() if "/not-me/" in word).removeprefix(WORLD.base_url)


def is_signed_in(visitor):
    return visitor.visit("/settings").status == 200


# Signing in -----------------------------------------------------------------------------------------------------------


def test_somebody_new_signs_in_by_mail(app):
    visitor = Visitor(app)
    page = visitor.follow_mail("New.Person@Example.org")
    assert page.heading == "Welcome"
    assert not is_signed_in(visitor)

    visitor.visit(link_to(visitor.config, "new.person@example.org"))
    page = visitor.press("Sign in")
    assert (page.status, page.heading) == (200, "October 2026")
    assert "Signed in as new.person@example.org" in visitor.visit("/settings").text


def test_a_scanner_that_opens_the_link_does_not_use_it_up(app):
    visitor = Visitor(app)
    visitor.follow_mail("ann@example.org")
    path = link_to(visitor.config, "ann@example.org")
    for _ in range(3):
        app.test_client().get(path)
        app.test_client().head(path)

    visitor.visit(path)
    assert visitor.press("Sign in").heading == "October 2026"


def test_a_link_works_once(app, ann):
    used = link_to(ann.config, "ann@example.org")
    other = Visitor(app)
    other.visit(used)

    page = other.press("Sign in")
    assert (page.status, page.heading) == (410, "That did not work")
    assert not is_signed_in(other)


def test_only_the_newest_link_works(app):
    visitor = Visitor(app)
    visitor.follow_mail("ann@example.org")
    older = link_to(visitor.config, "ann@example.org")
    visitor.follow_mail("ann@example.org")
    newer = link_to(visitor.config, "ann@example.org")

    visitor.visit(older)
    assert visitor.press("Sign in").status == 410
    visitor.visit(newer)
    assert visitor.press("Sign in").heading == "October 2026"


def test_a_link_works_for_fifteen_minutes(app, config, town):
    visitor = Visitor(app)
    visitor.follow_mail("ann@example.org")
    path = link_to(config, "ann@example.org")

    with on(config, town.now + timedelta(minutes=15)) as too_late:
        late = Visitor(too_late)
        late.visit(path)
        assert late.press("Sign in").status == 410
    with on(config, town.now + timedelta(minutes=14, seconds=59)) as in_time:
        early = Visitor(in_time)
        early.visit(path)
        assert early.press("Sign in").heading == "October 2026"


def test_nobody_learns_whether_an_address_is_known(app, town):
    town.person("Ann")
    told = []
    for address in ("ann@example.org", "who@example.org"):
        visitor = Visitor(app)
        visitor.visit("/sign-in")
        page = visitor.press("Send the link", email=address)
        told.append((page.status, page.text.replace(address, "…")))

    assert told[0] == told[1]
    assert [mail["To"] for mail in mails(app.config["FLATTR"])] == ["ann@example.org", "who@example.org"]


def test_the_link_in_the_mail_leads_here_whatever_host_was_named(app):
    visitor = Visitor(app, "http://evil.example.net")
    visitor.visit("/sign-in")
    visitor.press("Send the link", email="ann@example.org")

    assert "http://127.0.0.1:8000/sign-in/" in mails(visitor.config)[-1].get_payload()
    assert "evil" not in mails(visitor.config)[-1].as_string()


def test_what_is_no_address_is_said_and_not_mailed(app):
    visitor = Visitor(app)
    for text in ("", "ann", "ann@", "ann@example.org, eve@example.org", "ann@example.org\nBcc: eve@example.org"):
        visitor.visit("/sign-in")
        page = visitor.press("Send the link", email=text)
        assert (page.status, "is not an e-mail address" in page.text) == (422, True), text
    assert mails(visitor.config) == []


def test_five_mails_an_hour_are_enough(app):
    visitor = Visitor(app)
    for number in range(5):
        visitor.visit("/sign-in")
        assert visitor.press("Send the link", email=f"person{number}@example.org").status == 200
    visitor.visit("/sign-in")

    page = visitor.press("Send the link", email="ann@example.org")
    assert page.status == 429
    assert "too often" in page.text
    assert len(mails(visitor.config)) == 5


def test_a_mail_server_that_is_down_is_admitted(config):
    with running(replace(config, mail_url="smtp://127.0.0.1:1")) as app:
        visitor = Visitor(app)
        visitor.visit("/sign-in")
        page = visitor.press("Send the link", email="ann@example.org")
    assert page.status == 503
    assert "could not be sent" in page.text


def test_people_come_back_to_where_they_wanted_to_go(app):
    visitor = Visitor(app)
    answer = visitor.client.get("/money")
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/money")

    assert visitor.sign_in("ann@example.org", next_path="/money").heading == "Add money"


def test_a_sign_in_link_leads_to_no_other_site(app, sessions):
    evil = [
        "https://evil.example.net/",
        "//evil.example.net",
        "/\\evil.example.net",
        "javascript:alert(1)",
        "",
        "month",
    ]
    evil += ["/\t/evil.example.net", "/\n/evil.example.net", "\\/evil.example.net", "/" + "a" * 2400, "/\u2028/evil"]
    visitor = Visitor(app)
    visitor.visit("/sign-in")
    action, form = visitor.page.form("Send the link")
    kept = []
    for number, path in enumerate(evil):
        with sessions.begin() as session:
            token = access.new_link(session, f"p{number}@example.org", now=visitor.config.now(), next_path=path)
        answer = visitor.client.post(f"/sign-in/{token}", data={"csrf_token": form["csrf_token"]})
        kept.append(answer.location)
    assert kept == ["/month"] * len(evil)

    visitor.send(action, form | {"email": "ann@example.org", "next": "//evil.example.net"})
    with sessions() as session:
        asked = session.scalars(sa.select(SignInLink.next_path).where(SignInLink.email == "ann@example.org")).all()
    assert asked == ["/month"]


def test_signing_in_gives_a_new_cookie_and_ends_the_old_one(app, ann):
    old = ann.client.get_cookie("sid").value
    ann.sign_in("ann@example.org")
    new = ann.client.get_cookie("sid").value

    thief = Visitor(app)
    thief.client.set_cookie("sid", old)
    assert new != old
    assert not is_signed_in(thief)
    assert is_signed_in(ann)


def test_a_cookie_that_was_planted_is_not_what_somebody_signs_in_with(app, town):
    visitor = Visitor(app)
    visitor.client.set_cookie("sid", "planted")
    visitor.sign_in("ann@example.org")

    assert visitor.client.get_cookie("sid").value != "planted"


def test_signing_out_ends_this_sign_in(app, ann):
    other = Visitor(app)
    other.sign_in("ann@example.org")
    cookie = ann.client.get_cookie("sid").value
    ann.visit("/settings")
    ann.press("Sign out")

    assert ann.client.get_cookie("sid") is None
    ann.client.set_cookie("sid", cookie)
    assert not is_signed_in(ann)
    assert is_signed_in(other)


def test_signing_out_everywhere_leaves_only_the_extension_connected(app, ann, town):
    other, device = Visitor(app), device_of(app, town, "Ann")
    other.sign_in("ann@example.org")
    ann.visit("/settings")
    ann.press("Sign out everywhere")

    assert not is_signed_in(other)
    assert not is_signed_in(ann)
    assert device.get("/me").status_code == 200


def test_a_sign_in_ends_after_ninety_days(ann, config, town):
    cookie = ann.client.get_cookie("sid").value
    signed_in = {}
    for days in (89, 90):
        with on(config, town.now + timedelta(days=days)) as later:
            visitor = Visitor(later)
            visitor.client.set_cookie("sid", cookie)
            signed_in[days] = is_signed_in(visitor)
    assert signed_in == {89: True, 90: False}


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(app, town):
    with running(replace(app.config["FLATTR"], base_url="https://flattr.example")) as secure:
        cookies = {}
        for name, visitor in (("sid", Visitor(app)), ("__Host-sid", Visitor(secure, "https://flattr.example"))):
            visitor.follow_mail("ann@example.org")
            action, form = visitor.page.form("Sign in")
            answer = visitor.client.post(action, data=form, base_url=visitor.base_url)
            cookies[name] = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith(f"{name}="))
        for name, visitor in (("form", Visitor(app)), ("__Host-form", Visitor(secure, "https://flattr.example"))):
            cookies[name] = visitor.visit("/sign-in").headers["Set-Cookie"]
            assert cookies[name].startswith(f"{name}=")
    for cookie in cookies.values():
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    secured = {name: "Secure" in cookie.split("; ") for name, cookie in cookies.items()}
    assert secured == {"sid": False, "form": False, "__Host-sid": True, "__Host-form": True}


# Forms ----------------------------------------------------------------------------------------------------------------


def test_a_form_that_another_site_sends_changes_nothing(app, ann, town):
    page_id = town.press("Ann", "nobody.example.org/")[0].page_id
    device_of(app, town, "Ann")
    eve = town.person("Eve")
    claimed, not_me = claim(town, "Ann", "ann.example.org", ann.config)
    site = f"/sites/{claimed.id}"
    shown = ("/month", "/money", "/devices", "/settings", "/sites", site, "/payout-settings")
    forms = {
        "/month/undo": {"page_id": page_id, "period": "2026-10"},
        "/month/budget": {"budget": "900.00"},
        "/month/empty": {"choice": "repeat"},
        "/history/withdraw": {"page_id": page_id},
        "/leave": {"email": "ann@example.org"},
        "/money/pretend": {},
        "/money/refund": {},
        "/payout-settings": {"iban": "DE89370400440532013000", "holder": "Eve"},
        "/money/card": {"amount": "20.00"},
        "/money/card/refund": {"amount": "1.00"},
        "/devices/1/disconnect": {},
        "/settings": {"name": "Eve"},
        "/settings/mails": {},
        "/thanks": {"line": "Eve was here"},
        "/flattr": {"url": "https://eve.example.org/"},
        "/sites": {"site": "evil.example.net"},
        f"{site}/give-up": {},
        f"{site}/authors": {"public_id": eve.public_id},
        not_me: {},
        "/desk/months/dry_run": {"period": "2026-09"},
        "/desk/deposits/import": {},
        "/desk/deposits/1/assign": {"public_id": eve.public_id},
        "/desk/deposits/1/release": {},
        "/desk/deposits/1/reverse": {"public_id": eve.public_id},
        "/desk/payouts/prepare": {},
        "/desk/payouts/1/approve": {"digest": "00"},
        "/desk/payouts/1/export": {},
        "/desk/payouts/1/confirm": {},
        "/desk/payouts/1/cancel": {},
        "/desk/payouts/1/fail": {"payout": "1", "reason": "x"},
        "/desk/claims/1/approve": {"public_id": eve.public_id, "reason": "x"},
        "/desk/claims/1/revoke": {"claim": "1", "reason": "x"},
        "/desk/jobs/retry": {"job": "1"},
        "/desk/audit/audit": {},
        "/sign-out": {"everywhere": "1"},
        "/sign-in": {"email": "ann@example.org"},
        "/sign-in/token": {},
        "/connect/x": {"code": "000000"},
    }
    programs = ("/api/", "/webhooks/")  # which bring no cookies, so that nobody can use somebody else's
    posts = {rule.rule for rule in app.url_map.iter_rules() if "POST" in rule.methods}
    routes = {rule for rule in posts if not rule.startswith(programs)}
    routes.remove("/mails/<token>")  # what is signed in it is the secret, and mail programs know no other (RFC 8058)
    assert len(routes) == len(forms), f"a form is missing here: {sorted(routes)}"
    before = [ann.visit(path).text for path in shown]
    mailed = len(mails(ann.config))

    for path, form in forms.items():
        for forged in ({}, {"csrf_token": "forged"}):
            page = ann.send(path, form | forged)
            assert (page.status, page.heading) == (400, "That did not work"), path
    assert [ann.visit(path).text for path in shown] == before
    assert len(mails(ann.config)) == mailed


def test_a_form_token_of_somebody_else_is_refused(app, ann):
    eve = Visitor(app)
    eve.visit("/sign-in")
    _, form = eve.page.form("Send the link")

    assert ann.send("/month/budget", {"budget": "900.00", "csrf_token": form["csrf_token"]}).status == 400


def test_forms_that_are_filled_with_anything_are_answered_with_a_page(ann, town):
    claimed, _ = claim(town, "Ann", "ann.example.org", ann.config)
    _, form = ann.visit("/month").form("Change")
    odd = [
        "",
        "x",
        "-1",
        "9" * 30,
        "1e9",
        "\u0664",
        "٣",
        "\x00",
        "<script>",
        "'; DROP TABLE users --",
        "5,5,5",
        "5.1234567",
    ]
    for text in odd:
        for path, field in (
            ("/month/budget", "budget"),
            ("/month/undo", "page_id"),
            ("/sites", "site"),
            (f"/sites/{claimed.id}/authors", "public_id"),
            ("/connect/x", "code"),
        ):
            page = ann.send(path, {"csrf_token": form["csrf_token"], field: text})
            assert page.status in (404, 410, 422), (path, text, page.status)
            assert page.heading == "That did not work"
    for number in ("99999999999999999999999", "0", "-1", "x"):
        assert ann.send(f"/devices/{number}/disconnect", form).status == 404
        for path in (f"/sites/{number}/give-up", f"/sites/{number}/authors"):
            assert ann.send(path, form).status in (404, 422), path
            assert ann.page.heading == "That did not work"
        assert ann.visit(f"/sites/{number}").status in (404, 422)
    assert ann.send("/not-me/forged", form).status == 404
    assert "ann.example.org Yours since 5 October" in ann.visit("/sites").text
    assert "5.00" in ann.visit("/month").field("budget")["value"]


# The month ------------------------------------------------------------------------------------------------------------


def test_the_month_shows_what_a_share_is_worth_and_the_rest_of_the_list(ann, town):
    town.deposit("Ann", "20.00")
    for owner in ("Bea", "Carl"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
        town.press("Ann", f"{owner.lower()}.example.org/post", title=f"By {owner}")
    town.press("Ann", "nobody.example.org/essay?page=2")

    page = ann.visit("/month")
    assert "2.50 €" in page.text
    assert "for each of 2 people" in page.text
    assert "until 1 November" in page.text
    assert "20.00 € is in your wallet" in page.text
    assert {"Undo By Bea", "Undo By Carl", "Undo nobody.example.org/essay?page=2"} <= set(page.buttons)
    assert "promise: not here yet" in page.text


def test_without_money_the_month_shows_what_the_budget_would_give(ann, town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")

    assert "5.00 € for one person, once you add money" in ann.visit("/month").text


def test_a_click_is_undone_on_the_month_page(ann, town):
    town.press("Ann", "bea.example.org/one", title="One")
    town.press("Ann", "bea.example.org/two", title="Two")
    ann.visit("/month")

    page = ann.press("Undo One")
    assert (page.status, "Taken back." in page.text) == (200, True)
    assert "Undo Two" in page.buttons
    assert "Undo One" not in page.buttons
    assert "Taken back." not in ann.visit("/month").text


def test_an_open_page_learns_without_a_page_whether_the_list_is_still_the_same(ann, town):
    def version():
        return ann.visit("/month").tree.query("#lead")[0].attrs["data-version"]

    def ask(known):
        return ann.client.get("/month", headers={"If-None-Match": f'"{known}"'})

    seen = [version()]
    town.person("Wilma")
    for change in (
        lambda: town.press("Ann", "wilma.example.org/a"),
        lambda: town.claim("Wilma", "wilma.example.org"),
        lambda: town.deposit("Ann", "20.00"),
        lambda: town.budget("Ann", "7.00"),
        lambda: town.undo("Ann", town.month("Ann").clicks[0].page_id),
    ):
        same = ask(seen[-1])
        assert (same.status_code, same.data) == (304, b"")
        change()
        assert ask(seen[-1]).status_code == 200
        seen.append(version())
    assert len(set(seen)) == len(seen)


def test_undo_on_a_page_that_stayed_open_over_the_end_of_the_month_is_refused(ann, config, town):
    town.press("Ann", "bea.example.org/", title="One")
    ann.visit("/month")
    with on(config, "2026-11-01", hour=0) as november:
        ann.client.application = november
        page = ann.press("Undo One")
    assert page.status == 409
    assert "has ended" in page.text
    assert len(town.month("Ann", "2026-10").clicks) == 1


def test_nobody_undoes_what_somebody_else_flattred(app, ann, town):
    town.person("Eve")
    page_id = town.press("Eve", "bea.example.org/")[0].page_id
    _, form = ann.visit("/month").form("Change")

    ann.send("/month/undo", form | {"page_id": page_id, "period": "2026-10"})
    assert len(town.month("Eve").clicks) == 1


def test_the_budget_is_changed_as_people_type_it(ann):
    for typed, shown in (("7", "7.00"), ("7.50", "7.50"), (" 8,25 ", "8.25"), ("0", "0.00")):
        ann.visit("/month")
        page = ann.press("Change", budget=typed)
        assert f"A month is worth {shown} € to you now." in page.text
        assert page.field("budget")["value"] == shown


def test_a_settled_month_is_shown_to_the_micro(ann, config, town):
    town.deposit("Ann", "20.00")
    for owner in ("Bea", "Carl", "Dora"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
        town.press("Ann", f"{owner.lower()}.example.org/")
    town.on("2026-11-02")

    with on(config, "2026-11-02") as november:
        ann.client.application = november
        assert "it will be settled soon" in ann.visit("/month?period=2026-10").text
        town.settle()
        page = ann.visit("/month?period=2026-10")
    assert "went to 3 people: 3 x 1.666666 € = 4.999998 €. 0.000002 € stays yours." in page.text.replace("\u00d7", "x")
    assert page.buttons == []
    assert "15.00 €" in ann.visit("/money").text


def test_months_are_paged_through_and_only_real_ones(ann):
    page = ann.visit("/month?period=2026-09")
    links = [link.attrs["href"] for link in page.tree.query(".between a")]
    assert (page.heading, links) == ("September 2026", ["/month?period=2026-08", "/month?period=2026-10"])
    assert [link.attrs["href"] for link in ann.visit("/month").tree.query(".between a")] == ["/month?period=2026-09"]
    for bad in ("", "2026-13", "x", "%00", "2026-9"):
        for path in ("/month", "/income"):
            assert ann.visit(f"{path}?period={bad}").status == 422, bad


# Money ----------------------------------------------------------------------------------------------------------------


def test_money_comes_by_bank_transfer_with_a_reference(config, town):
    bank = {"bank_name": "Flattr e.V.", "bank_iban": "DE02120300000000202051", "bank_bic": "BYLADEM1001"}
    ann = town.person("Ann", wallet="3.00")
    with running(replace(config, **bank)) as app:
        visitor = Visitor(app)
        page = visitor.sign_in("ann@example.org", next_path="/money")

    names, values = ([node.to_text() for node in page.tree.query(kind)] for kind in ("dt", "dd"))
    shown = dict(zip(names, values, strict=True))
    assert shown["IBAN"].replace(" ", "") == "DE02120300000000202051"
    assert shown["Your reference"].replace(" ", "") == ann.deposit_reference
    assert ann.deposit_reference.startswith("RF")
    assert "3.00 €" in page.text
    assert len(page.tree.query(".qr svg")) == 1


def test_without_a_bank_the_page_says_so(ann, town):
    page = ann.visit("/money")

    assert "has not set up a bank account" in page.text
    assert town.people["Ann"].deposit_reference in page.text.replace(" ", "")
    assert page.tree.query(".qr") == []


def test_what_arrived_is_listed_with_where_it_came_from(ann, town):
    assert "What arrived" not in ann.visit("/money").text
    origin = deposits.Origin("bank", payer_name="A. <b>Example</b>")
    with town.sessions.begin() as session:
        for n in range(13):
            deposits.add(session, town.people["Ann"], 1_000_000 + n * 10_000, f"R{n}", now=town.now, origin=origin)

    rows = [" ".join(row.to_text().split()) for row in ann.visit("/money").tree.query("tbody tr")]
    assert len(rows) == 12
    assert rows[0] == "5 October 2026 Bank transfer A. <b>Example</b> 1.12 €"


def test_money_is_pretended_in_dev_mode_only(config, ann, town):
    _, form = ann.visit("/month").form("Change")
    assert not [button for button in ann.visit("/money").buttons if "Pretend" in button]
    assert ann.send("/money/pretend", form).status == 404
    assert town.balances() == {}

    with running(replace(config, dev=True)) as dev:
        visitor = Visitor(dev)
        visitor.sign_in("ann@example.org", next_path="/money")
        for total in ("20.00", "40.00"):
            page = visitor.press("Pretend 20.00\N{NO-BREAK SPACE}€ arrived")
            assert f"{total} €" in page.text
    assert town.balances() == {"bank": "-40.00", "Ann wallet": "40.00"}


# Sites and income -----------------------------------------------------------------------------------------------------


def test_an_owner_copies_the_tag_and_has_the_site_checked(ann, town, sessions):
    page = ann.visit("/sites")
    tag = f'<meta name="flattr:id" content="{town.people["Ann"].public_id}">'
    assert page.tree.query("pre")[0].to_text() == tag

    page = ann.press("Check now", site="https://www.ann.example.org/some/page")
    assert page.heading == "ann.example.org"
    assert "Looking at it now." in page.text
    assert page.tree.query("pre")[0].to_text() == tag
    with sessions() as session:
        assert jobs.is_waiting(session, "look", "ann.example.org")

    town.claim("Ann", "ann.example.org")
    with sessions.begin() as session:
        session.execute(sa.delete(jobs.Job))
    assert "ann.example.org Yours since 5 October" in ann.visit("/sites").text
    assert "Yours since 5 October" in ann.visit(ann.page.links["ann.example.org"]).text


def test_an_owner_is_told_what_to_do_when_a_check_fails(ann, town, sessions):
    ann.visit("/sites")
    ann.press("Check now", site="ann.example.org")
    town.web["ann.example.org"] = "<head></head>"
    town.look("ann.example.org")
    with sessions.begin() as session:
        session.execute(sa.delete(jobs.Job))

    page = ann.visit("/sites")
    assert "ann.example.org Not proven yet" in page.text
    page = ann.visit(page.links["ann.example.org"])
    assert "Not proven yet." in page.text
    rows = [[cell.to_text().partition(" https")[0] for cell in row.query("td")] for row in page.tree.query("tbody tr")]
    assert [row[0] for row in rows] == ["Tag on the front page", "File", "DNS"]
    assert claims.ADVICE["no_tag"] in rows[0][1]
    assert claims.ADVICE["token_not_found"] in rows[1][1]


def test_an_owner_whose_site_names_somebody_else_is_told_so(ann, town, sessions):
    ann.visit("/sites")
    path = ann.press("Check now", site="bea.example.org").form("bea.example.org is not mine any more")[0]
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    with sessions.begin() as session:
        session.execute(sa.delete(jobs.Job))

    page = ann.visit(path.removesuffix("/give-up"))
    assert "Not proven yet." in page.text
    assert claims.ADVICE["other_id"] in page.text
    assert claims.ADVICE["proved"] not in page.text


def test_what_is_no_site_cannot_be_claimed(ann):
    for text in ("localhost", "10.0.0.1", "co.uk", "javascript:alert(1)", "ann.example.org:8443", "ann"):
        ann.visit("/sites")
        assert ann.press("Check now", site=text).status == 422, text
    assert "Sites" not in [h2.to_text() for h2 in ann.visit("/sites").tree.query("h2")]


def test_checks_of_one_site_are_counted_but_not_impatience(ann, sessions):
    for _ in range(5):
        for _ in range(3):  # the second and third find the first one waiting
            ann.visit("/sites")
            assert ann.press("Check now", site="ann.example.org").status == 200
        with sessions.begin() as session:
            session.execute(sa.delete(jobs.Job))
    ann.visit("/sites")

    assert ann.press("Check now", site="ann.example.org").status == 429


def test_an_owner_gives_a_site_up(ann, town, session):
    town.claim("Ann", "ann.example.org")
    ann.visit(ann.visit("/sites").links["ann.example.org"])

    page = ann.press("ann.example.org is not mine any more")
    assert (page.heading, "no longer yours" in page.text) == ("My sites", True)
    assert "ann.example.org" not in page.links
    assert claims.owner_now(session, sites.find(session, "ann.example.org"), now=town.now) is None


def test_a_claim_that_was_not_me_ends_by_the_link_in_the_mail_but_only_with_its_button(app, ann, town, session):
    _, link = claim(town, "Ann", "ann.example.org", ann.config)
    site = sites.find(session, "ann.example.org")
    person = Visitor(app)

    assert person.visit(link).heading == "Not you, or not right?"
    assert claims.owner_now(session, site, now=town.now).name == "Ann"
    session.rollback()
    assert "The claim on ann.example.org no longer stands" in person.press("This is not right").text
    assert claims.owner_now(session, site, now=town.now) is None
    assert "ann.example.org" not in ann.visit("/sites").links


def test_nobody_sees_or_changes_the_site_of_somebody_else(ann, town, session):
    eve = town.person("Eve")
    town.person("Bea")
    claimed, _ = claim(town, "Bea", "bea.example.org", ann.config)
    _, form = ann.visit("/sites").form("Check now")

    assert ann.visit(f"/sites/{claimed.id}").status == 404
    assert ann.send(f"/sites/{claimed.id}/give-up", form).status == 404
    assert ann.send(f"/sites/{claimed.id}/authors", form | {"public_id": eve.public_id}).status == 404
    site = sites.find(session, "bea.example.org")
    assert claims.owner_now(session, site, now=town.now).name == "Bea"
    assert claims.authors(session, site) == []


def test_an_owner_sees_what_came_in_but_not_from_whom(ann, config, town):
    town.claim("Ann", "ann.example.org")
    for reader in ("Bea", "Carl", "Dora"):
        town.person(reader, budget="5.00", wallet="5.00")
        town.press(reader, "ann.example.org/loved", title="Loved")
        town.press(reader, f"ann.example.org/{len(reader)}-{reader[1:]}", title="Liked")
    town.on("2026-11-02")
    town.settle(fee_bps=100)

    with on(config, "2026-11-02") as november:
        ann.client.application = november
        page = ann.visit("/income")
    rows = [[cell.to_text() for cell in row.query("td")] for row in page.tree.query("tbody tr")]
    assert [(row[1], row[2].replace("\N{NO-BREAK SPACE}", " ")) for row in rows if len(row) == 3] == [
        ("3", "7.500000 €"),
        *[("1", "from 3 readers on")] * 3,
    ]
    assert "14.85 €" in page.text
    assert "14.850000 € from 3 readers, after a fee of 0.150000 €" in page.text
    assert not [reader for reader in ("Bea", "Carl", "Dora") if reader in page.html]


# Browsers -------------------------------------------------------------------------------------------------------------


def test_a_lost_browser_is_disconnected(app, ann, town):
    device, kept = device_of(app, town, "Ann", "Lost laptop"), device_of(app, town, "Ann", "Phone")
    ann.visit("/devices")

    page = ann.press("Disconnect Lost laptop")
    assert "Lost laptop is disconnected." in page.text
    assert device.get("/me").status_code == 401
    assert kept.get("/me").status_code == 200
    assert ann.visit("/devices").buttons == ["Disconnect Phone"]


def test_nobody_disconnects_the_browser_of_somebody_else(app, ann, town):
    town.person("Bea")
    device = device_of(app, town, "Bea", "Bea's browser")
    with town.sessions() as session:
        device_id = session.scalars(sa.select(access.Device.id)).one()
    _, form = ann.visit("/month").form("Change")

    assert ann.send(f"/devices/{device_id}/disconnect", form).status == 404
    assert device.get("/me").status_code == 200
    assert "Bea" not in ann.visit("/devices").text


def test_the_name_that_others_see_is_changed(ann, session):
    ann.visit("/settings")
    page = ann.press("Save", name="  Ann \u202eB. \x00 ")

    assert "Saved." in page.text
    assert page.field("name")["value"] == "Ann B."
    assert session.scalar(sa.select(User.name).where(User.email == "ann@example.org")) == "Ann B."


# Empty months and leaving ---------------------------------------------------------------------------------------------


def test_a_reader_decides_what_an_empty_month_does_while_it_is_empty(ann, town):
    page = ann.visit("/month")
    assert "If this month stays empty" in page.text
    assert "A month without flattrs costs nothing." in page.text

    page = ann.press("Save", choice="repeat")
    assert "Saved. It holds for this month and those to come." in page.text
    with town.sessions() as session:
        assert users.decision(session, town.people["Ann"].id, "2026-10") == (5_000_000, "repeat")

    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    assert "If this month stays empty" not in ann.visit("/month").text


def test_a_charity_is_offered_only_where_there_is_one(ann, app, town):
    assert "Give it to" not in ann.visit("/month").text
    assert ann.press("Save", choice="charity").status == 422

    town.person("Relief")
    app.config["FLATTR"] = replace(app.config["FLATTR"], charity="relief@example.org")
    assert "Give it to Relief" in ann.visit("/month").text
    assert "it goes to Relief, as you chose" in ann.press("Save", choice="charity").text


def test_a_repeated_month_says_whom_it_went_to(ann, town):
    town.deposit("Ann", "20.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-02")
    town.settle()
    with town.sessions.begin() as session:
        users.set_empty_month(session, town.people["Ann"], "repeat", now=town.now)
    town.on("2026-12-02")
    town.settle()

    page = ann.visit("/month?period=2026-11")
    assert "Nobody was flattred on a page in this month, so it went to Bea, as you chose." in page.text
    assert "went to one person" in page.text


def test_somebody_leaves_for_good(ann, app, town):
    town.deposit("Ann", "20.00")
    page = ann.visit("/leave")
    assert "20.00 € is paid back to you" in page.text
    assert ann.press("Leave for good", email="bea@example.org").status == 422
    assert is_signed_in(ann)

    ann.visit("/leave")
    page = ann.press("Leave for good", email="ann@example.org")
    assert page.heading == "You have left"
    assert not is_signed_in(ann)
    assert town.balances() == {}
    assert town.problems() == []


def test_leaving_asks_for_a_fresh_sign_in(ann, town, app):
    app.config["FLATTR"] = replace(app.config["FLATTR"], fixed_now=town.now + timedelta(minutes=11))
    ann.visit("/leave")
    page = ann.press("Leave for good", email="ann@example.org")
    assert "Please sign in again" in page.text
    with town.sessions() as session:
        assert session.get(User, town.people["Ann"].id).left_at is None


# A site's page --------------------------------------------------------------------------------------------------------


def test_a_sites_page_says_how_many_promised_from_three_readers_on_and_how_to_claim(app, town):
    visitor = Visitor(app)
    unknown = visitor.visit("/s/bea.example.org").text
    for name in ("Ann", "Carl", "Dora"):
        assert visitor.visit("/s/bea.example.org").text == unknown
        town.person(name)
        town.press(name, "bea.example.org/1")

    page = visitor.visit("/s/bea.example.org")
    assert (page.status, page.heading) == (200, "bea.example.org")
    assert "3 readers have promised this site a share" in page.text
    assert 'name="flattr:id"' in page.text


def test_the_page_of_a_site_that_is_here_says_whose_it_is(app, town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    page = Visitor(app).visit("/s/bea.example.org")
    assert "goes to Bea" in page.text
    assert "Is it yours?" not in page.text


def test_the_page_of_a_site_that_opted_out_says_so_and_counts_nothing(app, town):
    for name in ("Ann", "Carl", "Dora"):
        town.person(name)
        town.press(name, "bea.example.org/1")
    with town.sessions.begin() as session:
        sites.find(session, "bea.example.org").opted_out_at = town.now
    text = Visitor(app).visit("/s/bea.example.org").text
    assert "asked not to be part of Flattr" in text
    assert "readers" not in text


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("github.com/bea", 200),
        ("github.com", 200),
        ("WWW.bea.example.org", 404),
        ("a.org/post", 404),
        ("10.0.0.1", 422),
    ],
)
def test_what_is_no_site_has_no_page(app, name, status):
    assert Visitor(app).visit(f"/s/{name}").status == status
