"""Flattring with the keys, and from the menu of a link: on a screen, with a real mouse, where it takes one."""

import shutil

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.conftest import Reader
from tests.e2e.screen import screen
from tests.e2e.test_journeys import STRANGER
from tests.e2e.waiting import element, wait_for


@pytest.fixture
def on_screen(kind):
    """Chromium has menus and keys on a screen only; Firefox shows them to the driver without one."""
    if kind is not Chromium:
        with kind() as browser:
            yield browser
        return
    if missing := [tool for tool in ("Xvfb", "openbox", "xdotool") if not shutil.which(tool)]:
        pytest.skip(f"{', '.join(missing)} not installed: make setup says how")
    with screen(), kind(headless=False) as browser:
        yield browser


def test_a_link_is_flattred_without_being_opened_and_the_page_by_keys(on_screen, server, web):
    browser = on_screen
    rita = Reader(browser, server, web)
    web.bodies[STRANGER] = f'<p><a id="link" href="{web.page(STRANGER, "/linked")}?utm_source=x#top">Worth it</a></p>'
    browser.open(web.page(STRANGER, "/list"))
    element(browser, "#link").found()
    web.asked.clear()

    browser.choose_for_link("#link")
    said = browser.popup_shows("promise")
    assert said["payee"] == web.site(STRANGER)
    wait_for(lambda: [c["url"] for c in rita.clicks()] == [web.page(STRANGER, "/linked")], "the click")
    assert not [path for path in web.asked if "linked" in path], "the link was not opened"
    browser.close_popup()

    browser.press_keys()
    browser.popup_shows("promise")
    wait_for(lambda: rita.clicks()[0]["url"] == web.page(STRANGER, "/list"), "the page's click")
    assert len(rita.clicks()) == 2
