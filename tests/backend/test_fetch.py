"""The one way out to the web: hostile servers answer, and nothing private is ever dialled."""

import gzip
import ipaddress
import socket
import ssl
import time

import dns.exception
import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import fetch
from backend.fetch import MAX_BODY, FetchFailed, is_public
from tests.backend.hostile import CERTIFICATE, page, redirect, server

PUBLIC = "93.184.215.14"
PUBLIC6 = "2606:4700::1111"


def failure(site, *, dev=True):
    """The code of what went wrong."""
    with pytest.raises(FetchFailed) as failed:
        fetch.front_page(site, dev=dev)
    return failed.value.code


@pytest.fixture
def hurried(monkeypatch):
    """Half a second instead of ten."""
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", 0.5)
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 9


# What may be dialled --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.215.14", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("100::1", "2001::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1"),
        *("fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "fe80::1%eth0"),
    ],
)
def test_an_address_of_a_private_network_or_a_tunnel_into_one_is_refused(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", PUBLIC6, "2a00::1"])
def test_an_address_of_the_open_web_is_not(address):
    assert is_public(address)


@given(st.ip_addresses())
def test_what_may_be_dialled_is_global_and_unicast_for_python_too(address):
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_private


# Names and addresses --------------------------------------------------------------------------------------------------


@pytest.fixture
def world_dns(monkeypatch):
    """Name servers that answer what the test says, and remember what they were asked."""
    records, asked = {}, []

    def resolve(name, kind, **_):
        asked.append((name, kind))
        answer = records.get(kind, dns.resolver.NoAnswer())
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(dns.resolver, "resolve", resolve)
    return records, asked


@pytest.fixture
def dialled(monkeypatch):
    """All addresses that a socket was asked to connect to; none of them answers."""
    addresses = []

    def connect(_, address):
        addresses.append(address[:2])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return addresses


@pytest.mark.parametrize(
    "records",
    [
        {"A": ["127.0.0.1"]},
        {"A": ["10.0.0.1"]},
        {"A": [PUBLIC, "169.254.169.254"]},
        {"A": ["192.168.0.1", PUBLIC]},
        {"A": [PUBLIC], "AAAA": ["::1"]},
        {"AAAA": ["64:ff9b::7f00:1"]},
        {"A": [PUBLIC], "AAAA": ["::ffff:10.0.0.1"]},
    ],
)
def test_a_name_with_any_private_address_is_refused_and_nothing_is_dialled(world_dns, dialled, records):
    world_dns[0].update(records)
    assert failure("site.example.net", dev=False) == "refused_address"
    assert dialled == []


@pytest.mark.parametrize("site", ["localhost", "127.0.0.1:8001", "blog.test:8001"])
def test_outside_dev_mode_this_machine_is_never_dialled(world_dns, dialled, site):
    world_dns[0].update({"A": ["127.0.0.1"]})
    assert failure(site, dev=False) == "refused_address"
    assert dialled == []


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ({}, "dns_failed"),
        ({"A": dns.resolver.NXDOMAIN()}, "no_such_host"),
        ({"A": dns.exception.Timeout()}, "dns_failed"),
        ({"A": dns.resolver.NoNameservers()}, "dns_failed"),
        ({"A": [PUBLIC], "AAAA": dns.resolver.NoNameservers()}, "dns_failed"),
        ({"A": [PUBLIC], "AAAA": dns.resolver.NXDOMAIN()}, "no_such_host"),
    ],
)
def test_a_name_that_does_not_resolve_is_not_dialled(world_dns, dialled, records, code):
    world_dns[0].update(records)
    assert failure("site.example.net", dev=False) == code
    assert dialled == []


@pytest.mark.parametrize("name", ["a" * 64 + ".example.net", "a..example.net"])
def test_a_name_that_cannot_be_asked_for_does_not_resolve(dialled, name):
    assert failure(name, dev=False) == "dns_failed"
    assert dialled == []


@pytest.mark.parametrize(("kind", "address"), [("A", PUBLIC), ("AAAA", PUBLIC6)])
def test_the_address_that_was_checked_is_the_one_that_is_dialled(world_dns, dialled, kind, address):
    world_dns[0][kind] = [address]
    assert failure("site.example.net", dev=False) == "no_https"
    assert dialled == [(address, 443)]
    assert world_dns[1] == [("site.example.net.", "A"), ("site.example.net.", "AAAA")]


def test_dev_mode_dials_only_this_machine_by_its_local_names(dialled, monkeypatch):
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    assert failure("blog.test:8001") == "refused_address"
    assert dialled == []


# Servers over plain HTTP, in dev mode ---------------------------------------------------------------------------------


