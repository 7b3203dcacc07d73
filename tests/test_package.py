"""What the stores get: packages and listings."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STORE = ROOT / "docs" / "store"
LANGUAGES = sorted(folder.name for folder in (ROOT / "extension" / "_locales").iterdir())
MANIFEST = json.loads((ROOT / "extension" / "manifest.json").read_text("utf-8"))


def packed(to, *options, root=ROOT):
    """The packages of both stores, by store."""
    command = [sys.executable, root / ".ci" / "package.py", "--to", to, *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: to / f"flattr-{MANIFEST['version']}-{name}.zip" for name in ("chromium", "firefox")}


def manifest_in(package):
    with zipfile.ZipFile(package) as archive:
        return json.loads(archive.read("manifest.json"))


def test_packing_in_another_place_at_another_time_gives_the_same_bytes(tmp_path):
    other = tmp_path / "checkout"
    for part in (".ci", "extension"):
        shutil.copytree(ROOT / part, other / part)
    for file in (other / "extension").rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
        file.chmod(0o700)
    here, there = packed(tmp_path / "here"), packed(tmp_path / "there", root=other)
    for store, package in here.items():
        assert package.read_bytes() == there[store].read_bytes()


def test_each_store_gets_a_manifest_without_what_only_the_other_knows(tmp_path):
    packages = packed(tmp_path)
    chromium, firefox = manifest_in(packages["chromium"]), manifest_in(packages["firefox"])
    assert not {"key", "browser_specific_settings"} & chromium.keys()
    assert not {"key", "minimum_chrome_version"} & firefox.keys()
    assert set(chromium["background"]) == {"service_worker", "type"}
    assert set(firefox["background"]) == {"scripts", "type"}
    gecko = firefox["browser_specific_settings"]
    assert gecko["gecko"]["data_collection_permissions"]["required"] == ["browsingActivity"]
    assert gecko.keys() == {"gecko", "gecko_android"}
    assert chromium["permissions"] == firefox["permissions"] == MANIFEST["permissions"]


def test_a_package_holds_the_extension_and_nothing_else(tmp_path):
    files = {p.relative_to(ROOT / "extension").as_posix() for p in (ROOT / "extension").rglob("*") if p.is_file()}
    for package in packed(tmp_path).values():
        with zipfile.ZipFile(package) as archive:
            assert set(archive.namelist()) == files
            assert sum(info.file_size for info in archive.infolist()) < 400_000


def test_a_package_can_be_made_for_another_server(tmp_path):
    packages = packed(tmp_path, "--server", "https://flattr.example.org")
    with zipfile.ZipFile(packages["firefox"]) as archive:
        assert b"DEFAULT_SERVER = 'https://flattr.example.org';" in archive.read("shared/server.js")


@pytest.mark.parametrize("server", ["http://flattr.example.org", "https://flattr.example.org/", "https://a'b.org"])
def test_a_package_talks_to_a_server_by_https_only(tmp_path, server):
    with pytest.raises(AssertionError, match="the server is an origin"):
        packed(tmp_path, "--server", server)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_a_listing_with_the_words_of_the_extension(language):
    text = (STORE / f"{language}.md").read_text("utf-8")
    words = json.loads((ROOT / "extension" / "_locales" / language / "messages.json").read_text("utf-8"))
    assert words["description"]["message"] in text, "The summary is what the manifest says."
    assert "!" not in re.sub(r"!\[|<!--", "", text), "No exclamation marks."
    for number in json.loads((STORE / "lines.json").read_text("utf-8"))[language]:
        assert number[0].isdigit()


def test_the_listing_has_its_pictures_in_the_size_that_both_stores_take():
    names = json.loads((STORE / "lines.json").read_text("utf-8"))["en"]
    for name in names:
        head = (STORE / "pictures" / f"en-{name}.png").read_bytes()[:24]
        assert struct.unpack(">II", head[16:]) == (1280, 800), f"{name}: run docs/store/pictures.py"


def test_the_stores_are_told_why_of_each_permission():
    text = (STORE / "README.md").read_text("utf-8")
    faults = [name for name in MANIFEST["permissions"] if f"`{name}`" not in text]
    assert not faults, f"{faults}: say in docs/store/README.md why, in the words that the stores' forms take."
