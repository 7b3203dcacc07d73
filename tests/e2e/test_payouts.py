"""Money out, as owners and readers see it: where they are paid, why not yet, and that it was."""

from selenium.webdriver.common.by import By

from tests.e2e.conftest import link_in
from tests.e2e.test_journeys import heading, says
from tests.e2e.waiting import element

LATER = "2026-10-28T09:00:00Z"
IBAN = "DE02 1203 0000 0000 2020 51"


def sign_in(browser, server, address):
    browser.open(link_in(server.flattr("users", "link", address)["link"]))
    element(browser, "main button").click()
    heading(browser, "October 2026")


def fill(browser, iban, holder="Wilma Ö."):
    for name, text in (("iban", iban), ("holder", holder)):
        field = element(browser, f"#{name}")
        field.clear()
        field.send_keys(text)
    element(browser, "main form button").click()


def is_accessible(browser, axe):
    assert browser.accessibility_violations(axe) == []
    root = browser.driver.find_element(By.TAG_NAME, "html")
    assert root.get_property("scrollWidth") <= root.get_property("clientWidth")


def test_somebody_says_where_to_be_paid_takes_money_back_and_sees_it_paid(browser, server, axe):
    for name in ("olga", "otto"):
        server.flattr("users", "add", f"{name}@example.org", "--operator")
    server.flattr("users", "add", "wilma@example.org", "--name", "Wilma")
    server.flattr("deposits", "add", "wilma@example.org", "20.00", "--reference", "bank 1")
    sign_in(browser, server, "wilma@example.org")
    browser.open(f"{server.url}/money")
    says(browser, "Say first in the payout settings on which account.")
    is_accessible(browser, axe)
    element(browser, "main a[href='/payout-settings']").click()
    heading(browser, "Payout settings")
    is_accessible(browser, axe)
    fill(browser, "DE02 1203 0000 0000 2020 52")
    says(browser, "This IBAN has a typing mistake.")
    browser.open(f"{server.url}/payout-settings")
    fill(browser, IBAN)
    says(browser, "Payments go there from 27 October on.")
    assert "2051" in element(browser, "main").text
    assert "1203" not in browser.driver.page_source
    is_accessible(browser, axe)

    browser.open(f"{server.url}/money")
    element(browser, "form[action='/money/refund'] button").click()
    says(browser, "is on its way")
    is_accessible(browser, axe)
    browser.open(f"{server.url}/leave")
    is_accessible(browser, axe)

    server.go_to(LATER)
    batch = server.flattr("payouts", "prepare", "--by", "olga@example.org")
    assert (batch["payouts"], batch["total_micros"], batch["new"]) == (1, 20_000_000, True)
    number, file = str(batch["batch"]), server.folder / "payouts.xml"
    server.flattr("payouts", "approve", number, "--by", "otto@example.org", "--digest", batch["digest"])
    server.flattr("payouts", "export", number, str(file))
    assert IBAN.replace(" ", "") in file.read_text()
    server.flattr("payouts", "confirm", number)
    browser.open(f"{server.url}/payout-settings")
    says(browser, "money taken back")
    says(browser, "sign in again")  # eight days later, to change it
    assert "Paid" in element(browser, "main table").text
    is_accessible(browser, axe)
    browser.open(f"{server.url}/income")
    is_accessible(browser, axe)
    assert server.flattr("audit")["ok"]
