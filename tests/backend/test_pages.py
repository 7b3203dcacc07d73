"""What is true of every page: it is for everybody, it runs nothing, and strangers' words stay words."""

import re

import pytest

from backend import users
from tests.backend.browser import Visitor, device_of, link_to, on

OPEN = ["/", "/sign-in", "/sign-in/x", "/for-owners", "/for-operators", "/privacy", "/months", "/without", "/flattr"]
OWN = ["/month", "/history", "/money", "/sites", "/income", "/devices", "/settings"]
NOT_THERE = ["/nothing", "/month?period=x", "/connect/x", "/static/nothing.css"]
EVIL = "</title></h1>\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u2066evil\x07"


@pytest.fixture
def ann(app, town):
    town.person("Ann")
    visitor = Visitor(app)
    visitor.sign_in("ann@example.org")
    return visitor


@pytest.fixture
def full(app, ann, town, config):
    """Ann again, a month later, with something on every page, all of it named by somebody evil."""
    eve = town.person("Eve")
    town.deposit("Ann", "20.00")
    town.deposit("Eve", "20.00")
    with town.sessions.begin() as session:
        users.add(session, eve.email, now=town.now, name=EVIL)
    town.claim("Eve", "eve.example.org")
    town.claim("Ann", "ann.example.org")
    for reader, page in (("Ann", "eve.example.org"), ("Ann", "nobody.example.org"), ("Eve", "ann.example.org")):
        town.press(reader, f"{page}/?q=%22%3E%3Cscript%3E", title=EVIL)
    device_of(app, town, "Ann", "<b>Browser</b>")
    town.on("2026-11-02")
    town.settle()
    for page in ("eve.example.org/new", "nobody.example.org/new"):
        town.press("Ann", page, title=EVIL)
    with on(config, "2026-11-02") as november:
        ann.client.application = november
        yield ann


def assert_is_for_everybody(page, path):
    """A language, a title, one heading, a name for everything that can be filled in or pressed."""
    tree = page.tree
    assert tree.query("html")[0].attrs["lang"] == "en", path
    assert len(tree.query("title")[0].to_text()) > 5, path
    assert len(tree.query("h1")) == 1, path
    assert len(tree.query("main")) == 1, path
    labelled = {label.attrs["for"] for label in tree.query("label")}
    for field in tree.query("input") + tree.query("select") + tree.query("textarea"):
        assert field.attrs.get("type") == "hidden" or field.attrs["id"] in labelled, (path, field.attrs)
    assert all(page.buttons), path
    assert all(link.to_text().strip() for link in tree.query("a")), path
    ids = [node.attrs["id"] for node in tree.query("[id]")]
    assert len(ids) == len(set(ids)), path
    for image in tree.query("img"):
        assert image.attrs.get("alt") is not None, path


def assert_runs_nothing(page, path):
    """Nothing that the strict policy would block, so that it can stay strict."""
    policy = {part.split()[0]: part.split()[1:] for part in page.headers["Content-Security-Policy"].split("; ")}
    assert policy["default-src"] == ["'none'"], path
    scripts = [node.attrs for node in page.tree.query("script")]
    if scripts:  # a file of ours, on the one page that says so
        assert (path.partition("?")[0], scripts) == ("/month", [{"type": "module", "src": "/static/month.js"}])
        assert (policy["script-src"], policy["connect-src"]) == (["'self'"], ["'self'"])
    else:
        assert "script-src" not in policy or path.startswith("/month"), path
    assert policy["style-src"] == ["'self'"], path
    assert policy["form-action"] == ["'self'"], path
    assert (policy["base-uri"], policy["frame-ancestors"]) == (["'none'"], ["'none'"]), path
    assert page.headers["X-Content-Type-Options"] == "nosniff", path
    assert page.headers["Referrer-Policy"] in ("same-origin", "no-referrer"), path
    assert page.tree.query("style") + page.tree.query("iframe") == [], path
    for node in page.tree.query("*"):
        odd = [name for name in node.attrs or {} if name == "style" or name.startswith("on")]
        assert odd == [], (path, node.name, odd)
    for link in page.tree.query("a") + page.tree.query("link"):
        dragged = path == "/without" and link.attrs.get("class") == "bookmarklet"
        assert dragged or re.match(r"/(?!/)|#|https?://", link.attrs["href"]), (path, link.attrs["href"])
    for form in page.tree.query("form"):
        if form.attrs["method"] == "get":  # it asks, and changes nothing
            assert path.partition("?")[0] in ("/", "/flattr"), path
            continue
        assert form.attrs["method"] == "post", path
        assert form.query("input[name=csrf_token]"), path


