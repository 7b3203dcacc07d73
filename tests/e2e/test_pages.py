"""The pages in a real browser: nothing that strangers wrote runs, everybody can read them, no script is needed."""

import csv
import io
import os
import shutil
import threading
from itertools import product
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from werkzeug.serving import make_server

from backend import access, auditlog, claims, clicks, jobs, sites, users
from backend.app import create_app
from backend.claims import states
from backend.config import Config
from backend.db import make_engine, session_maker, upgrade
from backend.deposits import imports, reversals
from backend.deposits.entries import BankEntry
from backend.payouts.tables import Payout
from tests.backend import office as offices
from tests.backend.bank import OURS, Bank
from tests.backend.browser import link_to
from tests.backend.town import NOW, Town
from tests.e2e.browsers import AXE, Chromium
from tests.e2e.conftest import free_port, installed
from tests.e2e.waiting import wait_for

FIRE = "window.__fired=1"
BREAK_OUT = ("", '">', "'>", "</title>", "</textarea>", "-->", "</style>", "{{7*7}}")
ATTACKS = (
    f"<script>{FIRE}</script>",
    f"<img src=x onerror={FIRE}>",
    f"<svg onload={FIRE}>",
    f"<svg><animate onbegin={FIRE} attributeName=x>",
    f"<body onload={FIRE}>",
    f"<details open ontoggle={FIRE}>",
    f"<input autofocus onfocus={FIRE}>",
    f"<iframe srcdoc='<script>parent.{FIRE}</script>'>",
    f"<iframe src=javascript:parent.{FIRE}>",
    f"<a href=javascript:{FIRE}>x</a>",
    f"<math><mtext><script>{FIRE}</script>",
    f"<object data=javascript:{FIRE}>",
    "<style>@import 'javascript:1'</style>",
    f"<meta http-equiv=refresh content='0;url=javascript:{FIRE}'>",
    f"<base href=javascript:{FIRE}//>",
    f"<form action=javascript:{FIRE}><button autofocus>",
    f"javascript:{FIRE}",
    f"x' onmouseover={FIRE} autofocus onfocus={FIRE} '",
    f'x" onmouseover={FIRE} autofocus onfocus={FIRE} "',
    f"\u202e<script>{FIRE}</script>\u2066",
    f"\\u003cscript\\u003e{FIRE}",
    f"&lt;script&gt;{FIRE}&lt;/script&gt;",
    '=HYPERLINK("javascript:1")',
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
)
PAYLOADS = ["".join(parts) for parts in product(BREAK_OUT, ATTACKS)]
ONLY_OURS = "[...document.scripts].every((s) => s.src === `${location.origin}/static/month.js` && !s.text)"
OWN = ("/month", "/history", "/money", "/sites", "/income", "/devices", "/settings", "/leave", "/months/2026-10")
PUBLIC = ("/", "/for-owners", "/for-operators", "/privacy", "/months", "/without", "/sign-in", "/s/evil0.example.org")


class Place:
    """A served installation and its people, in this process."""

    def __init__(self, folder, monkeypatch):
        self.url = f"sqlite:///{folder / 'flattr.db'}"
        engine = make_engine(self.url)
        upgrade(engine)
        self.town, self.port = Town(session_maker(engine), monkeypatch), free_port()
        self.address, self.folder = f"http://127.0.0.1:{self.port}", folder

    def serve(self):
        self.config = Config(self.url, self.folder, "secret", base_url=self.address, fixed_now=self.town.now)
        self.server = make_server("127.0.0.1", self.port, create_app(self.config), threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def cookie_of(self, name):
        with self.town.sessions.begin() as session:
            return access.sign_in(session, self.town.people[name], now=self.town.now)


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = Place(tmp_path, monkeypatch)
    yield place
    place.server.shutdown()


@pytest.fixture
def drive():
    """Starts Chromium without the extension."""
    installed(Chromium)
    started = []

    def start(**preferences):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
        options.add_argument("--headless=new")
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option("prefs", preferences)
        started.append(webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))))
        return started[-1]

    yield start
    for driver in started:
        driver.quit()


def transfer(at, evil):
    """A transfer that names no reader, from somebody with an evil name."""
    said = {"payer_name": evil[:140], "payer_iban": "DE89370400440532013000", "text": evil[:300]}
    return BankEntry(
        account="DE02120300000000202051",
        booked_on=NOW.date(),
        amount_micros=5_000_000,
        content=at.to_bytes(32),
        state="unmatched",
        reason="no_reference",
        end_to_end_id=evil[:70],
        at=NOW,
        **said,
    )


