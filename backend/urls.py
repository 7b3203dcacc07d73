"""One canonical form per page, the same as browsers see it, and what can be flattred at all.

WHATWG parsing by ada-url, then the few foldings on which browsers and sites disagree.
"""

import json
import re
from importlib.resources import files

import ada_url

from backend.errors import NotFlattrable

MAX_LENGTH = 2048
_TRACKING = json.loads(files("backend").joinpath("data/tracking.json").read_text("utf-8"))
_TRACKING_NAMES = frozenset(_TRACKING["names"])
_TRACKING_PREFIXES = tuple(_TRACKING["prefixes"])
_SPECIAL = frozenset(
    "alt arpa corp example home internal intranet invalid lan local localdomain localhost onion private test".split()
)
_IPV4 = re.compile(r"[0-9.]+", re.ASCII)
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|\[::1\]|localhost|([^.]+\.)+test", re.ASCII)
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def canonical(text: str, *, dev: bool = False) -> str:
    """The one form of a page's address; applying it again changes nothing.

    Args:
        text: What the browser's address bar or a link holds.
        dev: Let loopback hosts through, with their port (FLATTR_DEV).

    Raises:
        NotFlattrable: Not an http(s) page of a public host; the message says why.
    """
    url = _parse(text)
    host = url.hostname.rstrip(".")
    path = url.pathname.replace("|", "%7C").replace("^", "%5E")
    port = f":{url.port}" if url.port else ""
    canonical_url = f"{url.protocol}//{host}{port}{path}{_query_without_tracking(url.search)}"
    # A host without its trailing dots may be another thing altogether (an address): look at it once more.
    _refuse_host(url if host == url.hostname else _parse(canonical_url), dev=dev)
    if len(canonical_url) > MAX_LENGTH:
        raise NotFlattrable("This address is too long to be flattred.")
    return canonical_url


def host_of(canonical_url: str) -> str:
    """The host of a canonical URL, with its port where it has one."""
    return canonical_url.split("/", 3)[2]


def is_loopback(host: str) -> bool:
    """Whether *host* (a port may follow) names this machine; such hosts are sites in dev mode only."""
    return bool(_LOOPBACK.fullmatch(re.sub(r":\d+$", "", host)))


def clean_title(text: str | None) -> str | None:
    """A stranger's title as harmless text: one line, at most 300 characters, nothing invisible (RULES 5.8)."""
    plain = " ".join(_INVISIBLE.sub(" ", text or "").split())[:300].strip()
    return plain.encode("utf-8", "replace").decode("utf-8") or None


def _parse(text: str) -> ada_url.URL:
    if len(text) > 4 * MAX_LENGTH:
        raise NotFlattrable("This address is too long to be flattred.")
    try:
        url = ada_url.URL(text)
    except (ValueError, UnicodeEncodeError) as error:
        raise NotFlattrable("This is not a web address.") from error
    if url.protocol not in ("http:", "https:"):
        raise NotFlattrable("Only web pages (http and https) can be flattred.")
    if not url.hostname.strip("."):
        raise NotFlattrable("This address names no site.")
    return url


def _refuse_host(url: ada_url.URL, *, dev: bool) -> None:
    host = url.hostname
    if dev and is_loopback(host):
        return
    if host.startswith("[") or _IPV4.fullmatch(host):
        raise NotFlattrable("Numeric addresses cannot be flattred: only sites with a name.")
    if "." not in host or host.rpartition(".")[2] in _SPECIAL:
        raise NotFlattrable("This host is private to a network: nobody else could claim it.")
    if len(host) > 253:
        raise NotFlattrable("This host is longer than the names that exist.")
    if url.port:
        raise NotFlattrable("Sites on unusual ports cannot be flattred.")


def _query_without_tracking(search: str) -> str:
    kept = [part for part in search.removeprefix("?").split("&") if part and not _is_tracking(part.partition("=")[0])]
    return "?" + "&".join(kept) if kept else ""


def _is_tracking(name: str) -> bool:
    return name in _TRACKING_NAMES or name.startswith(_TRACKING_PREFIXES)