def test_a_page_is_fetched_with_nothing_that_tells_on_anybody():
    with server(page(b"<!doctype html><p>Hello", "Set-Cookie: a=b")) as site:
        fetched = fetch.front_page(site.site, dev=True, user_agent="flattr-verify/1 (+https://flattr.example)")

    assert (fetched.status, fetched.content_type, fetched.body) == (200, "text/html", b"<!doctype html><p>Hello")
    assert (fetched.hops, fetched.address) == ([f"http://{site.site}/"], "127.0.0.1")
    assert fetched.evidence["status"] == 200
    assert len(fetched.evidence["sha256"]) == 64
    head, *lines = site.asked[0].strip().split("\r\n")
    assert head == "GET / HTTP/1.1"
    assert sorted(line.partition(":")[0] for line in lines) == ["Accept", "Accept-Encoding", "Host", "User-Agent"]
    assert f"Host: {site.site}" in lines
    assert "User-Agent: flattr-verify/1 (+https://flattr.example)" in lines


def test_a_page_that_is_not_there_says_so():
    with server(page(b"gone", status="404 Not Found")) as site:
        assert fetch.front_page(site.site, dev=True).status == 404


def test_where_nobody_listens_nothing_is_fetched():
    with server(b"") as site:
        pass
    assert failure(site.site) == "unreachable"


def test_an_endless_page_is_read_to_its_limit():
    def endless(stream):
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html>")
        while True:
            stream.sendall(b" " * 65_536)

    with server(endless) as site:
        assert len(fetch.front_page(site.site, dev=True).body) == MAX_BODY


@pytest.mark.parametrize("size", [1, 200, 50_000])
def test_a_zipped_page_is_read_step_by_step(size):
    body = (b"<!doctype html>" * size)[: MAX_BODY + 1]
    with server(page(gzip.compress(body), "Content-Encoding: gzip")) as site:
        assert fetch.front_page(site.site, dev=True).body == body[:MAX_BODY]


def test_a_zip_bomb_does_not_go_off():
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=1)
    with server(page(bomb, "Content-Encoding: GZIP")) as site:
        assert fetch.front_page(site.site, dev=True).body == b"\0" * MAX_BODY


def test_a_body_may_be_shorter_or_longer_than_it_claims():
    short = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 900\r\n\r\nshort"
    long = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nlonger"
    huge = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999999999999999999999\r\n\r\nhuge"
    for answer, body in ((short, b"short"), (long, b"long"), (huge, b"huge")):
        with server(answer) as site:
            assert fetch.front_page(site.site, dev=True).body == body


@pytest.mark.parametrize(
    "answer",
    {
        "closed at once": b"",
        "not HTTP": b"SSH-2.0-OpenSSH_9.2p1\r\n",
        "TLS": b"\x16\x03\x03\x00\x02\x02\x28",
        "a line that never ends": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
        "a chunk of no size": page(b"zz\r\nhello", "Transfer-Encoding: chunked"),
        "a zip that is none": page(b"hello", "Content-Encoding: gzip"),
        "an encoding nobody asked for": page(b"hello", "Content-Encoding: br"),
        "two encodings": page(gzip.compress(b"hello"), "Content-Encoding: gzip, gzip"),
        "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
        "redirect without a target": redirect(),
        "redirect with two targets": redirect("/a", "/b"),
        "redirect that changes the method": redirect("/a", status="303 See Other"),
    }.items(),
    ids=lambda named: named[0],
)
def test_an_answer_that_is_no_proper_http_is_refused(answer):
    with server(answer[1]) as site:
        assert failure(site.site) == "bad_response"
        assert len(site.asked) == 1


# The deadline ---------------------------------------------------------------------------------------------------------

DRIPS = {
    "never answers": lambda site, stream: site.over.wait(30),
    "headers drip": lambda site, stream: (
        stream.sendall(b"HTTP/1.1 200 OK\r\n"),
        site.until_over(lambda: stream.sendall(b"X")),
    ),
    "body drips": lambda site, stream: (
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9999\r\n\r\n"),
        site.until_over(lambda: stream.sendall(b"x")),
    ),
    "zipped body drips": lambda site, stream: (
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 99)[:-20]),
        site.until_over(lambda: stream.sendall(b"")),
    ),
    "always about to answer": lambda site, stream: site.until_over(
        lambda: stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    ),
}


@pytest.mark.parametrize("drip", DRIPS.values(), ids=list(DRIPS))
def test_a_server_that_drips_is_left_at_the_deadline(hurried, drip):
    with server(lambda stream: drip(site, stream)) as site:
        assert failure(site.site) == "timeout"


def test_the_deadline_covers_all_redirects_together(hurried):
    def slowly(stream):
        site.over.wait(0.2)
        stream.sendall(redirect("/again"))

    with server(slowly) as site:
        assert failure(site.site) == "timeout"
        assert len(site.asked) < 5


