"""Pictures of popup and pages as they are, with people who do not exist: for the stores, and to look at every state.

    .venv/bin/python docs/store/pictures.py               the pictures of the listings, docs/store/pictures/
    .venv/bin/python docs/store/pictures.py --all FOLDER  every state: light, dark, high contrast, narrow, right to left

The extension runs in Chromium; what its background would answer is made up, and its language is `--language`.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.e2e.browsers import Chromium  # noqa: E402

PEOPLE = [("Dora", "garden.example.org"), ("Emil", "emil.example.org"), ("Fay", "fay.example.org"), ("Ida", "ida.blog")]
TITLES = [
    ("Dora", "garden.example.org", "Roses that forgive", "03"),
    ("Emil", "emil.example.org", "A song for a wet bicycle", "07"),
    ("Emil", "songs.example.org", "Chords for beginners, part 10", "09"),
    ("Fay", "fay.example.org", "What the index cards knew", "12"),
    ("Ida", "ida.blog", "Bread on a Tuesday", "20"),
]
PROMISED = [
    ("github.com/noor", "noor/tidy: keeps a garden of dotfiles", "11"),
    ("paths.example.net", "A map of small paths", "18"),
]
ME = {
    "email": "rita@example.org",
    "period": "2026-11",
    "ends_at": "2026-12-01T00:00:00Z",
    "currency": "EUR",
    "budget_micros": 5_000_000,
    "balance_micros": 20_000_000,
    "pot_micros": 5_000_000,
    "owners": 4,
    "share_micros": 1_250_000,
    "projected_share_micros": 1_250_000,
    "empty_month": "keep",
    "empty_month_choices": ["keep", "repeat", "charity"],
    "charity": "The Book Bus",
    "repeat_owners": 3,
}
EMPTY = ME | {"owners": 0, "share_micros": 0, "projected_share_micros": 0}
POOR = ME | {"balance_micros": 0, "pot_micros": 0, "share_micros": 0}
SERVER = "https://flattr.example"
QUEUE = {"length": 0, "reason": "sending", "next": None}
AT_SIX = 1_795_453_200_000


def click(name, site, title, day, number=1):
    """A click on the list; without a name it is a promise."""
    owner = {"public_id": name, "name": name} if name else None
    return {
        "page_id": number,
        "url": f"https://{site}/{number}",
        "title": title,
        "period": "2026-11",
        "clicked_at": f"2026-11-{day}T09:00:00Z",
        "site": site,
        "owner": owner,
        "rule": "claimed" if name else "promise_host",
        "state": "counts" if name else "promise",
        "place": 0 if name else 3,
        "shared": False,
    }


CLICKS = [click(*row, number=n) for n, row in enumerate(TITLES)]
CLICKS += [click(None, *row, number=n + 9) for n, row in enumerate(PROMISED)]
WEDGES = [{"name": name, "mine": name == "Dora"} for name, _ in PEOPLE]


def view(kind, clicked=None, me=ME, queue=QUEUE, wedges=(), refusal=None, url="https://garden.example.org/1"):
    """What the background tells the popup."""
    known = {"title": "", "server": SERVER, "elsewhere": False, "refusal": refusal, "likes": []}
    return {"kind": kind, "url": url, "click": clicked, "me": me, "queue": queue, "wedges": list(wedges)} | known


def like(number, act, network, title, site):
    """What was liked elsewhere."""
    page = {"url": f"https://{site}", "title": title}
    sources = [{"act": act, "work": {"url": f"https://{site}/{number}", "title": title}, "at": number}]
    return {"page": page, "network": network, "sources": sources, "counted": None}


LIKES = [
    like(1, "star", "GitHub", "noor/tidy", "github.com/noor/tidy"),
    like(2, "boost", "mastodon.example.net", "The first frost, and what it leaves", "garden.example.net/@dora"),
    like(3, "upvote", "Hacker News", "What the index cards knew", "fay.example.org/cards"),
]


def waits(reason, length=1, at=None):
    """A queue."""
    return {"length": length, "reason": reason, "next": at}


PROMISE = CLICKS[-1]
SHARED = click(None, "youtube.com", "", "03") | {"shared": True, "place": 0}
POPUPS = {
    "counts": view("counts", CLICKS[0], wedges=WEDGES),
    "counts-alone": view("counts", CLICKS[0], ME | {"owners": 1, "share_micros": 5_000_000}, wedges=WEDGES[:1]),
    "counts-many": view("counts", CLICKS[0], ME | {"owners": 23, "share_micros": 217_391}, wedges=WEDGES),
    "counts-without-money": view("counts", CLICKS[0], POOR, wedges=WEDGES),
    "counts-arabic": view("counts", CLICKS[0] | {"owner": {"public_id": "Dora", "name": "درّة الحديقة"}}, wedges=WEDGES),
    "promise": view("promise", PROMISE, wedges=[w | {"mine": False} for w in WEDGES]),
    "promise-below-three": view("promise", PROMISE | {"place": 0}, wedges=[w | {"mine": False} for w in WEDGES]),
    "promise-nobody-paid": view("promise", PROMISE | {"place": 0}, EMPTY),
    "promise-shared": view("promise", SHARED, EMPTY | {"empty_month": None}),
    "sending": view("sending"),
    "unreached": view("waiting", queue=waits("unreached", 2, AT_SIX)),
    "busy": view("waiting", queue=waits("busy", 1, AT_SIX)),
    "unconnected": view("unconnected", None, None, waits("unconnected")),
    "disconnected": view("disconnected", None, ME, waits("disconnected", 3)),
    "undone": view("undone", CLICKS[0], wedges=WEDGES[1:]),
    "own-site": view("refused", refusal={"code": "own_site", "detail": ""}),
    "month-over": view("refused", CLICKS[0], refusal={"code": "period_ended", "detail": ""}),
    "practice": view("practice", None, None),
    "likes": view("counts", CLICKS[0], wedges=WEDGES) | {"likes": LIKES},
    "likes-choosing": view("counts", CLICKS[0], wedges=WEDGES) | {"likes": LIKES},
}

WAITING = [
    {"url": "https://slow.example.org/train", "title": "Written on a train", "undo": False, "refusal": None},
    {"url": "https://fay.example.org/old", "title": "An old one", "undo": True, "refusal": None},
    {
        "url": "https://mine.example.org/",
        "title": "My own page",
        "undo": False,
        "refusal": {"code": "own_site", "detail": ""},
    },
]
MONTH = {"me": ME, "server": SERVER, "connected": True, "waiting": [], "queue": QUEUE, "clicks": CLICKS[::-1]}
MONTH |= {"likes": []}
HOSTS = [("bsky.app", "bluesky", "Bluesky"), ("github.com", "github", "GitHub"), ("x.com", "x", "X")]
HOSTS += [("news.ycombinator.com", "hackernews", "Hacker News"), ("www.youtube.com", "youtube", "YouTube")]
HOSTS += [("mastodon.example.net", "mastodon", "mastodon.example.net")]
NETWORKS = [
    {"host": host, "id": key, "name": name, "on": key in ("github", "mastodon"), "silent_since": None}
    for host, key, name in HOSTS
]
SETTINGS = {"server": SERVER, "connected": True, "me": ME, "waiting": [], "queue": QUEUE, "practised": True}
SETTINGS |= {"networks": NETWORKS, "at_once": False}
SILENT = [network | ({"silent_since": 1_793_700_000_000} if network["on"] else {}) for network in NETWORKS]
COUNTED = like(1, "star", "GitHub", "noor/tidy", "github.com/noor/9")
CODE = {"state": "open", "code": "K7MX2P", "connect_url": f"{SERVER}/connect/1", "server": SERVER}
NEW = SETTINGS | {"connected": False, "me": None, "practised": False, "queue": waits("unconnected", 0)}
PAGES = {
    "month": ("month", {"month": MONTH, "fresh": True}, ""),
    "month-likes": ("month", {"month": MONTH | {"likes": [*LIKES, COUNTED | {"counted": "x"}]}, "fresh": True}, ""),
    "month-by-day": ("month", {"month": MONTH, "fresh": True}, "by('day')"),
    "month-searched": ("month", {"month": MONTH, "fresh": True}, "type('#words', 'emil')"),
    "month-empty": ("month", {"month": MONTH | {"clicks": [], "me": EMPTY}, "fresh": True}, ""),
    "month-without-money": ("month", {"month": MONTH | {"me": POOR}, "fresh": True}, ""),
    "month-unreached": (
        "month",
        {"month": MONTH | {"waiting": WAITING, "queue": waits("unreached", 2, AT_SIX)}, "fresh": False},
        "",
    ),
    "month-unconnected": (
        "month?why=ip_address",
        {
            "month": MONTH
            | {"connected": False, "clicks": None, "waiting": WAITING[:1], "queue": waits("unconnected")},
            "fresh": False,
        },
        "",
    ),
    "welcome": ("welcome", {"settings": NEW}, ""),
    "welcome-pressed": ("welcome", {"settings": NEW | {"practised": True}}, ""),
    "welcome-code": ("welcome", {"settings": NEW | {"practised": True}, "connect": CODE}, "click('#begin')"),
    "welcome-budget": ("welcome", {"settings": SETTINGS | {"me": POOR}}, ""),
    "welcome-done": ("welcome", {"settings": SETTINGS, "decide": None}, "click('#amount button')"),
    "settings": ("settings", {"settings": SETTINGS}, ""),
    "settings-silent": ("settings", {"settings": SETTINGS | {"networks": SILENT, "at_once": True}}, ""),
    "settings-disconnected": (
        "settings",
        {"settings": SETTINGS | {"connected": False, "waiting": WAITING[:1], "queue": waits("disconnected")}},
        "",
    ),
    "connect": ("connect", {"connect": CODE}, ""),
    "connect-unreachable": ("connect", {"connect": {"state": "unreachable", "server": SERVER}}, ""),
    "connect-done": ("connect", {"connect": {"state": "connected", "email": ME["email"], "server": SERVER}}, ""),
}
ACT = """const click = s => document.querySelector(s).click();
  const by = v => { const e = document.querySelector('#by'); e.value = v; e.onchange(); };
  const type = (s, v) => { const e = document.querySelector(s); e.value = v; e.oninput(); };"""
ANSWERS = """
  const answers = %s;
  chrome.runtime.sendMessage = async ({ type }) => ({ value: answers[type] ?? null });
  Object.defineProperty(window, 'close', { value: () => undefined });
  const words = %s;
  chrome.i18n.getMessage = (name, values = []) =>
    (words[name]?.message ?? '').replaceAll(/\\$([1-9])/g, (_, n) => values[n - 1] ?? '');"""
MEDIA = {
    "light": [("prefers-color-scheme", "light")],
    "dark": [("prefers-color-scheme", "dark")],
    "contrast": [("prefers-color-scheme", "light"), ("prefers-contrast", "more")],
    "forced": [("forced-colors", "active"), ("prefers-color-scheme", "dark")],
}


class Studio:
    """A browser whose extension is told what to show."""

    def __init__(self, browser, language="en"):
        self.browser, self.driver, self.told = browser, browser.driver, None
        self.words = (ROOT / "extension" / "_locales" / language / "messages.json").read_text("utf-8")

    def devtools(self, method, **params):
        """A command to the page that is in front."""
        return self.driver.execute_cdp_cmd(method, params)

    def show(self, page, answers, act="", width=0, media="light", rtl=False):
        """Open a page with made-up answers; then do something on it."""
        features = [{"name": name, "value": value} for name, value in MEDIA[media]]
        self.devtools("Emulation.setEmulatedMedia", features=features)
        self.devtools("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=400, deviceScaleFactor=2, mobile=False)
        if self.told:
            self.devtools("Page.removeScriptToEvaluateOnNewDocument", identifier=self.told)
        script = ANSWERS % (json.dumps(answers), self.words)
        self.told = self.devtools("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
        name, _, query = page.partition("?")
        self.driver.get(f"{self.browser.origin}/{name}.html?{query}")
        turn = "document.documentElement.dir = 'rtl';" if rtl else ""
        self.driver.execute_async_script(
            f"const done = arguments[0]; setTimeout(() => {{ {ACT} {turn} {act}; setTimeout(done, 250) }}, 150)"
        )

    def shot(self):
        """A PNG of all of it."""
        height = self.driver.execute_script("return document.documentElement.getBoundingClientRect().height")
        width = self.driver.execute_script("return innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": max(height, 1), "scale": 1}
        picture = self.devtools("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(picture["data"])

    def popup(self, name, **how):
        """One state of the popup."""
        answers = {"press": POPUPS[name], "look": POPUPS[name]}
        act = "click('#likes .choose')" if name == "likes-choosing" else ""
        self.show("popup/popup", answers, act, width=340, **how)
        return self.shot()

    def page(self, name, width=800, **how):
        """One state of one page."""
        page, answers, act = PAGES[name]
        self.show(f"pages/{page}", answers, act, width=width, **how)
        return self.shot()


# What the stores show ------------------------------------------------------------------------------------------------

STORE = {
    "1-press": ("popup", "counts", "light"),
    "2-promise": ("popup", "promise", "light"),
    "3-month": ("page", "month", "light"),
    "4-welcome": ("page", "welcome", "light"),
    "5-dark": ("popup", "counts", "dark"),
}
LINES = json.loads((ROOT / "docs" / "store" / "lines.json").read_text("utf-8"))
FRAME = """<!doctype html><meta charset="utf-8"><style>{tokens}
  body {{ margin: 0; width: 1280px; height: 800px; overflow: hidden; display: grid; grid-template: 800px / 520px 1fr;
    gap: 40px; align-items: center; background: var(--paper); color: var(--ink) }}
  div {{ padding-inline-start: 72px }}
  h1 {{ font: 52px/60px var(--serif); margin: 0 0 24px; text-wrap: balance }}
  p {{ font: 24px/36px var(--sans); margin: 0 }}
  img {{ border: 1px solid var(--hairline); max-width: 640px }}
  img.popup {{ width: 560px }} img.page {{ width: 640px; align-self: start; margin-top: 64px }}
