"""My month left open in a tab: what happens elsewhere is seen in it, and nothing is taken from who uses it."""

from tests.e2e.conftest import link_in
from tests.e2e.test_journeys import element
from tests.e2e.waiting import wait_for

ROWS = "return [...document.querySelectorAll('#list tbody tr a')].map((a) => a.textContent)"
AT = "return document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"

HIDDEN = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
HIDE = HIDDEN + "document.dispatchEvent(new Event('visibilitychange'));"


def asked(browser):
    """How often the open page asked."""
    return browser.driver.execute_script(
        "return performance.getEntriesByType('resource').filter((e) => e.initiatorType === 'fetch').length"
    )


def test_an_open_month_shows_what_is_pressed_and_undone_elsewhere(kept_browser, server, web):
    kept_browser.start_over()
    browser, js = kept_browser, kept_browser.driver.execute_script
    server.flattr("users", "add", "rita@example.org", "--budget", "5.00")
    owner = server.flattr("users", "add", "wilma@example.org", "--name", "Wilma")["public_id"]
    token = server.flattr("users", "token", "rita@example.org")["token"]

    def press(path):
        facts = {"url": web.page("127.0.0.2", f"/{path}"), "owner_id": None, "title": path}
        return server.send("/clicks", token, facts)["page_id"]

    browser.open(link_in(server.flattr("users", "link", "rita@example.org")["link"]))
    element(browser, "main button").click()
    wait_for(lambda: browser.driver.current_url.endswith("/month"), "the month")
    js("window.stayed = true")
    assert js(ROWS) == []

    first = press("first")
    wait_for(lambda: js(ROWS) == ["first"], "the press", 20)
    assert "Nobody is on this list yet" in element(browser, "#lead").text
    js("document.querySelector('#list button').focus()")
    typed = js("const box = document.querySelector('#budget'); box.value = '7.'; return box.value")
    press("second")
    wait_for(lambda: js(ROWS) == ["second", "first"], "the second press", 20)
    assert (js(AT), js("return document.querySelector('#budget').value")) == ("Undo first", typed)
    assert js("return document.querySelector('#told').textContent") == "Added: second"

    web.tag("127.0.0.2", owner)
    server.flattr("claims", "check", web.site("127.0.0.2"))
    wait_for(lambda: "Wilma" in element(browser, "#list").text, "its owner", 20)
    assert "for one person" in element(browser, "#lead").text
    assert js(AT) == "Undo first"

    server.forget(f"/clicks/{first}", token)
    wait_for(lambda: js(ROWS) == ["second"], "the undo", 20)
    assert js(AT) == "Undo second", "the keyboard stays in the list"

    js(HIDE % "true" + "performance.clearResourceTimings(); setTimeout(() => { window.later = true; }, 3000)")
    wait_for(lambda: js("return window.later"), "longer than it waits after a change", 20)
    assert asked(browser) <= 1, "a tab that is not seen asks nothing; one question may have been on its way"
    js(HIDE % "false")
    wait_for(lambda: asked(browser) > 1, "a look at once")

    js(HIDE % "true" + HIDDEN % "false" + "setTimeout(() => { window.latest = true; }, 3000)")
    wait_for(lambda: js("return window.latest"), "longer than it waits", 20)
    before = asked(browser)
    js("window.dispatchEvent(new Event('focus'))")
    wait_for(lambda: asked(browser) > before, "a look at once when the window is used")

    element(browser, "#list button").click()
    wait_for(lambda: "Taken back." in element(browser, "main").text, "an undo on the page itself")
    assert not js("return window.stayed"), "until then, it was never loaded anew"
