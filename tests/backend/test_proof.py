"""What proves control over a site, and all that looks like it (RULES 3.1 to 3.4)."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend import access
from backend.claims import Claim, ids_in_head, proof
from backend.claims.proof import FILE_PATH, Wanted, by_dns, by_file, by_rel_me, by_tag, token_line
from backend.users import User
from tests.backend.claiming import all_claims, ask, prove_by_dns, prove_by_file, state, token

BEA, CARL = "bea000000000", "car100000000"
MINE, THEIRS = Wanted(BEA, "0123456789abcdefghjkmnpqrs"), Wanted(CARL, "srqpnmkjhgfedcba9876543210")
LINE, OTHER_LINE = token_line(MINE.token), token_line(THEIRS.token)
META = f'<meta name="flattr:id" content="{BEA}">'
BASE = "https://flattr.example"


def page(head, body=""):
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


@pytest.mark.parametrize(
    "html",
    [
        page(META),
        page(f'<META CONTENT="{BEA}" NAME=" Flattr:ID\n">'),
        page(f'<meta name="flattr:id" content="\t {BEA}\n">'),
        page(META + META),
        page(META + '<meta name="flattr:id" content="  ">'),
        page('<meta name="flattr:id">' + META),
        b"\xef\xbb\xbf" + page(META),
        META.encode(),
        page(f"<title>x</title><link rel=stylesheet href=x>\r\n{META}\r\n"),
    ],
    ids=["plain", "capitals", "spaces", "twice", "empty beside", "no content beside", "bom", "bare", "crlf"],
)
def test_one_tag_in_the_head_proves(html):
    found = by_tag(html, {})
    assert (found.code, found.ids) == ("proved", (BEA,))


@pytest.mark.parametrize(
    ("html", "code"),
    [
        (page(""), "no_tag"),
        (page("", META), "no_tag"),
        (page(f"<!-- {META} -->"), "no_tag"),
        (page(f"<noscript>{META}</noscript>"), "no_tag"),
        (page(f"<template>{META}</template>"), "no_tag"),
        (page(f"<svg>{META}</svg>"), "no_tag"),
        (page(f"<script>'{META}'</script>"), "no_tag"),
        (page(f"<title>{META}</title>"), "no_tag"),
        (page(f'<meta property="flattr:id" content="{BEA}">'), "no_tag"),
        (page(f'<meta name="flattr:id2" content="{BEA}">'), "no_tag"),
        (page(f'<meta name="flattr:\u0131d" content="{BEA}">'), "no_tag"),
        (page('<meta name="flattr:id" content=" ">'), "no_tag"),
        (page(META + f'<meta name="flattr:id" content="{CARL}">'), "two_ids"),
        (page(META + '<meta name="flattr:id" content="none">'), "two_ids"),
        (page(META + "\0"), "nul_byte"),
        (b"", "no_tag"),
        (b"<!--" + b"x" * 131_072 + b"-->" + page(META), "no_tag"),
        (page('<meta name="flattr:id" content="none">'), "opted_out"),
        (page('<meta name="flattr:id" content="\nnone ">'), "opted_out"),
    ],
)
def test_what_a_browser_does_not_see_as_one_tag_in_the_head_proves_nothing(html, code):
    found = by_tag(html, {})
    assert (found.code, found.ids) == (code, ())


def test_evidence_of_tags_is_short_whatever_the_page_says():
    html = page("".join(f'<meta name="flattr:id" content="{number:0>9999}">' for number in range(12)))
    found = by_tag(html, {"status": 200})
    assert found.evidence["status"] == 200
    assert [len(text) for text in found.evidence["ids"]] == [64] * 8
    assert len(ids_in_head(html)) == 12


@pytest.mark.parametrize(
    "body",
    [
        LINE.encode(),
        f"{LINE}\n".encode(),
        f"\r\n  {LINE}\t\r\n".encode(),
        f"# our proof\r{LINE}\rbye".encode(),
        f"{OTHER_LINE[:-1]}x\n{LINE}\n".encode(),
        b"\xff\xfe binary\n" + LINE.encode() + b"\n",
        b"\xef\xbb\xbf" + LINE.encode(),
    ],
    ids=["bare", "newline", "spaces", "old mac", "beside another", "not utf-8", "bom"],
)
def test_a_whole_line_in_the_file_proves(body):
    assert (by_file(body, [MINE, THEIRS], {}).code, by_file(body, [MINE, THEIRS], {}).ids) == ("proved", (BEA,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        MINE.token,
        f"x{LINE}",
        f"{LINE}x",
        f"{LINE} # mine",
        LINE.upper(),
        LINE.replace("=", " = "),
        LINE[:-1],
        token_line(""),
        f"<p>{LINE}</p>",
        OTHER_LINE,
        "None",
        "none of it",
    ],
)
def test_part_of_a_line_or_the_line_of_another_claim_proves_nothing(text):
    for found in (by_file(text.encode(), [MINE], {}), by_dns([text], [MINE])):
        assert (found.code, found.ids) == ("token_not_found", ())


@pytest.mark.parametrize("text", ["none", " none \r\n", "# we take no part\nnone\n", "\ufeffnone", f"{LINE}\nnone"])
def test_the_file_says_none_and_none_is_stronger_than_a_token(text):
    found = by_file(text.encode(), [MINE], {})
    assert (found.code, found.ids) == ("opted_out", ())


def test_every_txt_record_is_looked_at_and_several_may_prove():
    spf = "v=spf1 -all"
    assert by_dns([spf, f" {LINE} "], [MINE]).ids == (BEA,)
    assert set(by_dns([OTHER_LINE, spf, LINE], [MINE, THEIRS]).ids) == {BEA, CARL}
    assert by_dns([f"{spf} {LINE}", LINE + OTHER_LINE], [MINE, THEIRS]).code == "token_not_found"
    assert by_dns([], [MINE]).code == "token_not_found"
    assert by_dns(["none"], [MINE]).code == "token_not_found", "DNS has no opt-out: nobody promised one"


def link(href, rel="me", name="a"):
    return f'<{name} rel="{rel}" href="{href}">my page</{name}>'


@pytest.mark.parametrize(
    "html",
    [
        page("", link(f"{BASE}/u/{BEA}")),
        page("", link(f" {BASE}/u/{BEA}/\n", rel="nofollow ME noopener")),
        page(f'<link rel="me" href="{BASE}/u/{BEA}">'),
        page("", link(f"{BASE}/u/{BEA}?from=github#x")),
        page("", link(f"https://FLATTR.example:443/u/{BEA}")),
        page("", link(f"{BASE}/u/{BEA}") + link("https://bea.example.org") + link("/elsewhere") + link("https://[")),
        page("", link(f"{BASE}/u/{BEA}") * 2),
    ],
)
def test_a_rel_me_link_to_a_users_page_proves_the_account(html):
    found = by_rel_me(html, BASE, {})
    assert (found.code, found.ids) == ("proved", (BEA,))


@pytest.mark.parametrize(
    "html",
    [
        page("", link(f"{BASE}/u/{BEA}", rel="")),
        page("", link(f"{BASE}/u/{BEA}", rel="nofollow")),
        page("", link(f"{BASE}/u/{BEA}", rel="metoo home")),
        page("", f'<a href="{BASE}/u/{BEA}">me</a>'),
        page("", f"<!-- {link(f'{BASE}/u/{BEA}')} -->"),
        page("", f"<p>{BASE}/u/{BEA}</p>"),
        page("", link(f"https://flattr.example.evil.org/u/{BEA}")),
        page("", link(f"https://evil.org/{BASE}/u/{BEA}")),
        page("", link(f"https://flattr.example@evil.org/u/{BEA}")),
        page("", link(f"https://evil.org\\@flattr.example/u/{BEA}")),
        page("", link(f"https://u:p@flattr.example/u/{BEA}")),
        page("", link(f"https://www.flattr.example/u/{BEA}")),
        page("", link(f"http://flattr.example/u/{BEA}")),
        page("", link(f"https://flattr.example:8443/u/{BEA}")),
        page("", link(f"//flattr.example/u/{BEA}")),
        page("", link(f"/u/{BEA}")),
        page("", link(f"{BASE}/users/{BEA}")),
        page("", link(f"{BASE}/u/{BEA}/sites")),
        page("", link(f"{BASE}/u/../u/{BEA[:-1]}")),
        page("", link(f"{BASE}/u/")),
        page("", link(f"{BASE}/sign-in?next=/u/{BEA}")),
        page("", link("https://[::1")),
        page("", link("https://exa\ud800mple/".encode("utf-8", "replace").decode())),
    ],
)
def test_a_link_that_is_not_rel_me_or_leads_elsewhere_proves_nothing(html):
    found = by_rel_me(html, BASE, {})
    assert (found.code, found.ids) == ("no_link", ())


def test_a_profile_that_names_two_users_names_nobody():
    html = page("", link(f"{BASE}/u/{BEA}") + link(f"{BASE}/u/{CARL}"))
    assert (by_rel_me(html, BASE, {}).code, by_rel_me(html, BASE, {}).ids) == ("two_ids", ())


# Tokens of claims -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prove", [prove_by_dns, prove_by_file])
def test_a_token_proves_for_thirty_days_and_no_longer(town, prove):
    for name, site in (("Bea", "bea.example.org"), ("Carl", "carl.example.org")):
        town.person(name)
        town.web[site] = "<head></head>"
        prove(town, name, site)
    town.now += timedelta(days=30, seconds=-1)
    assert town.look("bea.example.org").code == "proved"
    town.now += timedelta(seconds=1)
    assert town.look("carl.example.org").code == "no_tag"
    assert all_claims(town, "carl.example.org") == [("Carl", "pending")]


def test_an_old_token_is_made_anew_by_asking_and_a_proven_one_stays_good(town):
    town.person("Bea")
    town.web["bea.example.org"] = "<head></head>"
    old = token(town, "Bea", "bea.example.org")
    town.now += timedelta(days=29)
    assert token(town, "Bea", "bea.example.org") == old
    town.now += timedelta(days=1)
    ask(town, "Bea", "bea.example.org")
    fresh = token(town, "Bea", "bea.example.org")
    assert fresh != old

    town.web["dns:_flattr-challenge.bea.example.org"] = [old]
    assert town.look("bea.example.org").code == "no_tag"
    town.web["dns:_flattr-challenge.bea.example.org"] = [fresh]
    assert town.look("bea.example.org").code == "proved"
    town.now += timedelta(days=90)
    assert town.look("bea.example.org").code == "proved"
    assert token(town, "Bea", "bea.example.org") == fresh


def test_the_token_of_one_site_proves_no_other_and_that_of_one_user_nobody_else(town):
    for name in ("Bea", "Carl"):
        town.person(name)
    for site in ("one.example.org", "two.example.org"):
        town.web[site] = "<head></head>"
    line = token(town, "Bea", "one.example.org")
    assert token(town, "Carl", "one.example.org") != line
    assert token(town, "Bea", "two.example.org") != line

    town.web["dns:_flattr-challenge.two.example.org"] = [line]
    town.web[f"https://two.example.org{FILE_PATH}"] = line
    town.look("two.example.org")
    assert all_claims(town, "two.example.org") == [("Bea", "pending")]


def test_a_token_is_never_part_of_a_request(town, monkeypatch):
    town.person("Bea")
    asked = []
    get, txt = town._get, town._txt
    monkeypatch.setattr("backend.fetch.get", lambda url, **more: asked.append(url) or get(url, **more))
    monkeypatch.setattr("backend.fetch.txt", lambda name: asked.append(name) or txt(name))
    town.web["bea.example.org"] = "<head></head>"
    secret = token(town, "Bea", "bea.example.org").partition("=")[2]
    town.look("bea.example.org")
    assert len(asked) == 3
    assert secret not in " ".join(asked)
    assert len(secret) == 26, "5 bits each: 130 random bits"


def test_a_file_that_is_too_large_proves_nothing(town):
    town.person("Bea")
    town.web["bea.example.org"] = "<head></head>"
    line = token(town, "Bea", "bea.example.org")
    town.web[f"https://bea.example.org{FILE_PATH}"] = "#" * 1024 + "\n" + line
    assert town.look("bea.example.org").events == []
    assert state(town, "Bea", "bea.example.org") == "pending"


def test_the_owners_page_shows_no_line_that_is_too_old_and_looking_at_it_changes_nothing(town, client, config):
    town.person("Bea")
    line = token(town, "Bea", "bea.example.org")
    with town.sessions.begin() as session:
        secret = access.sign_in(session, session.get_one(User, town.people["Bea"].id), now=town.now)
        claim = session.scalars(sa.select(Claim)).one()
    client.set_cookie("sid", secret)
    client.set_cookie("__Host-sid", secret)
    assert line in client.get(f"/sites/{claim.id}").text

    with town.sessions.begin() as session:
        session.get_one(Claim, claim.id).token_at -= timedelta(days=30)
    for _ in range(2):
        page = client.get(f"/sites/{claim.id}")
        assert (page.status_code, line in page.text) == (200, False)
        assert "Check now" in page.text
    with town.sessions() as session:
        assert proof.token_line(session.get_one(Claim, claim.id).token) == line
