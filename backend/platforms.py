"""Whose a page is on platforms where many people share a host: rules as data, in `data/platforms.json` (RULES 2)."""

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import parse_qs, unquote

from backend.errors import NotFlattrable
from backend.urls import canonical, host_of

_DATA = json.loads(files("backend").joinpath("data/platforms.json").read_text("utf-8"))
_FEDIVERSE = re.compile(r"/(?:web/)?@([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)(?:@([A-Za-z0-9.-]+))?(?:/|$)")
_FEDIVERSE_OBJECT = re.compile(r"/users/([A-Za-z0-9_.-]+)/statuses/\d+")

TENANTS = frozenset(_DATA["tenants"])  # hosts below which other people live


@dataclass(frozen=True)
class Shape:
    """What an address of an account looks like: host and path segments as patterns, perhaps a query."""

    host: re.Pattern[str]
    segments: tuple[re.Pattern[str], ...]
    query: str
    site: str
    is_first_segment: bool


@dataclass(frozen=True)
class Platform:
    """One platform: its host, the shapes of its accounts' addresses, the words that are nobody, how accounts prove."""

    host: str
    shapes: tuple[Shape, ...]
    reserved: frozenset[str]
    proof: str


def _pattern(text: str, account: str) -> re.Pattern[str]:
    escaped = re.escape(text).replace(r"\{account\}", f"(?P<account>{account})")
    return re.compile(escaped.replace(r"\{exact\}", "(?P<exact>[A-Za-z0-9_-]{1,64})"), re.IGNORECASE | re.ASCII)


def _shape(looks: str, site: str, account: str) -> Shape:
    address, _, query = looks.partition("?")
    host, *segments = address.split("/")
    return Shape(
        _pattern(host, account),
        tuple(_pattern(segment, account) for segment in segments),
        query.partition("=")[0],
        site,
        bool(segments) and segments[0] == "{account}" and not host.startswith("{"),
    )


def _platform(rules: dict[str, object]) -> Platform:
    account, shapes = str(rules.get("account", "[^/]+")), rules["sites"]
    assert isinstance(shapes, dict), "`sites` maps what addresses look like to sites"
    words = f"{rules.get('reserved', '')} {rules.get('tenants_reserved', '')}".lower().split()
    return Platform(
        str(rules["host"]),
        tuple(_shape(looks, site, account) for looks, site in shapes.items()),
        frozenset(words),
        str(rules["proof"]),
    )


PLATFORMS = {rules["host"]: _platform(rules) for rules in _DATA["platforms"]}
_FOLDED = {host: rules["host"] for rules in _DATA["platforms"] for host in rules.get("fold", ())}


def site_on_platform(host: str, path: str, query: str) -> str | None:
    """The site of a page on a shared host; None where the host alone says whose it is.

    Args:
        host: Of a canonical URL, `www.` folded away.
        path: From the first slash on.
        query: Without the question mark.
    """
    host = _FOLDED.get(host, host)
    for platform in PLATFORMS.values():
        if host == platform.host or any(shape.host.fullmatch(host) for shape in platform.shapes):
            return _on(platform, host, path, query)
    return _in_fediverse(host, path)


def is_shared(site: str) -> bool:
    """Whether a site is a host that many people share: nobody's by itself."""
    return site in PLATFORMS or site in TENANTS


def is_account(site: str) -> bool:
    """Whether a site is an account on a host, not a host."""
    return "/" in site


def proof_of(site: str) -> str:
    """How an account proves itself: ``rel_me`` or ``operator``; on servers of the fediverse by rel=me."""
    platform = PLATFORMS.get(site.partition("/")[0])
    return platform.proof if platform else "rel_me"


def _on(platform: Platform, host: str, path: str, query: str) -> str:
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    for shape in platform.shapes:
        found = _match(shape, host, segments, query)
        if found and not (_names_nobody(platform, shape, host, segments)):
            return shape.site.format(account=found.get("account", "").lower(), exact=found.get("exact", ""))
    return host if host.endswith(f".{platform.host}") and not platform.shapes else platform.host


def _names_nobody(platform: Platform, shape: Shape, host: str, segments: list[str]) -> bool:
    named = segments[0] if shape.is_first_segment else "" if shape.segments else host.partition(".")[0]
    return named.lower() in platform.reserved


def _match(shape: Shape, host: str, segments: list[str], query: str) -> dict[str, str] | None:
    """What the shape's patterns found in an address, by name."""
    in_host = shape.host.fullmatch(host)
    if not in_host or len(segments) < len(shape.segments):
        return None
    found = dict(in_host.groupdict())
    for pattern, segment in zip(shape.segments, segments, strict=False):
        in_segment = pattern.fullmatch(segment)
        if not in_segment:
            return None
        found |= in_segment.groupdict()
    if shape.query:
        exact = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", parse_qs(query).get(shape.query, [""])[0], re.ASCII)
        return found | {"exact": exact[0]} if exact else None
    return found


def _in_fediverse(host: str, path: str) -> str | None:
    """``/@alice`` on any other server is Alice's there; ``/@bob@elsewhere`` is Bob's, elsewhere."""
    found = _FEDIVERSE.match(path)
    if found:
        name, elsewhere = found.groups()
        return f"{_host_named(elsewhere) or host}/@{name.lower()}"
    found = _FEDIVERSE_OBJECT.match(path)
    return f"{host}/@{found[1].lower()}" if found else None


def _host_named(elsewhere: str | None) -> str | None:
    try:
        return host_of(canonical(f"https://{elsewhere}/")) if elsewhere else None
    except NotFlattrable:
        return None
