"""Journeys of real people: the toolbar button is clicked, on a site of its own, with the real server behind it."""

import email
import email.policy
import signal

from tests.e2e.conftest import NOVEMBER, Reader, link_in
from tests.e2e.waiting import element, wait_for

OWNER, STRANGER = "127.0.0.2", "127.0.0.3"


def heading(browser, text):
    """Wait until the page is the one with this headline."""

    now = "return document.querySelector('h1')?.textContent"
    wait_for(lambda: browser.driver.execute_script(now) == text, f"the page {text!r}")


def says(browser, text):
    """Wait until the page says this; it may reload itself meanwhile."""
    now = "return document.querySelector('main')?.innerText ?? ''"
    wait_for(lambda: text in (browser.driver.execute_script(now) or ""), f"the page to say {text!r}")


def sign_in_by_mail(browser, server, address):
    """Ask for a link, find it in the mail, follow it, press its button."""
    browser.open(f"{server.url}/sign-in")
    element(browser, "#email").send_keys(address)
    element(browser, "form button").click()
    heading(browser, "Look into your mail")
    newest = max(wait_for(lambda: list((server.folder / "outbox").glob("*.eml")), "the mail"))
    mail = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default)
    assert mail["To"] == address
    browser.open(link_in(mail.get_content()))
    element(browser, "main button").click()
    wait_for(lambda: browser.driver.current_url.endswith("/month"), "my month")


def connect(browser, server):
    """From the popup: the tab with the code, the page to type it on, and back."""
    browser.click_in_popup("#act")
    browser.go_to_tab("connect.html")
    connect_with_code(browser, server)


def connect_with_code(browser, server):
    """The code is shown: type it on the page that it leads to."""
    code = wait_for(lambda: element(browser, "#code").text, "the code")
    element(browser, "#open").click()
    browser.go_to_tab("/connect/")
    element(browser, "#code").send_keys(code.lower())
    element(browser, "form button").click()
    heading(browser, "Connected")
    wait_for(lambda: browser.stored("token"), "the token")


def test_one_press_becomes_money_in_the_owners_statement(browser, server, web, wilma):
    browser.store(server=server.url)
    browser.open(web.page(OWNER))
    browser.press()
    said = browser.popup_shows("unconnected")
    assert "act" in said["buttons"]
    assert browser.badge() == "1"

    browser.close_popup()
    sign_in_by_mail(browser, server, "rita@example.org")
    browser.open(web.page(OWNER))
    browser.press()
    browser.popup_shows("unconnected")
    connect(browser, server)
    wait_for(lambda: browser.badge() == "", "the click that waited to be sent")

    browser.open(f"{server.url}/money")
    element(browser, "form button").click()
    assert "20.00" in element(browser, ".said").text
    wait_for(lambda: server.flattr("claims", "list")["claims"], "the tag to claim the site by itself")
    browser.open(web.page(OWNER))
    browser.press()
    said = wait_for(lambda: (s := browser.popup_shows("counts"))["worth"] and s, "the share")
    assert (said["payee"], "5.00" in said["worth"]) == ("Wilma", True)
    browser.close_popup()

    server.go_to(NOVEMBER)
    result = server.flattr("settle")
    assert (result["period"], result["readers"], result["owners"], result["clicks"]) == ("2026-10", 1, 1, 1)
    received = server.flattr("statement", "wilma@example.org", "2026-10")["received"]
    assert (received["received_micros"], received["lines"][0]["url"]) == (5_000_000, web.page(OWNER))
    assert server.flattr("audit")["ok"]
    sign_in_by_mail(browser, server, "wilma@example.org")
    browser.open(f"{server.url}/income?period=2026-10")
    assert "5.00" in element(browser, ".amount").text
    assert "5.000000" in element(browser, "main").text


def test_a_press_can_be_undone_and_pressed_again(browser, rita, web):
    rita.press(web.page(STRANGER))
    assert browser.popup_shows("promise")["payee"] == web.site(STRANGER)
    wait_for(rita.clicks, "the click")

    browser.click_in_popup("#undo")
    browser.popup_shows("undone")
    wait_for(lambda: not rita.clicks(), "the undo")
    browser.close_popup()
    rita.press(web.page(STRANGER))
    browser.popup_shows("undone")
    assert rita.clicks() == [], "a press on a page that was taken back only shows its state"

    browser.click_in_popup("#act")
    browser.popup_shows("promise")
    wait_for(lambda: [click["url"] for click in rita.clicks()] == [web.page(STRANGER)], "the second click")


def test_pressing_a_page_twice_counts_once(browser, rita, web):
    rita.press(web.page(STRANGER))
    browser.popup_shows("promise")
    browser.close_popup()
    browser.press()
    browser.popup_shows("promise")
    assert len(rita.clicks()) == 1


def test_a_press_while_the_server_is_away_waits_and_counts_once(browser, rita, server, web):
    server.stop(signal.SIGKILL)
    rita.press(web.page(STRANGER))
    browser.popup_shows("waiting")
    assert browser.badge() == "1"
    browser.close_popup()

    server.start()
    browser.press()
    browser.popup_shows("promise")
    assert [click["url"] for click in rita.clicks()] == [web.page(STRANGER)]
    wait_for(lambda: browser.badge() == "", "an empty badge")


