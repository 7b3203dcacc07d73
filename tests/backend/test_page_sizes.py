"""Pages stay light: all that a page loads, for a reader and owner with hundreds of pages on the list."""

import pytest

from backend import access, clicks, users
from tests.backend.browser import Visitor, on

MOST = 50_000  # bytes: HTML, style and pictures of one page
NAMES = ("אסתר כהן", "محمد علي", "🦄 Zoë", "王小明", "N" * 80)
PAGES, OWNERS = 200, 30
ODD = ("0", "-1", "x", "9" * 30, "٣", "//evil.example", "2&next=//evil.example", "")
ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # what is on a page does not depend on it


@pytest.fixture
def crowded(app, town, config):
    """Ann after a settled month and in an open one, with long titles, on both sides."""
    town.person("Ann", wallet="20.00")
    town.claim("Ann", "ann.example.org")
    with town.sessions.begin() as session:
        for n in range(OWNERS):
            name = f"{NAMES[n % len(NAMES)]}"[:74] + f" {n}"
            town.people[str(n)] = users.add(session, f"p{n}@example.org", now=town.now, name=name)
            users.set_thanks(session, town.people[str(n)], "🦄" * 140, shows_name=True, shows_supporters=True)
        for n in range(20):
            name = f"Browser {n} with a long name on a long system"
            access.new_device(session, town.people["Ann"], name, now=town.now)
    for n in range(OWNERS):
        town.claim(str(n), f"a-host-with-a-long-name-number-{n}.example.org")
    press(town)
    town.deposit("0", "5.00")
    town.on("2026-11-02")
    town.settle()
    press(town)
    with on(config, "2026-11-02") as november:
        visitor = Visitor(november)
        visitor.sign_in("ann@example.org")
        yield visitor


def press(town):
    """Ann presses on many pages of others, and others on many of hers."""
    ann, other, presses = town.people["Ann"].id, town.people["0"].id, []
    for n in range(PAGES):
        title, path = ("💐 A title that goes on " * 20)[: 20 + n % 280], "a-long-path/" * 6
        for host in (f"a-host-with-a-long-name-number-{n % OWNERS}", f"nobody{n % 100}"):
            facts = clicks.PageFacts(f"https://{host}.example.org/{path}{n}", title=title)
            presses.append(clicks.Press(ann, facts))
        facts = clicks.PageFacts(f"https://ann.example.org/{path}{n}", title=title)
        presses.append(clicks.Press(other, facts))
    with town.sessions.begin() as session:
        clicks.record_batch(session, presses, now=town.now)


def weight(visitor, path):
    """The bytes of a page and of what it loads."""
    page = visitor.visit(path)
    assert page.status == 200, path
    loaded = [link.attrs["href"] for link in page.tree.query("link")]
    loaded += [node.attrs["src"] for node in page.tree.query("img") + page.tree.query("script")]
    return len(page.answer.data) + sum(len(visitor.client.get(address).data) for address in loaded)


@ONE
def test_every_page_of_a_crowded_account_is_light(crowded):
    claim = crowded.visit("/sites").links["ann.example.org"]
    paths = ["/", "/month", "/month?part=3", "/month?period=2026-10", "/history", "/money", "/sites", claim, "/income"]
    paths += ["/income?period=2026-10&part=2", "/devices", "/settings", "/for-owners", "/months", "/months/2026-10"]
    paths += ["/without", "/flattr?url=https://ann.example.org/", "/s/ann.example.org", "/privacy", "/leave"]
    weights = {path: weight(crowded, path) for path in paths}
    assert {path: size for path, size in weights.items() if size > MOST} == {}


@ONE
def test_all_of_a_long_list_can_be_reached(crowded):
    found, part = set(), 1
    while True:
        page = crowded.visit(f"/month?period=2026-11&part={part}")
        found |= {button.attrs["value"] for button in page.tree.query("button[name=page_id]")}
        if "Further" not in page.links:
            break
        part += 1
    assert len(found) == 2 * PAGES
    for odd in (*ODD, "99"):
        assert crowded.visit(f"/month?part={odd}").status == 200


@ONE
def test_going_on_in_a_list_of_promises_leaves_the_chart_above_it_where_it_is(crowded):
    page = crowded.visit("/history?period=2026-03")
    years = [page.links["April 2025"], page.links["March 2026"]]
    page = crowded.visit(page.links["Further"])
    assert "2 of" in page.text
    assert [page.links.get("April 2025"), page.links.get("March 2026")] == years


@ONE
def test_who_takes_something_back_in_a_part_of_a_list_is_in_that_part_again(crowded):
    """And nowhere else, whatever a form says."""
    for path, act in (("/month", "/month/undo"), ("/history", "/history/withdraw")):
        page = crowded.visit(f"{path}?part=2")
        button = next(name for name in page.buttons if name.startswith(("Undo", "Withdraw for good")))
        action, form = page.form(button)
        assert (action, form["part"]) == (act, "2")
        for said, back in (("2", f"{path}?part=2"), ("1", path), *((odd, path) for odd in ODD)):
            answer = crowded.client.post(action, data=form | {"part": said}, base_url=crowded.base_url)
            assert (answer.status_code, answer.headers["Location"]) == (303, back), said
        assert "2 of" in crowded.send(action, form).text
        assert (
            "part" not in crowded.visit(path).form(next(b for b in crowded.page.buttons if b.startswith(button[:4])))[1]
        )