def fill(place):
    """Two hundred evil names, titles, lines, addresses, browsers and transfers, in all that Ann, an operator, sees."""
    town = place.town
    town.person("Ann", wallet="20.00")
    ann = town.people["Ann"]
    with town.sessions.begin() as session:
        session.merge(ann).is_operator = True
        states.approve(session, sites.ensure(session, "ann.example.org"), ann, now=NOW)
        for at, evil in enumerate(PAYLOADS):
            owner = users.add(session, f"p{at}@example.org", now=NOW, name=evil)
            users.set_thanks(session, owner, evil[:140], shows_name=True, shows_supporters=True)
            access.new_device(session, ann, evil[:80], now=NOW)
            auditlog.record(session, "claim.revoked", f"site {evil}", now=NOW, actor_id=owner.id, reason=evil)
            jobs.enqueue(session, "look", evil, {"site": evil}, now=NOW)
            if at % 2:
                states.approve(session, sites.ensure(session, f"evil{at}.example.org"), owner, now=NOW)
            town.people[at] = owner
        users.set_thanks(session, ann, PAYLOADS[1], shows_name=True, shows_supporters=True)
    town.deposit(0, "5.00")
    for _ in range(2):
        presses = []
        for at, evil in enumerate(PAYLOADS):
            address = f"https://evil{at}.example.org/{evil}?q={evil}"
            presses.append(clicks.Press(ann.id, clicks.PageFacts(address, title=evil)))
            presses.append(
                clicks.Press(town.people[0].id, clicks.PageFacts(f"https://ann.example.org/{evil}", title=evil))
            )
        with town.sessions.begin() as session:
            clicks.record_batch(session, presses, now=town.now)
        if town.now == NOW:
            town.on("2026-11-02")
            town.settle()
    with town.sessions.begin() as session:  # after the books were looked through: there is no such money
        session.add_all(transfer(at, evil) for at, evil in enumerate(PAYLOADS))
    place.serve()


def parts(driver, path):
    """A page, and the further parts of its list."""
    joined = "&" if "?" in path else "?"
    part = 1
    while True:
        driver.get(f"{path}{joined}part={part}")
        yield
        if not driver.find_elements(By.LINK_TEXT, "Further"):
            return
        part += 1


@pytest.mark.browser
def test_nothing_that_strangers_wrote_runs_anywhere(place, drive):
    fill(place)
    driver, town = drive(), place.town
    driver.get(place.address)
    driver.add_cookie({"name": "sid", "value": place.cookie_of("Ann")})
    looked = 0

    def look():
        nonlocal looked
        looked += 1
        assert driver.execute_script("return window.__fired === undefined && " + ONLY_OURS)
        said = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        assert said == [], driver.current_url

    desk = (
        "",
        "/claims",
        "/deposits",
        "/deposits/1",
        "/deposits/99",
        "/jobs",
        "/log",
        "/log?about=<b>",
        "/months",
        "/payouts",
    )
    own = ("/month", "/month?period=2026-10", "/history", "/income", "/devices", "/sites", "/settings", "/money")
    for path in (*own, "/statements", "/statements/2026-10", "/statements/2026", *(f"/desk{page}" for page in desk)):
        for _ in parts(driver, f"{place.address}{path}"):
            look()
    for at, evil in list(enumerate(PAYLOADS))[1::3]:
        url = quote(f"https://evil{at}.example.org/{evil}", safe="")
        driver.get(f"{place.address}/flattr?url={url}&title={quote(evil, safe='')}")
        look()
        if at % 2:
            for path in (f"/s/evil{at}.example.org", f"/u/{town.people[at].public_id}"):
                driver.get(f"{place.address}{path}")
                look()
    assert looked > 150


@pytest.mark.browser
def test_what_goes_along_is_no_formula(place):
    fill(place)

    def load(path):
        return urlopen(Request(place.address + path, headers={"Cookie": f"sid={place.cookie_of('Ann')}"}))

    rows = list(csv.reader(io.StringIO(load("/export.csv").read().decode())))
    assert len(rows) > len(PAYLOADS)
    assert [cell for row in rows for cell in row if cell[:1] and cell[0] in "=+-@\t\r"] == []
    for path in ("/export", "/export.csv"):
        answer = load(path)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.browser
def test_everybody_can_read_every_page_light_and_dark(place, drive, axe):
    fill(place)
    driver = drive()
    driver.get(place.address)
    driver.add_cookie({"name": "sid", "value": place.cookie_of("Ann")})
    with place.town.sessions() as session:
        claim = claims.of_user(session, place.town.people["Ann"])[0][0].id
    paths = (*OWN, *PUBLIC, f"/sites/{claim}", "/flattr", "/flattr?url=https://evil1.example.org/", "/nothing")
    for scheme, shown in (("light", paths), ("dark", OWN[:5])):
        for path in shown:
            can_be_read(driver, axe, f"{place.address}{path}", scheme)


