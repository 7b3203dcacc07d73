"""The one way out to the web: a site's front page, fetched as if it were hostile (RULES 4).

The name is resolved once, every answer must be public, and that very address is dialled. One deadline covers it all.
"""

import hashlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import dns.exception
import dns.resolver

from backend.errors import DomainError, NotFlattrable
from backend.urls import canonical, is_loopback

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

    code = "fetch_failed"

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
    if ip.version == 6 and ip not in _UNICAST6:
        return False
    return not any(ip.version == block.version and ip in block for block in _REFUSED)


def front_page(site: str, *, dev: bool = False, user_agent: str = "flattr-verify/1") -> Fetched:
    """The document at the root of a host.

    Raises:
        FetchFailed: With the code of what went wrong.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    url = f"{'http' if dev and is_loopback(site) else 'https'}://{site}/"
    hops = [url]
    while True:
        answer, target = _get(url, hops, deadline, dev, user_agent)
        if not target:
            return answer
        url = _followed(url, target, site, dev)
        hops.append(url)
        if len(hops) > MAX_REDIRECTS + 1:
            raise FetchFailed("too_many_redirects")


def _followed(url: str, target: str, site: str, dev: bool) -> str:
    """Where a redirect leads: only https, and only between a host and its `www.` (RULES 3.5)."""
    try:
        there = canonical(urljoin(url, target), dev=dev)
    except (NotFlattrable, ValueError) as error:
        raise FetchFailed("redirects_elsewhere", "to something that is no site") from error
    host = urlsplit(there).netloc
    if host.removeprefix("www.") != site.removeprefix("www.") or urlsplit(there).scheme != urlsplit(url).scheme:
        raise FetchFailed("redirects_elsewhere", f"to {there[:200]}")
    return there


def _get(url: str, hops: list[str], deadline: float, dev: bool, user_agent: str) -> tuple[Fetched, str]:
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    address = _resolve(host, dev, deadline)[0]
    try:
        raw = socket.create_connection((address, parts.port or (443 if tls else 80)), timeout=_left(deadline))
    except OSError as error:
        raise FetchFailed(
            "timeout" if isinstance(error, TimeoutError) else "no_https" if tls else "unreachable"
        ) from error
    # Timeouts of sockets are per read: a server that drips bytes would never reach one. This ends them all.
    handle = raw.dup()  # TLS takes the socket itself over
    timer = threading.Timer(_left(deadline), _hang_up, [handle])
    timer.daemon = True
    timer.start()
    try:
        with raw, ssl.create_default_context().wrap_socket(raw, server_hostname=host) if tls else raw as connection:
            answer = _ask(connection, parts.netloc, url, hops, address, user_agent)
            if time.monotonic() >= deadline:
                raise TimeoutError  # what was hung up on looks like a page that ended early
            return answer
    except ssl.SSLError as error:
        raise FetchFailed("timeout" if _is_over(deadline) else "no_https") from error
    except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
        raise FetchFailed("timeout" if _is_over(deadline) else "bad_response") from error
    finally:
        timer.cancel()
        handle.close()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is over already


def _ask(
    connection: socket.socket, netloc: str, url: str, hops: list[str], address: str, user_agent: str
) -> tuple[Fetched, str]:
    client = http.client.HTTPConnection(netloc)
    client.sock = connection
    path = url.split(netloc, 1)[1] or "/"
    client.request(
        "GET", path, headers={"User-Agent": user_agent, "Accept": "text/html", "Accept-Encoding": "identity"}
    )
    answer = client.getresponse()
    locations = answer.headers.get_all("Location") or []
    if answer.status in (301, 302, 303, 307, 308):
        if len(locations) != 1 or answer.status == 303:
            raise FetchFailed("bad_response", "a redirect without exactly one target")
        return Fetched(answer.status, "", b"", hops, address), locations[0]
    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Fetched(answer.status, content_type, _body(answer), list(hops), address), ""


def _body(answer: http.client.HTTPResponse) -> bytes:
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return answer.read(MAX_BODY)
    if encoding != "gzip":
        raise ValueError(f"encoding {encoding[:20]} was not asked for")
    unzip, body, seen = zlib.decompressobj(wbits=31), b"", 0
    while len(body) < MAX_BODY and seen < MAX_RAW and (chunk := answer.read(16_384)):
        seen += len(chunk)
        body += unzip.decompress(chunk, MAX_BODY - len(body))
    return body


def _resolve(host: str, dev: bool, deadline: float) -> list[str]:
    """The addresses of a host: all public, or it is refused altogether."""
    if dev and is_loopback(f"[{host}]" if ":" in host else host):
        return _resolve_loopback(host)
    found: list[str] = []
    for kind in ("A", "AAAA"):
        try:
            answers = dns.resolver.resolve(f"{host}.", kind, lifetime=min(DNS_SECONDS, _left(deadline)))
        except dns.resolver.NoAnswer:
            continue
        except dns.exception.DNSException as error:
            raise FetchFailed("dns_failed") from error
        found += [str(answer) for answer in answers]
    if not found:
        raise FetchFailed("dns_failed")
    if not all(is_public(address) for address in found):
        raise FetchFailed("refused_address")
    return found


def _resolve_loopback(host: str) -> list[str]:
    try:
        found = [str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise FetchFailed("dns_failed") from error
    if not all(ipaddress.ip_address(address).is_loopback for address in found):
        raise FetchFailed("refused_address")
    return found


def _left(deadline: float) -> float:
    return max(0.05, deadline - time.monotonic())


def _is_over(deadline: float) -> bool:
    return time.monotonic() >= deadline - 0.2
