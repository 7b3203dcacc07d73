"""The one way out to the web: a site's front page, fetched as if it were hostile (RULES 4).

The name is resolved once, every answer must be public, and that very address is dialled. One deadline covers it all.
"""

import hashlib
import http.client
import io
import ipaddress
import socket
import ssl
import time
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import ada_url
import dns.exception
import dns.resolver

from backend.errors import DomainError, NotFlattrable
from backend.urls import canonical, host_of, is_loopback

DEADLINE_SECONDS = 10.0
DNS_SECONDS = 3.0
MAX_BODY = 128 * 1024
MAX_RAW = 600_000
MAX_REDIRECTS = 5

_REFUSED = [
    ipaddress.ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]
_UNICAST6 = ipaddress.ip_network("2000::/3")


class FetchFailed(DomainError):
    """A site could not be fetched; `code` says why (see `claims.ADVICE`)."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


@dataclass(frozen=True)
class Fetched:
    """An answer, at most its first 128 KiB, with what an owner may want to know about it."""

    status: int
    content_type: str
    body: bytes
    hops: list[str]
    address: str

    @property
    def evidence(self) -> dict[str, object]:
        """What is kept of the answer."""
        digest = hashlib.sha256(self.body).hexdigest()
        return {"status": self.status, "hops": self.hops, "address": self.address, "sha256": digest}


def is_public(address: str) -> bool:
    """Whether an IP address may be dialled: unicast, and nobody's private network or tunnel into one."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.scope_id or ip not in _UNICAST6):
        return False
    return not any(ip.version == block.version and ip in block for block in _REFUSED)


def root_of(site: str, *, dev: bool = False) -> str:
    """The address of a host's front page: https, or http for loopback hosts in dev mode."""
    return f"{'http' if dev and is_loopback(site) else 'https'}://{site}/"


def front_page(site: str, *, dev: bool = False, user_agent: str = "flattr-verify/1") -> Fetched:
    """The document at the root of a host.

    Raises:
        FetchFailed: With the code of what went wrong.
    """
    root = root_of(site, dev=dev)
    if _checked(root, dev) != root or host_of(root) != site:
        raise FetchFailed("refused_address", "This is not the name of a site.")
    return get(root, dev=dev, user_agent=user_agent)


def get(url: str, *, dev: bool = False, user_agent: str = "flattr-verify/1") -> Fetched:
    """A page, at most its first 128 KiB.

    Raises:
        FetchFailed: With the code of what went wrong.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    url = _checked(url, dev)
    site, hops = host_of(url), [url]
    while True:
        answer, target = _get(url, hops, deadline, dev, user_agent)
        if not target:
            return answer
        url = _followed(url, target, site, dev)
        hops.append(url)
        if len(hops) > MAX_REDIRECTS + 1:
            raise FetchFailed("too_many_redirects")


def txt(name: str) -> list[str]:
    """All TXT records of a name, each with its strings put together.

    Raises:
        FetchFailed: ``no_such_host`` or ``dns_failed``.
    """
    return [b"".join(record.strings).decode("utf-8", "replace") for record in _ask_dns(name, "TXT", DNS_SECONDS)]


# What may be asked for ------------------------------------------------------------------------------------------------


def _checked(url: str, dev: bool, *, base: str | None = None) -> str:
    """An address that may be asked for: what can be flattred, and nothing else.

    It is read as browsers do: what Python's own parser makes of a backslash leads elsewhere.

    Raises:
        FetchFailed: It is another scheme, an IP address in some spelling, a port, a special name.
    """
    try:
        there = ada_url.URL(url, base=base)
        if there.username or there.password:
            raise NotFlattrable("An address with a user's name in it is not a page's.")
        return canonical(there.href, dev=dev)
    except (NotFlattrable, ValueError) as error:
        raise FetchFailed("refused_address", str(error)) from error


def _followed(url: str, target: str, site: str, dev: bool) -> str:
    """Where a redirect leads: only https, and only between a host and its `www.` (RULES 3.5)."""
    try:
        there = _checked(target, dev, base=url)
    except FetchFailed as error:
        raise FetchFailed("redirects_elsewhere", "to something that is no site") from error
    host = host_of(there)
    if host.removeprefix("www.") != site.removeprefix("www.") or not there.startswith(root_of(host, dev=dev)):
        raise FetchFailed("redirects_elsewhere", f"to {there[:200]}")
    return there


# Asking ---------------------------------------------------------------------------------------------------------------


class _Stream(io.RawIOBase):
    """What a server sends, for `http.client` to read: until the deadline, and up to a size, however it is sent."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline, self._room = connection, deadline, MAX_RAW

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._room:
            raise FetchFailed("too_large")
        self._connection.settimeout(_left(self._deadline))
        count = self._connection.recv_into(memoryview(buffer)[: self._room])
        self._room -= count
        return count