def can_be_read(driver, axe, address, scheme):
    feature = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    driver.get(address)
    driver.execute_script(axe)
    found = driver.execute_async_script(f"const done = arguments[arguments.length - 1]; {AXE}.then(done)")
    assert found == [], (address, scheme)


@pytest.mark.browser
def test_operators_can_read_what_was_taken_back_and_what_came_back_on_a_phone(place, drive, axe, monkeypatch, tmp_path):
    """Two debits of Rita's deposit, one of them booked; a refund and a payout of Ann, who has left."""
    town = place.town = offices.payday(offices.office(place.town.sessions, monkeypatch))
    bank, file = Bank(), tmp_path / "statement.xml"
    bank.credit("2026-10-10", "20.00", town.person("Rita").deposit_reference)
    for _ in range(2):
        bank.debit("2026-10-11", "7.00", reversal=True)
    file.write_bytes(bank.statement())
    waits, booked = imports.import_file(town.sessions, file, iban=OURS, currency="EUR", now=town.now).entries
    with town.sessions.begin() as session:
        reversals.reverse(session, booked.id, town.people["Rita"], now=town.now)
    town.from_bank("Ann", "7.00")
    town.take_back("Ann")
    town.exported()
    town.leave("Ann")
    for payout in town.rows(Payout)[:2]:
        town.act("fail", payout.id, "EUR")
    place.serve()
    driver = drive()
    driver.get(place.address)
    driver.add_cookie({"name": "sid", "value": place.cookie_of("Olga")})
    phone = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    shown = {
        f"/deposits/{waits.id}": "Who had paid it in?",
        f"/deposits/{waits.id}?reader=rita@example.org": "Book it against rita@example.org",
        f"/deposits/{booked.id}": "7.00 € out of the wallet.",
        "/payouts": "Payout 2, 25.12 €",
    }
    for (path, said), scheme in product(shown.items(), ("light", "dark")):
        can_be_read(driver, axe, f"{place.address}/desk{path}", scheme)
        assert said in driver.find_element(By.TAG_NAME, "main").text.replace("\N{NO-BREAK SPACE}", " ")
        root = driver.find_element(By.TAG_NAME, "html")
        assert root.get_property("scrollWidth") <= root.get_property("clientWidth")


@pytest.mark.browser
def test_a_reader_and_an_owner_need_no_script(place, drive):
    place.town.person("Bea")
    place.town.claim("Bea", "bea.example.org")
    place.serve()
    driver = drive(**{"profile.managed_default_content_settings.javascript": 2})
    driver.implicitly_wait(20)

    def follow(found):
        """Click, and be on the page that it leads to, for which a click does not wait."""
        left = driver.find_element(By.TAG_NAME, "html")
        found.click()
        wait_for(lambda: staleness_of(left)(driver), "another page")

    def press(name):
        follow(driver.find_element(By.XPATH, f"//button[normalize-space()='{name}' or @aria-label='{name}']"))

    def go(name):
        follow(driver.find_element(By.LINK_TEXT, name))

    def text():
        return driver.find_element(By.TAG_NAME, "main").text.replace("\N{NO-BREAK SPACE}", " ")

    def reads(words):
        wait_for(lambda: words in text().replace("\n", " "), f"a page that says {words}")

    driver.get("data:text/html,<title>off</title><script>document.title='on'</script>")
    assert driver.title == "off"
    driver.get(f"{place.address}/flattr?url=https://bea.example.org/post&title=A%20post")
    driver.find_element(By.ID, "email").send_keys("ann@example.org")
    press("Send the link")
    driver.get(place.address + wait_for(lambda: link_to(place.config, "ann@example.org"), "the mail"))
    press("Sign in")
    reads("Bea")
    press("Flattr")
    reads("gets a share of your month")
    go("My month")
    reads("5.00 € for one person")
    press("Undo A post")
    reads("Taken back.")

    go("Settings")
    driver.find_element(By.ID, "mail-settled").click()
    press("Save which mails")
    reads("Saved.")
    assert not driver.find_element(By.ID, "mail-settled").is_selected()
    assert driver.find_element(By.ID, "mail-ending").is_selected()

    go("My sites")
    driver.find_element(By.ID, "line").send_keys("Thank you")
    driver.find_element(By.ID, "shows-supporters").click()
    press("Save")
    assert driver.find_element(By.ID, "line").get_attribute("value") == "Thank you"
    driver.find_element(By.ID, "site").send_keys("ann.example.org")
    press("Check now")
    wait_for(lambda: driver.find_element(By.TAG_NAME, "h1").text == "ann.example.org", "the page of the claim")
    go("My income")
    driver.find_element(By.TAG_NAME, "summary").click()
    reads("September 2026")
