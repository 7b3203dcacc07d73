"""From sign-up to claimed: one tag, no other step."""

import re

from tests.e2e.conftest import Reader
from tests.e2e.test_journeys import OWNER, says, sign_in_by_mail
from tests.e2e.waiting import element, wait_for


def test_an_owner_goes_from_sign_up_to_claimed_with_one_tag_and_no_other_step(browser, server, web):
    sign_in_by_mail(browser, server, "olga@example.org")
    browser.open(f"{server.url}/sites")
    tag = element(browser, "pre").text
    assert re.fullmatch(r'<meta name="flattr:id" content="[0-9a-z]{12}">', tag)
    web.heads[OWNER] = tag

    rita = Reader(browser, server, web)
    rita.press(web.page(OWNER))
    browser.popup_shows("promise")
    wait_for(lambda: server.flattr("claims", "list")["claims"], "the claim")
    browser.close_popup()
    browser.press()
    assert browser.popup_shows("counts")["payee"] == "olga"
    browser.close_popup()

    browser.open(f"{server.url}/sites")
    assert "Yours" in element(browser, "table").text


def test_an_owner_sees_why_a_check_failed_and_what_to_do(browser, server, web):
    sign_in_by_mail(browser, server, "olga@example.org")
    browser.open(f"{server.url}/sites")
    element(browser, "#site").send_keys(web.site(OWNER))
    element(browser, "main form button").click()
    says(browser, "no flattr:id tag")

    web.heads[OWNER] = element(browser, "pre").text
    element(browser, "main form button").click()
    says(browser, "Yours")