def test_every_page_is_for_everybody_and_runs_nothing(ann):
    stranger = Visitor(ann.client.application)
    for visitor, paths, status in ((stranger, OPEN, 200), (ann, OPEN + OWN, 200), (stranger, NOT_THERE[:1], 404)):
        for path in paths:
            page = visitor.visit(path)
            assert page.status == status, path
            assert_is_for_everybody(page, path)
            assert_runs_nothing(page, path)


def test_every_page_with_something_on_it_is_for_everybody_and_runs_nothing(full):
    for path in [*OWN, "/leave", "/month?period=2026-10", "/income?period=2026-10"]:
        page = full.visit(path)
        assert page.status == 200, path
        assert_is_for_everybody(page, path)
        assert_runs_nothing(page, path)


def test_every_refusal_is_for_everybody_and_runs_nothing(ann):
    for path in NOT_THERE:
        page = ann.visit(path)
        assert page.status in (404, 410, 422), path
        assert page.heading == "That did not work"
        assert_is_for_everybody(page, path)
        assert_runs_nothing(page, path)


def test_every_page_for_people_asks_strangers_to_sign_in(app):
    paths = {
        rule.rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and rule.endpoint.startswith("web.")
    }
    asked = {path for path in paths if app.test_client().get(path).location == f"/sign-in?next={path}"}

    assert asked >= {*OWN, "/export", "/export.csv", "/leave"}
    rest = {path for path in paths - asked if "<" not in path and not path.startswith("/desk")}
    assert rest == {"/", "/sign-in", "/months", "/without", "/flattr"}


def test_the_words_of_strangers_stay_words(full):
    for path in ("/month", "/month?period=2026-10", "/income?period=2026-10", "/devices"):
        page = full.visit(path)
        scripts = [node for node in page.tree.query("script") if node.attrs.get("src") != "/static/month.js"]
        assert page.tree.query("img") + scripts + page.tree.query("b") == [], path
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page.html), path
        assert ("<script>alert(1)</script>" in page.text) == (path != "/devices"), path
    assert "<b>Browser</b>" in full.visit("/devices").text


def test_links_to_strangers_tell_them_nothing(full):
    found = 0
    for path in ("/month", "/month?period=2026-10", "/income?period=2026-10"):
        for link in full.visit(path).tree.query("a[href^=http]"):
            assert set(link.attrs["rel"].split()) == {"noopener", "noreferrer", "nofollow", "ugc"}, link.attrs["href"]
            found += 1
    assert found == 5


def test_a_sign_in_link_is_not_told_to_anybody(app):
    visitor = Visitor(app)
    page = visitor.follow_mail("ann@example.org")

    assert page.tree.query("meta[name=referrer]")[0].attrs["content"] == "no-referrer"
    token = link_to(visitor.config, "ann@example.org").rpartition("/")[2]
    assert [node.name for node in page.tree.query("*") if token in " ".join(map(str, node.attrs.values()))] == ["form"]


def test_what_somebody_typed_comes_back_as_text(app):
    visitor = Visitor(app)
    page = visitor.visit('/sign-in?next="><script>alert(1)</script>')
    assert page.tree.query("script") == []
    visitor.press("Send the link", email="<script>alert(1)</script>@x")
    assert visitor.page.tree.query("script") == []
    assert "<script>alert(1)</script>@x is not an e-mail address" in visitor.page.text


def test_each_page_says_which_one_it_is(ann):
    for path in OWN:
        current = ann.visit(path).tree.query("nav a[aria-current=page]")
        assert [link.attrs["href"] for link in current] == ["/settings" if path == "/devices" else path]


def test_style_sheets_are_served_from_here(client):
    for path in ("/static/tokens.css", "/static/site.css", "/static/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import|expression\(", answer.text)
