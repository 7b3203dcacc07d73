"""The house rules. A message that fails says what to do."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import backend
from backend.errors import DomainError

ROOT = Path(__file__).parent.parent
BACKEND = ROOT / "backend"
EXTENSION = ROOT / "extension"
DOCS = ROOT / "docs"

NOUNS = ("ledger", "users", "access", "sites", "claims", "clicks")
PROCESSES = ("settlement", "statements", "deposits", "payouts", "audit", "checks")


def sources(*names):
    """The Python files of these modules or packages; of the whole backend without a name."""
    tops = [BACKEND / name for name in names] or [BACKEND]
    return sorted({file for top in tops for file in (top.with_suffix(".py"), *top.rglob("*.py")) if file.is_file()})


def findings(files, is_fault):
    """``file:line`` of each node that *is_fault* names a fault of."""
    return [
        f"{file.relative_to(ROOT)}:{node.lineno} {fault}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (fault := is_fault(node))
    ]


def refusals():
    """Every DomainError class of the backend."""
    for module in pkgutil.walk_packages(backend.__path__, "backend."):
        if not module.name.startswith("backend.migrations"):
            importlib.import_module(module.name)
    found, waiting = set(), [DomainError]
    while waiting:
        for refusal in waiting.pop().__subclasses__():
            if refusal.__module__.startswith("backend."):
                found.add(refusal)
                waiting.append(refusal)
    return sorted(found, key=lambda refusal: (refusal.__module__, refusal.__qualname__))


def doc(name):
    file = DOCS / name
    assert file.is_file(), f"Write docs/{name}."
    return file.read_text(encoding="utf-8")


def in_words(faults):
    return "\n  ".join(["", *faults])


def test_imports_point_down_or_not_at_all():
    lint = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, (
        f"{run.stdout}{run.stderr}\nMove the code to the layer that may do this, or hand the function in as"
        " an argument. A new module takes its place in the layers of pyproject.toml."
    )


def test_money_never_meets_a_float():
    def is_fault(node):
        if isinstance(node, ast.Name) and node.id in ("float", "Decimal"):
            return node.id
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            return repr(node.value)
        return None

    faults = findings(sources(*NOUNS, *PROCESSES), is_fault)
    assert not faults, f"{in_words(faults)}\nCount in integer micros; backend.money reads and shows decimal euros."


def test_nouns_and_processes_are_told_the_time():
    clocks = {"datetime": ("now", "utcnow", "today"), "date": ("today",), "time": ("time", "time_ns")}

    def is_fault(node):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            return f"{owner}.{node.attr}" if node.attr in clocks.get(owner, ()) else None
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and {"time", "time_ns"} & {n.name for n in node.names}
        ):
            return "from time import time"
        return None

    faults = findings(sources(*NOUNS, *PROCESSES), is_fault)
    assert not faults, f"{in_words(faults)}\nTake `now` as an argument; the face reads it from the app's clock."


def test_nothing_swallows_a_bug():
    def is_fault(node):
        if not isinstance(node, ast.ExceptHandler):
            return None
        if node.type is None:
            return "bare except"
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        blind = [c.id for c in caught if isinstance(c, ast.Name) and c.id in ("Exception", "BaseException")]
        return f"except {blind[0]}" if blind else None

    faults = findings(sources(), is_fault)
    assert not faults, f"{in_words(faults)}\nName what you expect; let a bug be a 500 and a line in the log."


def test_every_module_has_a_name_from_the_business():
    vague = {"utils", "util", "helpers", "helper", "services", "service", "models", "common", "misc"}
    files = [*sources(), *EXTENSION.rglob("*.js"), *(ROOT / "tests").rglob("*.py")]
    faults = [str(f.relative_to(ROOT)) for f in files if {*f.relative_to(ROOT).parent.parts, f.stem} & vague]
    assert not faults, f"{in_words(faults)}\nName it after the noun, process, edge or face that it belongs to."


def test_every_refusal_has_a_code_of_its_own():
    codes = {}
    for refusal in refusals():
        code = vars(refusal).get("code")
        assert code, f"{refusal.__module__}.{refusal.__name__} needs its own public `code`."
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code), f"{refusal.__name__}: write the code {code!r} in snake_case."
        other = codes.setdefault(code, refusal)
        assert other is refusal, f"{refusal.__name__} and {other.__name__} share the code {code!r}: rename one."


def test_every_refusal_is_in_the_docs():
    text = doc("errors.md")
    faults = [f"{r.code} ({r.__module__}.{r.__name__})" for r in refusals() if f"`{r.code}`" not in text]
    assert not faults, f"{in_words(faults)}\nGive each code a line in docs/errors.md: when it comes, what to do."


def test_every_refusal_has_an_http_status():
    status = importlib.import_module("backend.api.errors").STATUS
    faults = [f"{r.__module__}.{r.__name__}" for r in refusals() if not isinstance(status.get(r.code), int)]
    assert not faults, f"{in_words(faults)}\nAdd each to STATUS in backend/api/errors.py."
    stale = sorted(set(status) - {r.code for r in refusals()})
    assert not stale, f"{in_words(stale)}\nNo refusal has these codes: take them out of backend/api/errors.py."


def test_every_setting_is_in_the_docs():
    text = doc("operating.md")
    read = {name for file in sources() for name in re.findall(r"\bFLATTR_[A-Z][A-Z_]*[A-Z]\b", file.read_text("utf-8"))}
    faults = sorted(read - set(re.findall(r"\bFLATTR_[A-Z_]+\b", text)))
    assert not faults, f"{in_words(faults)}\nSay in docs/operating.md what each does and what it is when unset."


def test_every_permission_is_explained():
    manifest = json.loads((EXTENSION / "manifest.json").read_text(encoding="utf-8"))
    kinds = ("permissions", "optional_permissions", "host_permissions", "optional_host_permissions")
    asked = {permission for kind in kinds for permission in manifest.get(kind, [])}
    explained = set(re.findall(r"^#+ `(.+)`$", doc("privacy.md"), re.MULTILINE))
    assert asked == explained, (
        f"asked for, not explained: {sorted(asked - explained)}; explained, not asked for: {sorted(explained - asked)}."
        " In docs/privacy.md each permission has a heading, with why, and why not less."
    )


def test_site_and_extension_look_alike():
    site, extension = BACKEND / "static" / "tokens.css", EXTENSION / "shared" / "tokens.css"
    same = site.is_file() and site.read_bytes() == extension.read_bytes()
    assert same, f"Change both alike: cp {extension.relative_to(ROOT)} {site.relative_to(ROOT)}"


def test_both_sides_drop_the_same_tracking_parameters():
    script = "import('./extension/shared/tracking.js').then((m) => console.log(JSON.stringify(m.TRACKING)))"
    run = subprocess.run(["node", "--eval", script], cwd=ROOT, capture_output=True, text=True, check=True)
    extension = {kind: sorted(names) for kind, names in json.loads(run.stdout).items()}
    ours = json.loads((BACKEND / "data" / "tracking.json").read_text(encoding="utf-8"))
    site = {kind: sorted(names) for kind, names in ours.items()}
    assert extension == site, (
        "Make extension/shared/tracking.js and backend/data/tracking.json name the same parameters."
    )


def test_no_file_names_a_download_host_or_a_path_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = ("registry[.]npm" + "js", "py" + "pi[.]org", "python" + "hosted", "deb[.]deb" + "ian")
    pattern = re.compile(rf"{'|'.join(hosts)}|(?<![\w.])/(?:wo{''}rk|fa{''}rm|ro{''}ot)/[a-z.]")
    faults = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        file = ROOT / name
        text = file.read_bytes().decode("utf-8", errors="ignore") if file.is_file() else ""
        faults += [f"{name}:{text.count(chr(10), 0, hit.start()) + 1} {hit[0]}" for hit in pattern.finditer(text)]
    assert not faults, f"{in_words(faults)}\nWrite it without the host or path: it differs on the next machine."
