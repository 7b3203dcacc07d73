"""The packages that the stores get run as they are."""

import zipfile

from tests.e2e.browsers import Chromium
from tests.e2e.test_journeys import STRANGER
from tests.test_package import packed


def test_what_the_store_gets_can_be_installed_and_pressed(kind, web, tmp_path):
    package = packed(tmp_path)[kind.name]
    if kind is Chromium:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(tmp_path / "unpacked")
        package = tmp_path / "unpacked"
    with kind(extension=package) as browser:
        browser.store(server="http://127.0.0.1:9")
        browser.open(web.page(STRANGER))
        browser.press()
        assert "act" in browser.popup_shows("unconnected")["buttons"]
