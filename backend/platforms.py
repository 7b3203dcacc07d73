"""Whose a page is on platforms where many people share a host: rules as data, in `data/platforms.json` (RULES 2)."""

import json
import re
import unicodedata
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, unquote

from backend.errors import NotFlattrable
from backend.urls import canonical

_DATA = json.loads(files("backend").joinpath("data/platforms.json").read_text("utf-8"))
_EXACT = "[A-Za-z0-9_-]{1,64}"
_TENANT = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_MAX_NAME, _MAX_PERSON = 255, 40  # a site's name must fit its column
_PERSON = re.compile(
    r"[^/]+/(?:(?:web|deck)/)?@(?P<name>[A-Za-z0-9_]+(?:[.-]+[A-Za-z0-9_]+)*?)(?:\.(?:rss|atom|json))?"
    r"(?:@(?P<elsewhere>[\w.-]+))?(?:/.*)?",
    re.DOTALL,
)
_POST = re.compile(r"[^/]+/users/(?P<name>[A-Za-z0-9_.-]+)/statuses/[0-9]+(?:/.*)?", re.DOTALL)

TENANTS = frozenset(_DATA["tenants"])  # hosts below which other people live
_SERVERS = frozenset(_DATA["servers"])
_SHARED = frozenset(_DATA["shared"])


@dataclass(frozen=True)
class Shape:
    """What an address of an account looks like, perhaps with a query, and the site that it belongs to."""

    pattern: re.Pattern[str]
    query: str
    site: str


@dataclass(frozen=True)
class Platform:
    """One platform: its host, the shapes of its accounts' addresses, the words that are nobody, how accounts prove."""

    host: str
    shapes: tuple[Shape, ...]
    reserved: frozenset[str]
    proof: str
    id_meta: str


def _shape(looks: str, site: str, account: str) -> Shape:
    query = looks.partition("?")[2].partition("=")[0]
    pattern = re.escape(looks)
    for name, allowed in {"account": account, "tenant": _TENANT, "exact": _EXACT}.items():
        pattern = pattern.replace(rf"\{{{name}\}}", f"(?P<{name}>{allowed})")
    flags = re.IGNORECASE | re.ASCII | re.DOTALL
    return Shape(re.compile(pattern if query else rf"{pattern}(?:/.*)?", flags), query, site)


def _platform(rules: dict[str, Any]) -> Platform:
    account, reserved = rules.get("account", ""), " ".join(rules.get("reserved", ()))
    shapes = tuple(_shape(looks, site, account) for looks, site in rules["sites"].items())
    return Platform(rules["host"], shapes, frozenset(reserved.split()), rules["proof"], rules.get("id_meta", ""))


PLATFORMS = {rules["host"]: _platform(rules) for rules in _DATA["platforms"]}
_FOLDED = {host: rules["host"] for rules in _DATA["platforms"] for host in rules.get("fold", ())}
_AT = PLATFORMS | {  # by every host with which an address of theirs begins; *.HOST: all just below
    looks.partition("/")[0].replace("{tenant}", "*"): PLATFORMS[rules["host"]]
    for rules in _DATA["platforms"]
    for looks in rules["sites"]
}


def site_on_platform(host: str, path: str, query: str) -> str:
    """The site of a page: the host itself where that alone says whose it is.

    Args:
        host: Of a canonical URL, `www.` folded away.
        path: From the first slash on.
        query: Without the question mark.
    """
    host, platform = _platform_at(host)
    if platform:
        return _on(platform, _address(host, path), query)
    if shared := _shared_host(host):
        return shared
    found = _person(host, path)
    if found and not found.groupdict().get("elsewhere"):
        return f"{host}/@{found['name'].lower()}"
    return host


def home_elsewhere(host: str, path: str) -> str | None:
    """The address at home of somebody from another server: ``/@bob@elsewhere`` is Bob's, elsewhere."""
    found = None if _platform_at(host)[1] or _shared_host(host) else _person(host, path)
    home = found.groupdict().get("elsewhere") if found else None
    try:
        return canonical(f"https://{home}/@{found['name']}") if found and home else None
    except NotFlattrable:
        return None


def is_shared(site: str) -> bool:
    """Whether a site is a host that many people share: nobody's by itself."""
    return site in PLATFORMS or site in TENANTS or site in _SERVERS or site in _SHARED


def is_account(site: str) -> bool:
    """Whether a site is an account on a host, not a host."""
    return "/" in site


def id_meta_of(site: str) -> str:
    """The meta tag in which an account's own page tells an id that outlives its name; empty where none does."""
    platform = PLATFORMS.get(site.partition("/")[0])
    return platform.id_meta if platform else ""


def proof_of(site: str) -> str:
    """How an account proves itself: ``rel_me`` or ``operator``; on servers of the fediverse by rel=me."""
    platform = PLATFORMS.get(site.partition("/")[0])
    return platform.proof if platform else "rel_me"


def _address(host: str, path: str) -> str:
    """Host and path, decoded; a slash or a letter that only looks like another matches nothing."""
    segments = [unquote(segment).replace("/", "\0") for segment in path.strip("/").split("/")]
    return "/".join([host, *(s if unicodedata.is_normalized("NFKC", s) else "\0" for s in segments)])


def _on(platform: Platform, address: str, query: str) -> str:
    for shape in platform.shapes:
        found = shape.pattern.fullmatch(address + _asked(shape, query))
        if found and not _names_nobody(platform, shape, found):
            names = {name: text if name == "exact" else text.lower() for name, text in found.groupdict().items()}
            return shape.site.format(**names)
    return platform.host


def _asked(shape: Shape, query: str) -> str:
    """The part of the query that names somebody; two of them name nobody."""
    values = parse_qs(query).get(shape.query, []) if shape.query else []
    return f"?{shape.query}={values[0]}" if len(values) == 1 else ""


def _names_nobody(platform: Platform, shape: Shape, found: re.Match[str]) -> bool:
    name, before = found[1], found.string[: found.start(1)]
    home = PLATFORMS.get(shape.site.partition("/")[0], platform)  # a gist's author is somebody on github.com
    is_reserved = name.lower() in platform.reserved or name.lower() in home.reserved
    return len(name) > _MAX_NAME or (is_reserved and not before.endswith("@"))


def _person(host: str, path: str) -> re.Match[str] | None:
    """Whom an address on a server of the fediverse names."""
    if "@" not in path and "%40" not in path and not path.startswith("/users/"):
        return None
    address = _address(host, path)
    found = _PERSON.fullmatch(address) or _POST.fullmatch(address)
    return found if found and len(found["name"]) <= _MAX_PERSON else None


def _platform_at(host: str) -> tuple[str, Platform | None]:
    parent = f"*.{host.partition('.')[2]}"
    host = _FOLDED.get(host) or _FOLDED.get(parent) or host
    return host, _AT.get(host) or _AT.get(parent)


def _shared_host(host: str) -> str | None:
    """The host in `shared` that this one is, or lies below."""
    labels = host.split(".")
    return next((above for at in range(len(labels) - 1) if (above := ".".join(labels[at:])) in _SHARED), None)
