"""Draws the extension's icons: the cake in each state and size, for light and for dark toolbars; and the site's own.

.venv/bin/python docs/store/icons.py
"""

import base64
import math
import shutil
from pathlib import Path

from selenium import webdriver

ROOT = Path(__file__).resolve().parents[2]
ICONS = ROOT / "extension" / "icons"
STATIC = ROOT / "backend" / "static"
APP = (192, 512)  # of the site, installed on a phone
SIZES = {"whole": (16, 32, 48, 64, 96, 128), "counts": (16, 32), "promise": (16, 32), "grey": (16, 32)}
LIGHT = {"paper": "#FBF7F0", "cake": "#A8234A", "slice": "#2F6B4F", "grey": "#8A8179"}
DARK = {"paper": "#1B1715", "cake": "#F27C98", "slice": "#8CCBA8", "grey": "#9C9187"}


def at(angle, radius, x=16.0, y=16.0):
    """A point on a circle; 0 is above, clockwise."""
    turned = math.radians(angle - 90)
    return f"{x + math.cos(turned) * radius:.2f} {y + math.sin(turned) * radius:.2f}"


def sector(start, end, radius, x=16.0, y=16.0):
    """A slice, or what is left of the cake without one."""
    large = int((end - start) % 360 > 180)
    return f"M{x:.2f} {y:.2f}L{at(start, radius, x, y)}A{radius} {radius} 0 {large} 1 {at(end, radius, x, y)}Z"


def drawing(state, ink, small):
    """The cake from above. Small, it has fewer and bolder marks; a rim of paper keeps it clear of any toolbar."""
    dots = 6 if small else 8
    size = 2.4 if small else 2.0
    cut = state in ("counts", "promise")
    cake = ink["grey"] if state == "grey" else ink["cake"]
    whole = '<circle cx="16" cy="16" r="{r}" fill="{fill}"/>'
    part = '<path d="{d}" fill="{fill}"/>'

    def body(radius, fill):
        return part.format(d=sector(80, 370, radius), fill=fill) if cut else whole.format(r=radius, fill=fill)

    marks = [(i + 0.5) * 360 / dots for i in range(dots)]
    circles = "".join(
        '<circle cx="{}" cy="{}" r="{}" fill="{}"/>'.format(*at(angle, 9).split(), size, ink["paper"])
        for angle in marks
        if not (cut and (angle < 92 or angle > 358))
    )
    return body(15.5, ink["paper"]) + body(14, cake) + circles + slice_of(state, ink, small)


def slice_of(state, ink, small):
    """The slice that was pressed for: lifted where it counts, an outline where it is promised."""
    x, y = 17.4, 14.2
    if state == "counts":
        d = sector(10, 80, 13.2, x, y)
        return f'<path d="{d}" fill="{ink["slice"]}" stroke="{ink["paper"]}" stroke-width="1.5"/>'
    if state == "promise":
        d = sector(12, 78, 12, x, y)
        line = '<path d="{}" fill="{}" stroke="{}" stroke-width="{}" stroke-dasharray="{}" stroke-linejoin="round"/>'
        dashes = "none" if small else "4.4 2.6"
        return line.format(d, ink["paper"], ink["paper"], 4, "none") + line.format(d, "none", ink["cake"], 2, dashes)
    return ""


def picture(state, ink, size):
    """An SVG of one icon."""
    drawn = drawing(state, ink, small=size <= 16)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 32 32">{drawn}</svg>'


def main():
    """Draw all of them with Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--force-device-scale-factor=1", "--window-size=600,600"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        for folder, ink in ((ICONS, LIGHT), (ICONS / "dark", DARK)):
            folder.mkdir(exist_ok=True)
            for state, sizes in SIZES.items():
                for size in sizes if ink is LIGHT else (16, 32):
                    (folder / f"{state}-{size}.png").write_bytes(shot(driver, picture(state, ink, size), size))
        for size in APP:
            (STATIC / f"icon-{size}.png").write_bytes(shot(driver, picture("whole", LIGHT, size), size))
    finally:
        driver.quit()


def shot(driver, svg, size):
    """The PNG of an SVG, with nothing behind it."""
    page = f"<style>body{{margin:0}}svg{{display:block}}</style>{svg}"
    driver.get("data:text/html;base64," + base64.b64encode(page.encode()).decode())
    driver.execute_cdp_cmd("Emulation.setDefaultBackgroundColorOverride", {"color": {"r": 0, "g": 0, "b": 0, "a": 0}})
    clip = {"x": 0, "y": 0, "width": size, "height": size, "scale": 1}
    return base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})["data"])


if __name__ == "__main__":
    main()