</style><div><h1>{head}</h1><p>{line}</p></div><img class="{kind}" src="data:image/png;base64,{shot}">"""


def store(studio, folder, language):
    """The pictures of the listings: 1280 x 800, as both stores take them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = (ROOT / "extension/shared/tokens.css").read_text("utf-8")
    for name, (kind, state, media) in STORE.items():
        shot = studio.popup(state, media=media) if kind == "popup" else studio.page(state, width=760, media=media)
        head, line = LINES[language][name]
        parts = {"tokens": tokens, "head": head, "line": line, "kind": kind}
        page = FRAME.format(shot=base64.b64encode(shot).decode(), **parts)
        studio.devtools("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
        studio.driver.get("data:text/html;base64," + base64.b64encode(page.encode()).decode())
        picture = studio.devtools("Page.captureScreenshot", format="png")["data"]
        (folder / f"{language}-{name}.png").write_bytes(base64.b64decode(picture))


def everything(studio, folder):
    """Every state, in every dress."""
    folder.mkdir(parents=True, exist_ok=True)
    for media in MEDIA:
        for name in POPUPS:
            (folder / f"popup-{name}-{media}.png").write_bytes(studio.popup(name, media=media))
        for name in PAGES:
            (folder / f"page-{name}-{media}.png").write_bytes(studio.page(name, media=media))
    for name in POPUPS:
        (folder / f"popup-{name}-rtl.png").write_bytes(studio.popup(name, rtl=True))
    for name in PAGES:
        (folder / f"page-{name}-narrow.png").write_bytes(studio.page(name, width=360))
        (folder / f"page-{name}-rtl.png").write_bytes(studio.page(name, rtl=True))


def main():
    """Take the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    parser.add_argument("--language", choices=LINES, default="en")
    asked = parser.parse_args()
    with Chromium() as browser:
        studio = Studio(browser, asked.language)
        if asked.all:
            everything(studio, asked.all)
        else:
            store(studio, ROOT / "docs" / "store" / "pictures", asked.language)


if __name__ == "__main__":
    main()