def _get(url: str, hops: list[str], deadline: float, dev: bool, user_agent: str) -> tuple[Fetched, str]:
    """One answer, and where it redirects to."""
    address = _resolve(urlsplit(url).hostname or "", dev, deadline)[0]
    try:
        with _dial(address, url, deadline) as connection, _ask(connection, url, deadline, user_agent) as answer:
            target = _target(answer)
            content_type = _value(answer, "Content-Type").partition(";")[0].strip().lower()
            body = b"" if target else _body(answer)
            return Fetched(answer.status, content_type, body, list(hops), address), target
    except TimeoutError as error:
        raise FetchFailed("timeout") from error
    except ssl.SSLError as error:
        raise FetchFailed("no_https") from error
    except (OSError, http.client.HTTPException, zlib.error, ValueError):
        raise FetchFailed("bad_response") from None  # such an error may quote what the server sent


def _dial(address: str, url: str, deadline: float) -> socket.socket:
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        raw = socket.create_connection((address, parts.port or (443 if tls else 80)), timeout=_left(deadline))
        if not tls:
            return raw
        with raw:  # TLS takes it over
            raw.settimeout(_left(deadline))
            return tls.wrap_socket(raw, server_hostname=parts.hostname)
    except TimeoutError:
        raise
    except OSError as error:
        raise FetchFailed("no_https" if tls else "unreachable") from error


def _ask(connection: socket.socket, url: str, deadline: float, user_agent: str) -> http.client.HTTPResponse:
    """The head of the answer. Where it contradicts itself, so that browsers may see something else, it is refused."""
    _, _, host, path = url.split("/", 3)
    client = http.client.HTTPConnection(host)
    client.sock = connection
    connection.settimeout(_left(deadline))
    headers = {"User-Agent": user_agent, "Accept": "text/html", "Accept-Encoding": "identity"}
    client.request("GET", f"/{path}", headers=headers)
    stream: Any = _Stream(connection, deadline)
    answer = http.client.HTTPResponse(stream, method="GET")
    answer.begin()
    if answer.headers.defects or bool(_value(answer, "Transfer-Encoding")) != answer.chunked:
        raise ValueError("headers that can be read in two ways")
    if answer.chunked and answer.version == 10:
        raise ValueError("HTTP/1.0 knows no chunks")
    if not (_value(answer, "Content-Length") or "0").isdecimal():
        raise ValueError("a length that is none")
    return answer


def _value(answer: http.client.HTTPResponse, name: str) -> str:
    values = {value.strip() for value in answer.headers.get_all(name, [])}
    if len(values) > 1:
        raise ValueError(f"two different {name}")
    return values.pop() if values else ""


def _target(answer: http.client.HTTPResponse) -> str:
    if answer.status not in (301, 302, 303, 307, 308):
        return ""
    targets = answer.headers.get_all("Location", [])
    if len(targets) != 1 or not targets[0].strip() or answer.status == 303:
        raise FetchFailed("bad_response", "a redirect without exactly one target")
    return targets[0].encode("latin-1").decode("utf-8", "replace")


def _body(answer: http.client.HTTPResponse) -> bytes:
    encoding = _value(answer, "Content-Encoding").lower() or "identity"
    if encoding == "identity":
        return answer.read(MAX_BODY)
    if encoding != "gzip":
        raise ValueError("an encoding that was not asked for")
    unzip, body = zlib.decompressobj(wbits=31), b""
    while not unzip.eof and len(body) < MAX_BODY and (chunk := answer.read(16_384)):
        body += unzip.decompress(chunk, MAX_BODY - len(body))
    return body


# Names ----------------------------------------------------------------------------------------------------------------


def _resolve(host: str, dev: bool, deadline: float) -> list[str]:
    """The addresses of a host, IPv4 first: all public, or it is refused altogether."""
    if dev and is_loopback(f"[{host}]" if ":" in host else host):
        return _resolve_loopback(host)
    until = min(deadline, time.monotonic() + DNS_SECONDS)
    found: list[str] = []
    for kind in ("A", "AAAA"):
        found += [str(answer) for answer in _ask_dns(host, kind, max(0.05, until - time.monotonic()))]
    if not found:
        raise FetchFailed("dns_failed")
    if not all(is_public(address) for address in found):
        raise FetchFailed("refused_address")
    return found


def _ask_dns(name: str, kind: str, seconds: float) -> list[Any]:
    try:
        return list(dns.resolver.resolve(f"{name}.", kind, lifetime=seconds))
    except dns.resolver.NoAnswer:
        return []
    except dns.resolver.NXDOMAIN as error:
        raise FetchFailed("no_such_host") from error
    except (dns.exception.DNSException, UnicodeError) as error:
        raise FetchFailed("dns_failed") from error


def _resolve_loopback(host: str) -> list[str]:
    try:
        found = [str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise FetchFailed("dns_failed") from error
    if not all(ipaddress.ip_address(address).is_loopback for address in found):
        raise FetchFailed("refused_address")
    return found


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchFailed("timeout")
    return left
