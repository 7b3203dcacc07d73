"""What a reader does all month: the first minute, promises, the list, several browsers, and what nobody notices."""

import json
import signal
import time

from tests.e2e.conftest import Reader
from tests.e2e.test_journeys import OWNER, STRANGER, connect_with_code, heading, says, sign_in_by_mail
from tests.e2e.waiting import element, wait_for

APP = """<a id="next" href="/next">next</a><script>document.getElementById('next').onclick = (event) => {
  event.preventDefault(); history.pushState({}, '', '/next'); document.title = 'The next one'; };</script>"""


def texts(browser, selector):
    """The texts of all such elements that can be seen."""
    # Asked at once: the page may be drawn anew at any moment.
    return browser.driver.execute_script(
        "const seen = e => e.closest('select') || e.getClientRects().length;"
        "return [...document.querySelectorAll(arguments[0])].filter(seen).map(e => e.textContent.trim())",
        selector,
    )


def open_month(browser):
    browser.open(f"{browser.origin}/pages/month.html")
    wait_for(lambda: element(browser, "#month").get_attribute("data-asked"), "the server to be asked")


def test_the_first_press_comes_before_any_sign_up_and_sends_nothing(browser, server, wire):
    browser.store(server=wire.url)
    browser.open(f"{browser.origin}/pages/welcome.html")
    wait_for(lambda: element(browser, "#welcome").get_attribute("data-step") == "press", "the first step")

    browser.press()
    said = browser.popup_shows("practice")
    assert "nothing counts" in said["why"]
    assert said["buttons"] == ["month"]
    wait_for(lambda: element(browser, "#welcome").get_attribute("data-step") == "connect", "the second step")
    assert browser.badge() == ""
    assert wire.connections == 0
    browser.close_popup()


def test_from_the_first_press_to_a_month_that_is_worth_something(browser, server):
    sign_in_by_mail(browser, server, "rita@example.org")
    browser.store(server=server.url, practised=True)
    browser.open(f"{browser.origin}/pages/welcome.html")
    wait_for(lambda: element(browser, "#welcome").get_attribute("data-step") == "connect", "the second step")
    element(browser, "#begin").click()
    connect_with_code(browser, server)
    browser.go_to_tab("welcome.html")
    wait_for(lambda: element(browser, "#welcome").get_attribute("data-step") == "budget", "the third step")

    amount = element(browser, "#amount input")
    amount.clear()
    amount.send_keys("seven")
    element(browser, "#amount button").click()
    says(browser, "Please type an amount like 5.00.")
    amount.clear()
    amount.send_keys("7,50")
    element(browser, "#amount button").click()
    wait_for(lambda: element(browser, "#welcome").get_attribute("data-step") == "money", "the last step")
    element(browser, "#add").click()
    browser.go_to_tab("/money")
    element(browser, "form button").click()
    heading(browser, "Add money")
    browser.go_to_tab("welcome.html")
    browser.open(f"{browser.origin}/pages/welcome.html")
    wait_for(lambda: element(browser, "#balance").text, "the money")
    assert "20.00" in element(browser, "#balance").text

    token = browser.stored("token")
    me = server.ask("/me", token)
    assert (me["budget_micros"], me["balance_micros"]) == (7_500_000, 20_000_000)


def test_the_third_to_promise_sees_their_place_and_can_tell_the_owner(browser, server, web):
    for name in ("ann", "ben"):
        server.flattr("users", "add", f"{name}@example.org")
        token = server.flattr("users", "token", f"{name}@example.org")["token"]
        server.send("/clicks", token, {"url": web.page(STRANGER), "owner_id": None})
    Reader(browser, server, web).press(web.page(STRANGER, "/other"))
    said = wait_for(lambda: (s := browser.popup_shows("promise")) and "3rd" in s["why"] and s, "the place")
    assert said["why"] == f"Not here yet: you are the 3rd to promise {web.site(STRANGER)} a share."

    browser.click_in_popup("#act")
    wait_for(lambda: browser.popup("return document.getElementById('told').textContent"), "the note to be copied")
    browser.close_popup()
    browser.open(server.url + "/sign-in")
    note = browser.paste_into("#email")
    assert note.endswith(f"{server.url}/s/{web.site(STRANGER)}")
    assert web.site(STRANGER) in note.split(" a share ")[0]
    browser.open(note.split()[-1])
    says(browser, "3 readers")


