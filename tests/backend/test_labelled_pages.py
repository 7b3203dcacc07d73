"""Pages labelled by hand: whose they are, or that the address cannot say. Nobody is better than the wrong person."""

import json
from pathlib import Path

from backend import platforms, sites
from backend.errors import NotFlattrable
from backend.urls import canonical
from tests.rows import each

PAGES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/labelled_pages.jsonl").read_text("utf-8").splitlines()
]
LABELLED = [page for page in PAGES if page["site"] != "unsure"]


def answer(url):
    """The site that a page would be promised to, or ``unsure``: many people's, or no page that can be flattred."""
    try:
        site = sites.site_of(canonical(url))
    except NotFlattrable:
        return "unsure"
    return "unsure" if platforms.is_shared(site) else site


@each("page", PAGES, lambda page: page["url"])
def test_no_page_is_given_to_the_wrong_site(page):
    assert answer(page["url"]) in (page["site"], "unsure"), page["why"]


def test_almost_every_page_whose_address_says_so_has_its_site():
    undecided = [page["url"] for page in LABELLED if answer(page["url"]) == "unsure"]
    assert len(undecided) <= len(LABELLED) * 5 // 100, undecided


def test_there_are_enough_labels_and_each_has_a_reason():
    assert len(PAGES) >= 330
    assert len({page["url"] for page in PAGES}) == len(PAGES)
    assert all(page.keys() == {"url", "site", "why"} and all(page.values()) for page in PAGES)
