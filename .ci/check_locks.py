"""Check that every locked package is pinned by hash and that no lock file says where it was downloaded."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def python_faults(name: str) -> list[str]:
    """What is wrong with a pip lock file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.sub(r"\\\n", " ", text).splitlines()
    packages = [line for line in entries if line and not line.lstrip().startswith("#")]
    faults = [f"{name}: {line.split()[0]} has no hash" for line in packages if "--hash=sha256:" not in line]
    if not packages:
        faults.append(f"{name}: locks nothing")
    if "://" in text:
        faults.append(f"{name}: names a download address")
    return faults


def npm_faults(name: str) -> list[str]:
    """What is wrong with npm's lock file."""
    packages = json.loads((ROOT / name).read_text(encoding="utf-8"))["packages"]
    locked = {path: entry for path, entry in packages.items() if path}
    return [f"{name}: {path} has no hash" for path, entry in locked.items() if "integrity" not in entry] + [
        f"{name}: {path} names a download address" for path, entry in locked.items() if "resolved" in entry
    ]


def main() -> int:
    """Print each fault; 1 when there is any."""
    faults = [
        *python_faults("requirements.lock"),
        *python_faults("requirements-dev.lock"),
        *npm_faults("package-lock.json"),
    ]
    for fault in faults:
        print(fault)
    if faults:
        print("Write the lock files anew: make lock")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