def test_my_month_can_be_searched_and_sorted_and_taken_back(browser, rita, server, web, wilma):
    server.flattr("claims", "check", web.site(OWNER))
    for host, path in ((OWNER, "/bread"), (OWNER, "/rain"), (STRANGER, "/maps")):
        rita.press(web.page(host, path))
        wait_for(lambda: browser.said()["kind"] in ("counts", "promise"), "the click")
        browser.close_popup()
    open_month(browser)
    assert texts(browser, "#counts th.group") == ["Wilma"]
    assert texts(browser, "#promises th.group") == [web.site(STRANGER)]
    assert texts(browser, "#counts td.page") == ["Post /rain", "Post /bread"]

    element(browser, "#words").send_keys("rain")
    wait_for(lambda: texts(browser, "td.page") == ["Post /rain"], "the search")
    assert element(browser, "#found").text == "1 page found"
    element(browser, "#words").clear()
    element(browser, "#words").send_keys(" ")
    for order, expected in (("page", ["Post /bread", "Post /rain"]), ("day", ["Post /rain", "Post /bread"])):
        element(browser, f"#by option[value={order}]").click()
        assert texts(browser, "#counts td.page") == expected

    element(browser, "#counts .last button").click()
    wait_for(lambda: texts(browser, "#counts td.page") == ["Post /bread"], "the list without it")
    at = "return document.activeElement.ariaLabel"
    wait_for(lambda: browser.driver.execute_script(at) == "Undo: Post /bread", "the keyboard to stay in the list")
    wait_for(lambda: len(rita.clicks()) == 2, "the undo")


def test_two_browsers_show_one_list(browser, kind_of, rita, server, web):
    with kind_of() as other:
        there = Reader(other, server, web)
        there.press(web.page(STRANGER, "/there"))
        other.popup_shows("promise")
        other.close_popup()
        rita.press(web.page(STRANGER, "/here"))
        browser.popup_shows("promise")
        browser.close_popup()
        open_month(browser)
        open_month(other)
        assert texts(browser, "td.page") == texts(other, "td.page") == ["Post /here", "Post /there"]

        element(other, ".last button").click()
        wait_for(lambda: texts(other, "td.page") == ["Post /there"], "the list without it")
        wait_for(lambda: len(rita.clicks()) == 1, "the undo")
    rita.press(web.page(STRANGER, "/here"))
    browser.popup_shows("undone")
    browser.close_popup()
    open_month(browser)
    assert texts(browser, "td.page") == ["Post /there"]


def test_without_a_network_the_list_is_there_and_what_waits_says_why(browser, rita, server, web):
    rita.press(web.page(STRANGER, "/before"))
    browser.popup_shows("promise")
    browser.close_popup()
    wait_for(lambda: browser.stored("me"), "the server's month to be known")
    server.stop(signal.SIGKILL)
    rita.press(web.page(STRANGER, "/after"))
    browser.popup_shows("waiting")
    browser.close_popup()
    browser.open(f"{browser.origin}/pages/month.html")
    says(browser, "does not answer")
    wait_for(lambda: texts(browser, "#promises td.page") == ["Post /before"], "what the browser knows")
    assert texts(browser, "#waiting td.page") == ["Post /after"]
    assert "Next try at" in element(browser, "#waiting").text

    server.start()
    element(browser, "#waiting .retry").click()
    wait_for(lambda: len(rita.clicks()) == 2, "the press that waited")
    wait_for(lambda: not texts(browser, "#waiting td.page"), "nothing to wait any more")


def test_a_page_that_became_another_in_place_is_flattred_as_what_is_seen(browser, rita, web):
    web.heads[STRANGER] = f'<link rel="canonical" href="{web.page(STRANGER, "/first")}">'
    web.bodies[STRANGER] = APP
    rita.press(web.page(STRANGER, "/first?page=1"))
    browser.popup_shows("promise")
    browser.close_popup()
    element(browser, "#next").click()
    browser.press()
    browser.popup_shows("promise")
    wait_for(lambda: len(rita.clicks()) == 2, "both")
    assert [(c["url"], c["title"]) for c in rita.clicks()] == [
        (web.page(STRANGER, "/next"), "The next one"),
        (web.page(STRANGER, "/first"), "Post /first?page=1"),
    ]


