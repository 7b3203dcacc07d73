"""Pack the extension for both stores: dist/flattr-VERSION-chromium.zip and -firefox.zip, the same bytes every time.

    .ci/package.py [--server https://…] [--to FOLDER]

Nothing is built: the files are those of `extension/`. Each store gets a manifest without what only the other one knows.
"""

import argparse
import json
import re
import sys
import zipfile
from pathlib import Path

EXTENSION = Path(__file__).parent.parent / "extension"
SERVER = "shared/server.js"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first day a zip file can tell


def chromium(manifest: dict) -> dict:
    """Chromium's store gives extensions their key, and refuses one that comes with it."""
    worker = {"service_worker": manifest["background"]["service_worker"], "type": "module"}
    return {k: v for k, v in manifest.items() if k not in ("key", "browser_specific_settings")} | {"background": worker}


def firefox(manifest: dict) -> dict:
    """Firefox has event pages instead of service workers."""
    page = {"scripts": manifest["background"]["scripts"], "type": "module"}
    return {k: v for k, v in manifest.items() if k not in ("key", "minimum_chrome_version")} | {"background": page}


def contents(manifest: dict, server: str | None) -> dict[str, bytes]:
    """What one store gets, by path."""
    files = {p.relative_to(EXTENSION).as_posix(): p.read_bytes() for p in EXTENSION.rglob("*") if p.is_file()}
    shipped = {path: data for path, data in files.items() if not any(part.startswith(".") for part in path.split("/"))}
    shipped["manifest.json"] = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    if server:
        ours, changed = re.subn(r"'http://[^']*'", f"'{server}'", shipped[SERVER].decode())
        assert changed == 1, f"{SERVER} names no server"
        shipped[SERVER] = ours.encode()
    return shipped


def pack(to: Path, files: dict[str, bytes]) -> None:
    """Stored, not compressed: compressors differ from machine to machine, and stores compress anyway."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, LONG_AGO)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[path])


def main() -> int:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="where new readers are sent, instead of the server on this machine")
    parser.add_argument("--to", type=Path, default=Path("dist"))
    asked = parser.parse_args()
    if asked.server and not re.fullmatch(r"https://[a-z0-9.-]+(:\d+)?", asked.server):
        parser.error("the server is an origin like https://flattr.example.org, without a path")
    manifest = json.loads((EXTENSION / "manifest.json").read_text("utf-8"))
    asked.to.mkdir(parents=True, exist_ok=True)
    for store in (chromium, firefox):
        name = asked.to / f"flattr-{manifest['version']}-{store.__name__}.zip"
        pack(name, contents(store(manifest), asked.server))
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
