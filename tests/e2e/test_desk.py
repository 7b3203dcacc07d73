"""A month as two operators close it, on the desk alone. Its pages run no script, and their policy allows none."""

import contextlib
import hashlib

import pytest

from tests.backend.bank import Bank
from tests.e2e.browsers import Chromium
from tests.e2e.conftest import NOVEMBER, installed, link_in
from tests.e2e.test_journeys import heading, says
from tests.e2e.test_payouts import is_accessible
from tests.e2e.waiting import element, press, wait_for

IBAN = "DE89370400440532013000"
PAGES = ("", "/months", "/deposits", "/payouts", "/claims", "/log", "/jobs", "/audit")


@pytest.fixture
def browser():
    with installed(Chromium)() as browser:
        yield browser


def sign_in(browser, server, name):
    browser.open(link_in(server.flattr("users", "link", f"{name}@example.org")["link"]))
    element(browser, "main button").click()
    wait_for(lambda: browser.driver.current_url.endswith("/month"), "the month")


def go(browser, server, path):
    browser.open(f"{server.url}/desk{path}")


@contextlib.contextmanager
def without_script(browser):
    """As in a browser whose person switched script off."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    here = browser.driver.current_url
    browser.open("data:text/html,<title>off</title><script>document.title='on'</script>")
    assert browser.driver.title == "off"
    browser.open(here)
    yield
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def rita_pays_and_reads(browser, server, web, axe, tmp_path):
    """Money arrives without a reference, and an operator finds out whose it is; then Rita flattrs Wilma's site."""
    bank = Bank(iban=IBAN)
    bank.credit("2026-10-19", "20.00", "for your nice pages", name="Rita Reader")
    statement = tmp_path / "october.xml"
    statement.write_bytes(bank.statement())
    sign_in(browser, server, "olga")
    go(browser, server, "/deposits")
    element(browser, "#statement").send_keys(str(statement))
    press(browser, "Book the statement")
    says(browser, "1 without a reader")
    element(browser, "main table a").click()
    says(browser, "for your nice pages")
    is_accessible(browser, axe)
    element(browser, "#reader").send_keys("rita@example.org")
    press(browser, "Show who that is")
    says(browser, "goes into this reader's wallet")
    is_accessible(browser, axe)
    with without_script(browser):
        press(browser, "Book it for rita@example.org")
        says(browser, "is booked for rita@example.org")
    server.flattr("claims", "check", web.site("127.0.0.2"))
    token = server.flattr("users", "token", "rita@example.org")["token"]
    server.send("/clicks", token, {"url": web.page("127.0.0.2"), "owner_id": None})


def settle(browser, server, axe):
    sign_in(browser, server, "olga")
    go(browser, server, "/months")
    press(browser, "Try October 2026")
    says(browser, "This is what it would come to")
    is_accessible(browser, axe)
    press(browser, "Settle October 2026")
    says(browser, "Every month that has ended is settled.")


def test_two_operators_close_a_month(browser, server, web, wilma, axe, tmp_path):
    for name in ("olga", "otto"):
        server.flattr("users", "add", f"{name}@example.org", "--operator")
    server.flattr("users", "add", "rita@example.org", "--name", "Rita", "--budget", "5.00")
    rita_pays_and_reads(browser, server, web, axe, tmp_path)

    server.go_to(NOVEMBER)
    settle(browser, server, axe)
    server.flattr("refunds", "request", "rita@example.org")
    go(browser, server, "/payouts")
    press(browser, "Prepare a batch")
    heading(browser, "Batch 1")
    digest = element(browser, "dl dd.code:last-child").text
    is_accessible(browser, axe)

    sign_in(browser, server, "otto")
    go(browser, server, "/payouts/1")
    is_accessible(browser, axe)
    element(browser, "#digest").send_keys(digest)
    press(browser, "Approve")
    says(browser, "Batch 1 is approved.")
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    press(browser, "Download the file")
    file = tmp_path / "payouts-1.xml"
    wait_for(file.exists, "the file")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    go(browser, server, "/payouts/1")
    is_accessible(browser, axe)
    press(browser, "The bank has paid")
    says(browser, "Batch 1 is confirmed.")
    for path in PAGES:
        go(browser, server, path)
        is_accessible(browser, axe)
    assert server.flattr("audit")["ok"]