def test_the_popup_can_be_used_with_the_keyboard_alone(browser, rita, web):
    rita.press(web.page(STRANGER))
    browser.popup_shows("promise")
    order = []
    while "month" not in order and len(order) < 6:
        browser.key_in_popup("Tab")
        order.append(browser.popup("return document.activeElement.id"))
    assert list(filter(None, order)) == ["act", "undo", "month"], "Firefox goes to the document first"
    browser.popup("document.getElementById('undo').focus()")
    browser.key_in_popup("Enter")
    browser.popup_shows("undone")
    wait_for(lambda: not rita.clicks(), "the undo")


def test_an_empty_month_is_the_readers_choice_where_the_server_offers_it(browser, rita, server, web):
    rita.press(web.page(STRANGER))
    browser.popup_shows("promise")
    browser.close_popup()
    wait_for(lambda: browser.stored("me"), "all answers")
    me = server.ask("/me", rita.token)
    assert (me["owners"], me["period"]) == (0, "2026-10")
    server.stop()
    choices = {"empty_month": "keep", "empty_month_choices": ["keep", "repeat"], "repeat_owners": 3}
    browser.store(me=me | choices | {"fetched_in": time.strftime("%Y-%m", time.gmtime())})

    browser.open(f"{browser.origin}/pages/month.html")
    options = ["my money stays mine", "the 3 people of my last month get it"]
    wait_for(lambda: texts(browser, ".ending option") == options, "the choice")
    element(browser, ".ending option[value=repeat]").click()
    wait_for(lambda: texts(browser, ".ending [role=status]") == ["Not saved: the server could not be reached."], "why")
    assert element(browser, ".ending select").get_property("value") == "keep"


def test_pages_that_were_not_pressed_cost_nothing_and_run_nothing(browser, server, web, wire):
    token = Reader(browser, server, web).token
    browser.use_server(wire.url, token)
    wait_for(lambda: not browser.badge(), "all to be quiet")
    before = (wire.connections, wire.sent)
    pages = [web.page(host, f"/{n}") for n in range(3) for host in (OWNER, STRANGER)]
    for page in pages:
        browser.open(page)
        element(browser, "h1").click()
    assert browser.looks_of_ours() == 0
    assert (wire.connections, wire.sent) == before
    allowed = browser.in_extension(MAY_LOOK)
    assert set(allowed.values()) == {False}, allowed

    browser.press()
    browser.popup_shows("promise")
    browser.close_popup()
    assert browser.looks_of_ours() > 0, "a press looks: so a look would have been seen"
    assert True in browser.in_extension(MAY_LOOK).values()
    assert wire.sent > before[1]


MAY_LOOK = """const tabs = await chrome.tabs.query({}), may = {};
  for (const { id } of tabs)
    may[id] = await chrome.scripting.executeScript({ target: { tabId: id }, func: () => 1 })
      .then(() => true, () => false);
  return may;"""


def test_every_state_of_popup_and_pages_is_accessible(browser, rita, server, web, wilma, axe):
    def popup_is_fine(kind):
        browser.popup_shows(kind)
        assert (kind, browser.popup_violations(axe)) == (kind, [])

    server.flattr("claims", "check", web.site(OWNER))
    rita.press(web.page(OWNER))
    popup_is_fine("counts")
    browser.click_in_popup("#undo")
    popup_is_fine("undone")
    browser.click_in_popup("#act")
    browser.popup_shows("counts")
    browser.close_popup()
    for page in ("welcome", "month", "settings", "connect"):
        browser.open(f"{browser.origin}/pages/{page}.html")
        wait_for(lambda: element(browser, "main").text, page)
        assert (page, browser.accessibility_violations(axe)) == (page, [])
    server.stop()
    rita.press(web.page(STRANGER))
    browser.popup_shows("waiting")
    popup_is_fine("waiting")
    browser.close_popup()
    browser.use_server(server.url)
    rita.press(web.page(STRANGER))
    popup_is_fine("unconnected")
    browser.close_popup()
    browser.store(me=json.loads(EMPTY), token="flt_x")
    for page in ("welcome", "month", "settings"):
        browser.open(f"{browser.origin}/pages/{page}.html")
        wait_for(lambda: element(browser, "main").text, page)
        assert (page, browser.accessibility_violations(axe)) == (page, [])


EMPTY = """{"email": "rita@example.org", "period": "2026-10", "ends_at": "2026-11-01T00:00:00Z", "currency": "EUR",
  "budget_micros": 5000000, "balance_micros": 0, "pot_micros": 0, "owners": 0, "share_micros": 0,
  "projected_share_micros": 0, "empty_month": "keep", "empty_month_choices": ["keep", "repeat", "charity"],
  "repeat_owners": 0, "charity": null}"""
