"""A like is a flattr: pages that behave like the networks, under their own names, in both browsers."""

import os
import shutil
import time

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.conftest import NOVEMBER, Reader, installed
from tests.e2e.internet import Internet
from tests.e2e.screen import screen
from tests.e2e.waiting import element, wait_for

GITHUB, MASTODON, BLUESKY = "github.com", "mastodon.example.net", "bsky.app"
X, YOUTUBE, HACKERNEWS = "x.com", "www.youtube.com", "news.ycombinator.com"
REPOSITORY = f"https://{GITHUB}/wilma/bread"
STAR, UNSTAR = 'form[action="/wilma/bread/star"] button', 'form[action="/wilma/bread/unstar"] button'
LASTS = 2  # longer than a like has to last
# What is recognised is the same file for both browsers: the quick form looks at it in one of them.
KINDS = [Chromium, Firefox] if os.environ.get("FLATTR_TESTS") == "long" else [Chromium]
recognising = pytest.mark.parametrize("kept_browser", KINDS, indirect=True, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def internet():
    internet = Internet()
    yield internet
    internet.close()


@pytest.fixture(scope="module", params=[Chromium, Firefox], ids=lambda kind: kind.name)
def kept_browser(request, internet):
    """Chromium asks for permissions on a screen only."""
    kind = installed(request.param)
    if kind is Firefox:
        with kind(proxy=internet.proxy_port) as browser:
            yield browser
        return
    if missing := [tool for tool in ("Xvfb", "openbox", "xdotool") if not shutil.which(tool)]:
        pytest.skip(f"{', '.join(missing)} not installed: make setup says how")
    with screen(), kind(headless=False, proxy=internet.proxy_port) as browser:
        yield browser


@pytest.fixture
def browser(kept_browser, internet):
    kept_browser.start_over()
    kept_browser.in_extension("await chrome.scripting.unregisterContentScripts()")
    internet.asked.clear()
    return kept_browser


def switch(browser, host):
    """Press the switch of a network in the settings; the browser asks, the reader agrees."""
    browser.open(f"{browser.origin}/pages/settings.html")
    if host == MASTODON:
        element(browser, "#host").send_keys(f"@rita@{host}", Keys.ENTER)
    else:
        element(browser, f'[id="on_{host}"]').click()

    shown = """const known = JSON.parse(document.getElementById('networks').dataset.shown);
      return known.some(({ on, host }) => on && host === arguments[0])"""
    allowed = "chrome.permissions.contains({ origins: [`https://${arguments[0]}/*`] }).then(arguments[1])"

    def is_on():
        if browser.driver.execute_script(shown, host):
            return True
        if not browser.driver.execute_async_script(allowed, host):
            time.sleep(1)  # the browser's question is no window that anybody could wait for
            browser.agree()
        return False

    wait_for(is_on, f"{host} to be on")


def likes(browser):
    """What waits, or was counted: by page, its sources."""
    js = """const all = Object.entries(await chrome.storage.local.get(null)).filter(([key]) => key.startsWith('like:'));
      return Object.fromEntries(all.map(([, like]) => [like.page.url, like.sources.map(({ act }) => act)]))"""
    return browser.in_extension(js)


def press(browser, selector):
    element(browser, selector).click()


def liked(browser, *pages):
    time.sleep(LASTS)  # asking opens a tab, and pages behind it are slow
    wait_for(lambda: sorted(likes(browser)) == sorted(pages), f"likes of {pages}")


def hostile(browser, js):
    """A script of the page itself."""
    browser.driver.execute_script(
        """const tag = document.createElement('script');
        tag.textContent = `{ ${arguments[0]} }`;
        document.head.append(tag)""",
        js,
    )


def test_a_star_waits_is_counted_and_becomes_money(browser, server, web, internet):
    rita = Reader(browser, server, web)
    server.flattr("users", "add", "wilma@example.org", "--name", "Wilma")
    server.flattr("deposits", "add", "rita@example.org", "20.00", "--reference", "r1")
    server.flattr("claims", "approve", "github.com/wilma", "wilma@example.org")
    switch(browser, GITHUB)
    browser.open(REPOSITORY)
    press(browser, STAR)
    liked(browser, REPOSITORY)
    assert rita.clicks() == []
    browser.open(f"{browser.origin}/pages/month.html")
    element(browser, "#likes .count").click()
    wait_for(lambda: [c["url"] for c in rita.clicks()] == [REPOSITORY], "the click")
    server.go_to(NOVEMBER)
    server.flattr("settle")
    received = server.flattr("statement", "wilma@example.org", "2026-10")["received"]
    assert (received["received_micros"], received["lines"][0]["url"]) == (5_000_000, REPOSITORY)
    assert [request for request in internet.asked if request[1] == "POST"] == [(GITHUB, "POST", "/wilma/bread/star")]


def test_likes_that_count_at_once_go_with_the_like_and_with_one_press(browser, server, web):
    rita = Reader(browser, server, web)
    switch(browser, GITHUB)
    element(browser, "#at_once").click()
    browser.open(REPOSITORY)
    press(browser, STAR)
    wait_for(lambda: [c["url"] for c in rita.clicks()] == [REPOSITORY], "the click")
    press(browser, UNSTAR)
    wait_for(lambda: not rita.clicks(), "the click to be taken back")
    press(browser, STAR)
    wait_for(rita.clicks, "the click")
    browser.open(f"{browser.origin}/pages/month.html")
    wait_for(lambda: "star on GitHub" in element(browser, "#promises td.page").text, "its source")
    element(browser, "#promises .last button").click()
    wait_for(lambda: not rita.clicks(), "the undo")


@recognising
def test_github_stars_of_public_repositories_are_noticed_once(long, browser, internet):
    switch(browser, GITHUB)
    browser.open(f"{REPOSITORY}?private")
    press(browser, STAR)
    browser.open(f"{REPOSITORY}?fails")
    press(browser, STAR)
    time.sleep(LASTS)
    browser.open(REPOSITORY)
    press(browser, STAR)
    press(browser, UNSTAR)
    time.sleep(LASTS)
    assert likes(browser) == {}, "private, refused by the network, taken back at once"

    element(browser, "#next").click()  # to another repository, in the same document
    step_to(browser, 'form[action="/wilma/cake/star"] button')
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    liked(browser, "https://github.com/wilma/cake")
    press(browser, 'form[action="/wilma/cake/unstar"] button')
    liked(browser)
    assert {(method, path.split("?")[0]) for _, method, path in internet.asked} <= {
        ("GET", "/wilma/bread"),
        ("GET", "/favicon.ico"),
        *(("POST", f"/wilma/{name}/{act}") for name in ("bread", "cake") for act in ("star", "unstar")),
    }, "the network is asked what its own page asks it, and nothing else"


def step_to(browser, selector):
    """Give something the focus with the Tab key."""
    element(browser, "h1").click()
    for _ in range(12):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        if browser.driver.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


@recognising
def test_mastodon_pays_the_writer_at_home_and_keeps_private_posts(long, browser):
    switch(browser, MASTODON)
    browser.open(f"https://{MASTODON}/home?fails")
    press(browser, 'article[data-id="101"] .star-icon')
    time.sleep(LASTS)
    browser.open(f"https://{MASTODON}/home")
    for post in (102, 103, 101, 104):
        press(browser, f'article[data-id="{post}"] .star-icon')
    press(browser, 'article[data-id="105"] .boost')
    press(browser, "#boost")
    liked(
        browser,
        "https://remote.example.org/@bob",
        f"https://{MASTODON}/@dora/104",
        "https://remote.example.org/@eve",
    )
    press(browser, 'article[data-id="101"] .star-icon')
    liked(browser, f"https://{MASTODON}/@dora/104", "https://remote.example.org/@eve")

    browser.open(f"https://{MASTODON}/home?liked=104")  # another day
    press(browser, 'article[data-id="104"] .star-icon')
    liked(browser, "https://remote.example.org/@eve")

    browser.driver.execute_script("scrollTo(0, document.body.scrollHeight)")
    element(browser, 'article[data-id="107"] .star-icon').found()
    press(browser, 'article[data-id="107"] .star-icon')
    browser.open(f"https://{MASTODON}/@flora/200")  # in full, quoting somebody else; left at once
    press(browser, ".star-icon")
    wait_for(lambda: f"https://{MASTODON}/@flora/200" in likes(browser), "the like")
    assert not [page for page in likes(browser) if "carla" in page or "dan" in page or "other" in page]


@recognising
@pytest.mark.parametrize(
    ("host", "home", "first", "second", "pages"),
    [
        (
            BLUESKY,
            "",
            '[data-testid="feedItem-by-wilma.example.org"] [data-testid="{}"]',
            '[data-testid="feedItem-by-dora.bsky.social"] [data-testid="{}"]',
            [
                "https://bsky.app/profile/wilma.example.org/post/3one",
                "https://bsky.app/profile/dora.bsky.social/post/3two",
            ],
        ),
        (
            X,
            "home",
            'article:nth-child(1) [data-testid="{}"]',
            'article:nth-child(3) [data-testid="{}"]',
            ["https://x.com/wilma/status/11", "https://x.com/dora/status/13"],
        ),
    ],
    ids=["bluesky", "x"],
)
def test_likes_and_reposts_pay_the_writer(long, browser, host, home, first, second, pages):
    like, repost = ("likeBtn", "repostBtn") if host == BLUESKY else ("like", "retweet")
    switch(browser, host)
    browser.open(f"https://{host}/{home}?fails")
    press(browser, first.format(like))
    time.sleep(LASTS)
    browser.open(f"https://{host}/{home}")
    if host == X:
        press(browser, 'article:nth-child(2) [data-testid="like"]')  # a protected account
    press(browser, second.format(repost))  # opens a menu, which is left
    press(browser, first.format(like))
    liked(browser, pages[0])
    press(browser, second.format(repost))
    press(browser, "[role=menuitem]")
    liked(browser, *pages)
    press(browser, first.format("likeBtn" if host == BLUESKY else "unlike"))
    liked(browser, pages[1])


@recognising
def test_a_bluesky_post_in_full_is_the_pages_own(long, browser):
    switch(browser, BLUESKY)
    browser.open("https://bsky.app/profile/wilma.example.org/post/3abc")
    press(browser, '[data-testid="likeBtn"]')
    liked(browser, "https://bsky.app/profile/wilma.example.org/post/3abc")


@recognising
def test_youtube_tells_the_channel_and_keeps_the_video(long, browser):
    switch(browser, YOUTUBE)
    browser.open(f"https://{YOUTUBE}/watch?v=third")  # of two channels: nobody's
    press(browser, "like-button-view-model button")
    browser.open(f"https://{YOUTUBE}/watch?v=first")
    press(browser, "dislike-button-view-model button")
    press(browser, "like-button-view-model button")
    liked(browser, f"https://{YOUTUBE}/@Wilma")
    element(browser, "#next").click()
    press(browser, "like-button-view-model button")
    liked(browser, f"https://{YOUTUBE}/@Wilma", f"https://{YOUTUBE}/@dora")
    press(browser, "like-button-view-model button")
    liked(browser, f"https://{YOUTUBE}/@Wilma")


@recognising
def test_an_upvote_pays_the_page_that_is_linked_or_who_wrote(long, browser):
    user = f"https://{HACKERNEWS}/user?id="
    switch(browser, HACKERNEWS)
    browser.open(f"https://{HACKERNEWS}/news")
    for item in range(1, 5):
        press(browser, f"#up_{item}")
    liked(browser, "https://wilma.example.org/bread", f"{user}asker", f"{user}commenter")
    assert likes(browser)[f"{user}commenter"] == ["upvote", "upvote"]
    press(browser, "#un_3")
    press(browser, "#un_1")
    liked(browser, f"{user}asker", f"{user}commenter")
    press(browser, "#un_4")
    liked(browser, f"{user}asker")


CLICKS = f"""const star = document.querySelector('{STAR}');
  star.click();
  star.dispatchEvent(new MouseEvent('click', {{ bubbles: true, cancelable: true }}));
  const forged = new PointerEvent('click', {{ bubbles: true, detail: 1 }});
  try {{ Object.defineProperty(forged, 'isTrusted', {{ value: true }}); }} catch {{}}
  star.dispatchEvent(forged);
  const body = {{ act: 'star', work: {{ url: location.href, title: '' }}, page: {{ url: location.href, title: '' }} }};
  postMessage({{ type: 'liked', body }}, '*');"""
FORGES = """document.querySelector('.starring-container').classList.add('on');"""
MOVES = f"""const {{ left, top }} = document.getElementById('other').getBoundingClientRect();
  const star = document.querySelector('{STAR}');
  Object.assign(star.style, {{ position: 'fixed', left: left + 'px', top: top + 'px', zIndex: 9 }});"""
HIDES = f"""{{ {MOVES} }} {{ {MOVES} star.style.opacity = '0.01'; }}"""
STEALS = f"""document.addEventListener('keydown', () => document.querySelector('{STAR}').focus());"""
# Fields that stand in for methods; and, while the reader presses, methods of the page's own making.
CLOBBERS = f"""const {{ form }} = document.querySelector('{STAR}');
  for (const name of ['getAttribute', 'closest', 'querySelectorAll', 'checkVisibility', 'parentElement', 'action'])
    form.append(Object.assign(document.createElement('input'), {{ name, type: 'hidden' }}));
  addEventListener('pointerdown', () => {{
    const shadows = ['querySelectorAll', 'querySelector', 'title', 'addEventListener'].map((name) =>
      document.body.appendChild(Object.assign(document.createElement('img'), {{ name, alt: '' }})));
    const kept = {{}};
    for (const name of ['closest', 'getAttribute', 'querySelectorAll', 'checkVisibility']) {{
      kept[name] = Element.prototype[name];
      Element.prototype[name] = () => {{ throw new Error('mine'); }};
    }}
    const restore = () => {{ shadows.forEach((shadow) => shadow.remove()); Object.assign(Element.prototype, kept); }};
    addEventListener('click', restore, {{ once: true }}); // the driver cannot live with it
  }});"""


def test_a_page_cannot_make_a_flattr(browser):
    switch(browser, GITHUB)

    def starred():
        return browser.driver.execute_script("return Boolean(document.querySelector('.starring-container.on'))")

    def on_a_fresh_page(js):
        browser.open(REPOSITORY)
        hostile(browser, js)

    def nothing(what):
        assert starred(), f"{what}: the network took it for a star"
        time.sleep(LASTS)
        assert likes(browser) == {}, what

    on_a_fresh_page(CLICKS)
    nothing("clicks of a script")
    browser.open(REPOSITORY)
    element(browser, "#other").click()
    hostile(browser, FORGES)
    nothing("a state that the page made up, after a press on something else")
    browser.open(REPOSITORY)
    ActionChains(browser.driver).move_to_element(element(browser, "#other").found()).perform()
    hostile(browser, MOVES)
    ActionChains(browser.driver).click().perform()
    nothing("a button moved under the pointer")
    on_a_fresh_page(HIDES)
    heading, other = (element(browser, selector).found() for selector in ("h1", "#other"))
    ActionChains(browser.driver).move_to_element(heading).move_to_element(other).click().perform()
    nothing("a button that nobody can see")
    on_a_fresh_page(STEALS)
    element(browser, "#search").click()
    ActionChains(browser.driver).send_keys("a", Keys.SPACE).perform()
    nothing("a button that took the focus while somebody typed")

    on_a_fresh_page(CLOBBERS)
    press(browser, STAR)
    liked(browser, REPOSITORY)


def test_a_permission_that_is_withdrawn_ends_it_also_on_open_pages(browser):
    browser.open(REPOSITORY)
    page = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    switch(browser, GITHUB)
    browser.driver.close()
    browser.driver.switch_to.window(page)  # which was open before
    wait_for(browser.looks_of_ours, "the script on the page")
    press(browser, STAR)
    liked(browser, REPOSITORY)
    press(browser, UNSTAR)
    liked(browser)
    browser.in_extension("await chrome.permissions.remove({ origins: ['https://github.com/*'] })")
    press(browser, STAR)
    time.sleep(LASTS)
    registered = "return (await chrome.scripting.getRegisteredContentScripts()).length"
    wait_for(lambda: browser.in_extension(registered) == 0, "the script to go")
    assert likes(browser) == {}
    browser.open(f"https://{GITHUB}/wilma/cake")
    assert browser.looks_of_ours() == 0
    browser.open(f"{browser.origin}/pages/settings.html")
    assert not element(browser, f'[id="on_{GITHUB}"]').is_selected()


def test_likes_wait_through_the_end_of_the_worker_and_are_reviewed_in_the_popup(browser, server, web, axe):
    rita = Reader(browser, server, web)
    switch(browser, X)
    browser.open(f"https://{X}/home")
    press(browser, 'article:nth-child(1) [data-testid="like"]')
    liked(browser, "https://x.com/wilma/status/11")
    browser.stop_background()
    press(browser, 'article:nth-child(3) [data-testid="like"]')
    liked(browser, "https://x.com/wilma/status/11", "https://x.com/dora/status/13")
    browser.stop_background()

    rita.press(web.page("127.0.0.3"))
    browser.popup_shows("promise")
    text = "return document.getElementById('likes').innerText"
    wait_for(lambda: "2 likes wait for your word." in browser.popup(text), "the likes")
    browser.click_in_popup("#likes .choose")
    wait_for(lambda: "like on X" in browser.popup(text), "the list")
    assert browser.popup_violations(axe) == []
    browser.click_in_popup("#likes li:first-child input")
    browser.click_in_popup("#likes .count")
    wait_for(lambda: len(rita.clicks()) == 2, "the one that was chosen")
    wait_for(lambda: "1 counted." in browser.popup(text), "what was done")
    browser.click_in_popup("#likes .undo")
    wait_for(lambda: len(rita.clicks()) == 1, "the undo")
    wait_for(lambda: "2 likes wait" in browser.popup(text), "both")
    browser.click_in_popup("#likes .choose")
    browser.click_in_popup("#likes .clear")
    wait_for(lambda: "2 cleared." in browser.popup(text), "what was cleared")
    assert browser.popup_violations(axe) == []
    browser.click_in_popup("#likes .undo")
    wait_for(lambda: "2 likes wait" in browser.popup(text), "both again")
    browser.click_in_popup("#likes .clear")
    wait_for(lambda: "2 cleared." in browser.popup(text), "nothing to wait")
    browser.close_popup()
    assert likes(browser) == {}
    assert len(rita.clicks()) == 1


def test_a_network_that_changed_is_named_and_the_settings_are_accessible(browser, axe):
    switch(browser, YOUTUBE)
    assert browser.driver.execute_script("return document.activeElement.id") == f"on_{YOUTUBE}", "the keyboard stays"
    browser.open(f"https://{YOUTUBE}/watch?v=third")  # no channel is recognised there
    time.sleep(4.5)  # it looks once the page is there, and only while it is in front
    seen = f"return (await chrome.storage.local.get('seen:{YOUTUBE}'))['seen:{YOUTUBE}'].misses"
    wait_for(lambda: browser.in_extension(seen) == 1, "the miss to be noticed")
    browser.in_extension(
        f"await chrome.storage.local.set({{ 'seen:{YOUTUBE}': {{ at: Date.parse('2026-11-03T12:00Z'), misses: 8 }} }})"
    )
    browser.open(f"{browser.origin}/pages/settings.html")
    words = "YouTube may have changed: nothing was recognised since 3 November."
    wait_for(lambda: element(browser, ".silent").text == words, "the words")
    assert browser.accessibility_violations(axe) == []
    browser.open(f"https://{YOUTUBE}/watch?v=first")
    time.sleep(4.5)
    wait_for(lambda: browser.in_extension(seen) == 0, "the recognition")
