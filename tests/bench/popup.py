"""How soon the popup shows something, once its browser has run a while: `popup_first_paint_ms`."""

import shutil
import statistics
import tempfile
from pathlib import Path

from tests.bench.rows import row
from tests.e2e.browsers import EXTENSION, Chromium
from tests.e2e.conftest import Web
from tests.e2e.waiting import wait_for

PRESSES = 15
WARM = 3
BARE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bare</title></head>
<body><p id="view" data-kind="bare">A line.</p></body></html>"""
PAINTED = """const [paint] = performance.getEntriesByName('first-contentful-paint');
  return document.getElementById('view').dataset.kind !== 'reading' && paint ? paint.startTime : 0"""


def first_paints(browser, popup):
    """Milliseconds from opening each popup to the first of its words on screen; those after the first ones."""
    browser.in_extension("await chrome.action.setPopup({ popup: args[0] })", popup)
    found = []
    for _ in range(WARM + PRESSES):
        browser.press()
        found.append(wait_for(lambda: browser.popup(PAINTED), "the first paint"))
        browser.close_popup()
    return found[WARM:]


def popup_first_paint_ms():
    """Presses on a page that was pressed before, against a popup of one line without style or script."""
    web = Web()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "extension"
        shutil.copytree(EXTENSION, copy)
        (copy / "popup" / "bare.html").write_text(BARE, encoding="utf-8")
        with Chromium(extension=copy) as browser:
            browser.store(server="http://127.0.0.1:9")
            browser.open(web.page("127.0.0.2"))
            browser.press()
            browser.popup_shows("unconnected")
            browser.close_popup()
            ours = statistics.median(first_paints(browser, "popup/popup.html"))
            bare = statistics.median(first_paints(browser, "popup/bare.html"))
    web.server.shutdown()
    return row("popup_first_paint_ms", ours, "ms", "a popup of one line, without style or script", ours / bare)


if __name__ == "__main__":
    print(popup_first_paint_ms())