def test_a_press_survives_the_background_being_stopped(browser, rita, server, web):
    server.stop()
    rita.press(web.page(STRANGER))
    browser.popup_shows("waiting")
    browser.close_popup()
    browser.stop_background()

    server.start()
    browser.open(web.page(STRANGER, "/other"))
    browser.press()
    browser.popup_shows("promise")
    wait_for(lambda: len(rita.clicks()) == 2, "both clicks")
    assert sorted(click["url"] for click in rita.clicks()) == [web.page(STRANGER, "/other"), web.page(STRANGER)]


def test_a_press_survives_the_browser_being_closed(kind, server, web, tmp_path):
    profile = tmp_path / "profile"
    with kind(profile) as browser:
        rita = Reader(browser, server, web)
        server.stop()
        rita.press(web.page(STRANGER))
        browser.popup_shows("waiting")
    server.start()
    assert rita.clicks() == []

    with kind(profile) as browser:
        browser.open(web.page(STRANGER))
        browser.press()
        browser.popup_shows("promise")
    assert [click["url"] for click in rita.clicks()] == [web.page(STRANGER)]


def test_an_undo_after_the_month_has_ended_is_refused_and_the_click_stays(browser, rita, server, web):
    rita.press(web.page(STRANGER))
    browser.popup_shows("promise")
    wait_for(rita.clicks, "the click")
    server.go_to(NOVEMBER)

    browser.click_in_popup("#undo")
    browser.popup_shows("refused")  # a connection that the restart cut is tried again
    assert len(server.ask("/clicks?period=2026-10", rita.token)["clicks"]) == 1


def test_a_press_after_the_month_has_ended_belongs_to_the_new_one(browser, rita, server, web):
    rita.press(web.page(STRANGER))
    browser.popup_shows("promise")
    wait_for(rita.clicks, "the click")
    browser.close_popup()
    server.go_to(NOVEMBER)

    rita.press(web.page(STRANGER))
    wait_for(rita.clicks, "the click of the new month")
    assert rita.clicks()[0]["period"] == "2026-11"
    assert len(server.ask("/clicks?period=2026-10", rita.token)["clicks"]) == 1


def test_an_owner_is_told_that_nobody_flattrs_themselves(browser, rita, server, web):
    web.tag(OWNER, rita.public_id)
    server.flattr("claims", "check", web.site(OWNER))
    rita.press(web.page(OWNER))
    browser.popup_shows("refused")
    assert rita.clicks() == []


def test_a_page_that_cannot_be_flattred_opens_my_month_and_says_why(browser, rita):
    browser.open("data:text/html,<title>nobody's</title>hello")
    browser.press()
    browser.go_to_tab("month.html?why=")
    wait_for(lambda: element(browser, "main").text, "the reason")
    assert rita.clicks() == []


def test_a_disconnected_browser_says_so_and_keeps_what_it_has(browser, rita, server, web):
    sign_in_by_mail(browser, server, "rita@example.org")
    browser.open(f"{server.url}/devices")
    element(browser, "td button").click()
    assert "disconnected" in element(browser, ".said").text
    rita.press(web.page(STRANGER))
    said = browser.popup_shows("disconnected")
    assert "act" in said["buttons"]

    connect(browser, server)
    browser.open(web.page(STRANGER))
    browser.press()
    browser.popup_shows("promise")
    token = server.flattr("users", "token", "rita@example.org")["token"]
    assert [click["url"] for click in server.ask("/clicks", token)["clicks"]] == [web.page(STRANGER)]


def test_the_first_press_after_a_start_is_not_lost(kind, server, web):
    for _ in range(3):
        with kind() as browser:
            rita = Reader(browser, server, web)
            rita.press(web.page(STRANGER))
            browser.popup_shows("promise")


def test_pages_that_were_not_pressed_are_not_looked_at(browser, rita, web):
    browser.open(web.page(STRANGER))
    assert rita.clicks() == []
    assert browser.driver.execute_script("return document.documentElement.outerHTML.includes('flattr')") is False
    assert browser.badge() == ""


def test_popup_and_pages_have_no_accessibility_violations(browser, rita, server, web, wilma, axe):
    rita.press(web.page(STRANGER))
    browser.popup_shows("promise")
    assert browser.popup_violations(axe) == []
    browser.close_popup()
    for page in ("connect", "month", "settings"):
        browser.open(f"{browser.origin}/pages/{page}.html")
        wait_for(lambda: element(browser, "main").text, page)
        assert (page, browser.accessibility_violations(axe)) == (page, [])
    browser.open(server.url)
    assert browser.accessibility_violations(axe) == []
    sign_in_by_mail(browser, server, "rita@example.org")
    for path in ("month", "money", "sites", "income", "devices", "settings"):
        browser.open(f"{server.url}/{path}")
        assert (path, browser.accessibility_violations(axe)) == (path, [])