# Redirects ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_front_page_may_redirect_on_its_own_site(status):
    def behave(stream):
        stream.sendall(page(b"home") if "GET /home" in site.asked[-1] else redirect("home?a=1#b", status=status))

    with server(behave) as site:
        fetched = fetch.front_page(site.site, dev=True)
    assert fetched.body == b"home"
    assert fetched.hops == [f"http://{site.site}/", f"http://{site.site}/home?a=1"]


def test_a_circle_of_redirects_ends_after_five():
    with server(redirect("/")) as site:
        assert failure(site.site) == "too_many_redirects"
        assert len(site.asked) == 6


@pytest.mark.parametrize(
    "target",
    [
        *("http://127.0.0.1:1/", "http://localhost:{port}/", "http://127.0.0.2:{port}/", "https://127.0.0.1:{port}/"),
        *("//evil.example.net/", "https://evil.example.net/", "http://169.254.169.254/latest", "http://[::1]:{port}/"),
        *("javascript:alert(1)", "file:///etc/passwd", "ftp://127.0.0.1:{port}/", "http://127.0.0.1:{port}0/"),
        *("http://[", "http://127.0.0.1:{port}@evil.example.net/", "http://www.evil.example.net/"),
    ],
)
def test_a_front_page_does_not_send_us_elsewhere(target):
    def behave(stream):
        stream.sendall(redirect(target.format(port=site.port)))

    with server(behave) as site:
        assert failure(site.site) == "redirects_elsewhere"
        assert len(site.asked) == 1


# Servers over TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture
def the_web(world_dns, monkeypatch):
    """Behind every public address stands the server whose port is set here; its certificate is trusted."""
    world_dns[0]["A"] = [PUBLIC]
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    reached, connect = {"port": None, "dialled": []}, socket.socket.connect

    def divert(self, address):
        reached["dialled"].append(address[:2])
        return connect(self, ("127.0.0.1", reached["port"]))

    monkeypatch.setattr(socket.socket, "connect", divert)
    return reached


def test_a_site_is_fetched_over_tls_by_its_name_at_its_address(the_web):
    with server(page(b"hello"), tls=True) as site:
        the_web["port"] = site.port
        fetched = fetch.front_page("site.example.net")

    assert (fetched.body, fetched.address, fetched.hops) == (b"hello", PUBLIC, ["https://site.example.net/"])
    assert the_web["dialled"] == [(PUBLIC, 443)]
    assert "Host: site.example.net\r\n" in site.asked[0]


def test_a_site_may_redirect_to_its_www(the_web):
    def behave(stream):
        stream.sendall(page(b"hi") if "Host: www." in site.asked[-1] else redirect("https://www.site.example.net/"))

    with server(behave, tls=True) as site:
        the_web["port"] = site.port
        fetched = fetch.front_page("site.example.net")
    assert (fetched.body, fetched.hops[-1]) == (b"hi", "https://www.site.example.net/")


def test_a_site_that_redirects_to_plain_http_is_not_followed(the_web):
    with server(redirect("http://site.example.net/"), tls=True) as site:
        the_web["port"] = site.port
        assert failure("site.example.net", dev=False) == "redirects_elsewhere"
    assert the_web["dialled"] == [(PUBLIC, 443)]


def test_a_certificate_for_another_name_is_no_https(the_web):
    with server(page(b"hello"), tls=True) as site:
        the_web["port"] = site.port
        assert failure("other.example.net", dev=False) == "no_https"
    assert site.asked == []


def test_a_certificate_that_nobody_vouches_for_is_no_https(the_web, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with server(page(b"hello"), tls=True) as site:
        the_web["port"] = site.port
        assert failure("site.example.net", dev=False) == "no_https"


def test_a_server_that_speaks_no_tls_is_no_https(the_web):
    with server(page(b"hello")) as site:
        the_web["port"] = site.port
        assert failure("site.example.net", dev=False) == "no_https"


@pytest.mark.parametrize("drip", DRIPS.values(), ids=list(DRIPS))
def test_a_server_that_drips_over_tls_is_left_at_the_deadline_too(the_web, hurried, drip):
    with server(lambda stream: drip(site, stream), tls=True) as site:
        the_web["port"] = site.port
        assert failure("site.example.net", dev=False) == "timeout"


def test_a_handshake_that_never_ends_is_left_at_the_deadline(the_web, hurried):
    with server(lambda _: site.over.wait(30)) as site:
        the_web["port"] = site.port
        assert failure("site.example.net", dev=False) == "timeout"


def test_an_old_certificate_is_still_good_for_these_tests():
    certificate = ssl._ssl._test_decode_cert(str(CERTIFICATE))
    assert ("DNS", "site.example.net") in certificate["subjectAltName"]
    assert ipaddress.ip_address(PUBLIC).is_global
