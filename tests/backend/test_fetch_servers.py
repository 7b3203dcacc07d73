"""Servers that lie, stall, flood and contradict themselves: each is left in time, and none proves what nobody sees."""
# ruff: noqa: E501 (tables read better in full lines)

import gzip
import itertools
import socket
import ssl
import struct
import subprocess
import threading
import time
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend import checks, fetch
from backend.claims import proof
from backend.fetch import MAX_BODY, FetchFailed
from tests.backend.hostile import page, redirect, server

PATIENT, HURRIED = 30.0, 0.8
MEMORY = 4_000_000
TAG = b'<!doctype html><html><head><meta name="flattr:id" content="abcdefgh"></head>'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = HEAD + b"Content-Encoding: gzip\r\n\r\n"
MEGABYTE = b" " * 1_000_000
LONG_LINE = b"x" * 60_000


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Enough for a busy machine: what ends for another reason than the deadline ends long before."""
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", PATIENT)


@pytest.fixture
def hurried(patient, monkeypatch):
    """Less than a second instead of ten."""
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", HURRIED)


def outcome(fetching):
    """What a look makes of an answer, after seeing that it took neither too long nor too much."""
    tracemalloc.start()
    started = time.monotonic()
    try:
        answer = fetching()
    except FetchFailed as failure:
        assert "flattr:id" not in f"{failure}{failure.__cause__ or ''}"  # nothing that was sent is quoted  # noqa: PT017
        return failure.code
    else:
        assert len(answer.body) <= MAX_BODY
    finally:
        elapsed, peak = time.monotonic() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert elapsed < PATIENT
        assert peak < MEMORY
    problem = checks._html_problem("tag", answer)
    return (problem or proof.by_tag(answer.body, answer.evidence)).code


def look(site):
    return outcome(lambda: fetch.front_page(site.site, dev=True))


def forever(first, again):
    """A server that begins with something and then repeats itself until it is left."""

    def behave(stream):
        stream.sendall(first)
        while True:
            stream.sendall(again)

    return behave


def then_silent(first):
    """A server that begins and then neither goes on nor hangs up."""

    def behave(stream):
        stream.sendall(first)
        stream.settimeout(3)
        stream.recv(1)  # until the client hangs up

    return behave


def then_reset(first):
    """A server that begins and then breaks the connection off."""

    def behave(stream):
        stream.sendall(first)
        time.sleep(0.05)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def head(*lines, body=TAG, version="1.1", content_type="text/html"):
    """An answer made of any lines."""
    typed = [f"Content-Type: {content_type}"] if content_type is not None else []
    return "\r\n".join([f"HTTP/{version} 200 OK", *typed, *lines, "", ""]).encode("latin-1") + body


def chunks(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def test_an_ordinary_page_does_prove():
    """Or the tests below would prove nothing."""
    for answer in (page(TAG), CHUNKED + chunks(TAG), ZIPPED + gzip.compress(TAG), head("Connection: close")):
        with server(answer) as site:
            assert look(site) == "proved"


# Too much -------------------------------------------------------------------------------------------------------------

EMPTY_BLOCKS = gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff"
FLOODS = {
    "header lines of 60 kB": (forever(HEAD, b"X-%s: y\r\n" % LONG_LINE), "too_large"),
    "a header line of 10 MB": (HEAD + b"X: " + MEGABYTE * 10 + b"\r\n\r\n", "bad_response"),
    "a header folded for ever": (forever(HEAD + b"X: a\r\n", b" b\r\n"), "bad_response"),
    "a status line of 1 MB": (b"HTTP/1.1 200 " + MEGABYTE, "bad_response"),
    "100 Continue at full speed": (forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "too_large"),
    "100 Continue with headers": (forever(b"", b"HTTP/1.1 100 OK\r\n" + b"X: y\r\n" * 90 + b"\r\n"), "too_large"),
    "100 Continue with too many": (b"HTTP/1.1 100 OK\r\n" + b"X: y\r\n" * 999 + b"\r\n", "bad_response"),
    "100 Continue with long headers": (forever(b"", b"HTTP/1.1 100 OK\r\nX: %s\r\n\r\n" % LONG_LINE), "too_large"),
    "chunks of one byte": (forever(CHUNKED, b"1\r\nx\r\n" * 1000), "too_large"),
    "chunk extensions of 60 kB": (forever(CHUNKED, b"1;%s\r\nx\r\n" % LONG_LINE), "too_large"),
    "a chunk extension of 1 MB": (CHUNKED + b"1;" + MEGABYTE + b"\r\nx\r\n", "bad_response"),
    "a chunk of minus one byte": (forever(CHUNKED + b"-1\r\n" + TAG, MEGABYTE), "too_large"),
    "a chunk of minus five bytes": (CHUNKED + b"-5\r\n" + TAG, "bad_response"),
    "a chunk of 2^72 bytes, and then nothing": (CHUNKED + b"1" + b"0" * 18 + b"\r\n" + TAG, "bad_response"),
    "a chunk size of 50,000 digits": (CHUNKED + b"f" * 50_000 + b"\r\n" + TAG, "bad_response"),
    "trailers without an end": (forever(CHUNKED + chunks(TAG)[:-2], b"X: y\r\n" * 1000), "too_large"),
    "trailers of 60 kB": (forever(CHUNKED + chunks(TAG)[:-2], b"X: %s\r\n" % LONG_LINE), "too_large"),
    "an endless chunked page": (forever(CHUNKED, b"%x\r\n%s\r\n" % (len(MEGABYTE), MEGABYTE)), "no_tag"),
    "a zip whose file name never ends": (forever(ZIPPED + b"\x1f\x8b\x08\x08" + b"\0" * 6, LONG_LINE), "too_large"),
    "a zip of empty blocks": (forever(ZIPPED + EMPTY_BLOCKS, b"\x00\x00\x00\xff\xff" * 1000), "too_large"),
    "an endless zip": (forever(ZIPPED + gzip.compress(b"")[:10], b"\x00\xff\xff\x00\x00%s" % (b" " * 65535)), "no_tag"),
    "rubbish behind a zip, for ever": (forever(ZIPPED + gzip.compress(b"<p>"), MEGABYTE), "no_tag"),
    "a page behind a redirect, for ever": (forever(redirect("/a").replace(b"Length: 0", b"Length: 999"), b"x"), "many"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_left_before_it_fills_anything(name):
    behave, code = FLOODS[name]
    with server(behave) as site:
        assert look(site) == ("too_many_redirects" if code == "many" else code)


@pytest.mark.parametrize("size", [10**6, 10**8])
def test_a_bomb_in_a_bomb_stays_closed(size):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(MEGABYTE) for _ in range(size // len(MEGABYTE))) + packer.flush()
    with server(ZIPPED + gzip.compress(bomb)) as site:
        assert look(site) in ("nul_byte", "no_tag")


# Too little, too late -------------------------------------------------------------------------------------------------

STALLS = {
    "after half a status line": (then_silent(b"HTTP/1.1 2"), "timeout"),
    "in the headers": (then_silent(HEAD), "timeout"),
    "after headers without a length": (then_silent(HEAD + b"\r\n" + TAG), "timeout"),
    "before the body is complete": (then_silent(HEAD + b"Content-Length: 9999\r\n\r\n" + TAG), "timeout"),
    "in a chunk": (then_silent(CHUNKED + b"fff\r\n" + TAG), "timeout"),
    "before the last chunk": (then_silent(CHUNKED + chunks(TAG)[:-5]), "timeout"),
    "in a zip": (then_silent(ZIPPED + gzip.compress(TAG)[:-12]), "timeout"),
    "after 100 Continue": (then_silent(b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
    "by a reset before the headers": (then_reset(b""), "bad_response"),
    "by a reset in the headers": (then_reset(HEAD), "bad_response"),
    "by a reset after the headers": (then_reset(HEAD + b"\r\n"), "bad_response"),
    "by a reset in the body": (then_reset(HEAD + b"Content-Length: 9999\r\n\r\n" + TAG), "bad_response"),
    "by hanging up in a chunk": (CHUNKED + b"fff\r\n" + TAG, "bad_response"),
    "by hanging up before the last chunk": (CHUNKED + chunks(TAG)[:-5], "bad_response"),
}


@pytest.mark.parametrize("name", STALLS)
def test_an_answer_that_stops_midway_proves_nothing(hurried, name):
    behave, code = STALLS[name]
    with server(behave) as site:
        assert look(site) == code


def test_a_page_that_is_complete_is_not_waited_for():
    zipped = gzip.compress(TAG)
    for answer in (
        page(TAG),
        CHUNKED + chunks(TAG),
        head("Content-Encoding: gzip", f"Content-Length: {len(zipped)}", body=zipped),
    ):
        with server(then_silent(answer)) as site:
            assert look(site) == "proved"  # and no "timeout"


def test_a_redirect_that_does_not_hang_up_is_followed_at_once():
    def behave(stream):
        then_silent(page(TAG) if "GET /a" in site.asked[-1] else redirect("/a"))(stream)

    with server(behave) as site:
        assert look(site) == "proved"


def test_nothing_stays_open_after_a_look():
    for answer in (
        page(TAG),
        b"rubbish\r\n\r\n",
        page(b"no zip", "Content-Encoding: gzip"),
        redirect("https://evil.example.net/"),
    ):
        left = threading.Event()

        def behave(stream, answer=answer, left=left):
            stream.sendall(answer)
            stream.settimeout(20)
            if not stream.recv(1):
                left.set()

        with server(behave) as site:
            try:
                kept = fetch.front_page(site.site, dev=True)
            except FetchFailed as failure:
                kept = failure
            assert left.wait(20), kept


# Contradictions -------------------------------------------------------------------------------------------------------

# Where readers disagree on what a page is, it is none: one of them would see a tag that the others do not.
DOUBTS = {
    "a negative length": head("Content-Length: -1"),
    "two lengths": head("Content-Length: 9", f"Content-Length: {len(TAG)}"),
    "a list of lengths": head(f"Content-Length: {len(TAG)}, {len(TAG)}"),
    "a length with a plus": head(f"Content-Length: +{len(TAG)}"),
    "a length as Python writes it": head("Content-Length: 7_7"),
    "a length in hexadecimal": head("Content-Length: 0x4d"),
    "a length of words": head("Content-Length: all"),
    "chunks of zipped pieces": head("Transfer-Encoding: gzip, chunked", body=chunks(TAG)),
    "chunked twice": head("Transfer-Encoding: chunked, chunked", body=chunks(TAG)),
    "chunked and not": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=chunks(TAG)),
    "not and chunked": head("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=TAG),
    "nearly chunked": head("Transfer-Encoding: xchunked"),
    "chunked behind a vertical tab": head("Transfer-Encoding: \x0bchunked"),
    "chunked before there were chunks": head("Transfer-Encoding: chunked", body=chunks(TAG), version="1.0"),
    "two types": head("Content-Type: text/plain"),
    "two types in one line broken by a CR": head("X: a\rContent-Type: text/plain"),
    "two encodings": head("Content-Encoding: identity", "Content-Encoding: gzip"),
    "a line that is no header": head("this is no header", "Content-Encoding: gzip"),
    "a header with a space in its name": head("Content Encoding: gzip", "Content-Encoding: gzip"),
    "a first line that is folded": b"HTTP/1.1 200 OK\r\n Content-Type: text/html\r\n\r\n" + TAG,
    "deflate": head("Content-Encoding: deflate", body=zlib.compress(TAG)),
    "zstd": head("Content-Encoding: zstd", body=b"\x28\xb5\x2f\xfd"),
    "gzip in gzip": head("Content-Encoding: gzip, gzip", body=gzip.compress(gzip.compress(TAG))),
    "zlib under the name of gzip": head("Content-Encoding: gzip", body=zlib.compress(TAG)),
    "a zip with a wrong checksum": head("Content-Encoding: gzip", body=gzip.compress(TAG)[:-8] + b"12345678"),
    "a page under the name of gzip": head("Content-Encoding: gzip"),
    "HTTP/0.9": TAG,
    "HTTP/0.9 after a blank line": b"\r\n" + TAG,
    "HTTP/2": b"HTTP/2 200 OK\r\nContent-Type: text/html\r\n\r\n" + TAG,
    "HTTP/2 as it is": b"\0\0\x12\4\0\0\0\0\0" + b"\0" * 18,
    "an internet radio": b"ICY 200 OK\r\nContent-Type: text/html\r\n\r\n" + TAG,
    "no status": b"HTTP/1.1\r\nContent-Type: text/html\r\n\r\n" + TAG,
    "a status of five digits": b"HTTP/1.1 20000 OK\r\nContent-Type: text/html\r\n\r\n" + TAG,
    "a negative status": b"HTTP/1.1 -200 OK\r\nContent-Type: text/html\r\n\r\n" + TAG,
    "a redirect with an empty target": redirect(""),
    "a redirect with a blank target": redirect(" \t"),
    "a redirect with one target twice": redirect("/a", "/a"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_an_answer_that_readers_disagree_about_is_refused(name):
    with server(DOUBTS[name]) as site:
        assert look(site) == "bad_response"
        assert len(site.asked) == 1


# What browsers agree to show otherwise, or not at all
NO_PROOF = {
    "a type with a NUL": (head(content_type="text/html\0"), "not_html"),
    "XHTML": (head(content_type="application/xhtml+xml"), "not_html"),
    "plain text": (head(content_type="text/plain; a=text/html"), "not_html"),
    "a picture": (head(content_type="image/svg+xml"), "not_html"),
    "a list of types": (head(content_type="text/html, text/plain"), "not_html"),
    "nearly HTML": (head(content_type="text/html5"), "not_html"),
    "no type": (head(content_type=None), "not_html"),
    "an empty type": (head(content_type=""), "not_html"),
    "HTML with a NUL": (page(TAG + b"\0"), "nul_byte"),
    "HTML in UTF-16": (page(TAG.decode().encode("utf-16")), "nul_byte"),
    "a zip that does not say so": (page(gzip.compress(TAG)), "nul_byte"),
    "a zip cut off before the tag": (ZIPPED + gzip.compress(b"<!doctype html>" * 9 + TAG)[:12], "no_tag"),
    "a tag in the second zip": (ZIPPED + gzip.compress(b"<!doctype html>") + gzip.compress(TAG), "no_tag"),
    "a tag behind the limit": (page(b" " * MAX_BODY + TAG), "no_tag"),
    "a tag across the limit": (page(b" " * (MAX_BODY - 60) + TAG), "no_tag"),
    "a tag behind the limit of a zip": (ZIPPED + gzip.compress(b" " * MAX_BODY + TAG), "no_tag"),
    "a tag behind the limit of chunks": (CHUNKED + chunks(b" " * MAX_BODY, TAG), "no_tag"),
    "a tag behind its length": (head("Content-Length: 15", body=b"<!doctype html>" + TAG), "no_tag"),
    "a tag behind the last chunk": (CHUNKED + chunks(b"<!doctype html>") + TAG, "no_tag"),
    "a tag in a trailer": (CHUNKED + chunks(b"<p>")[:-2] + b"X: " + TAG + b"\r\n\r\n", "no_tag"),
    "a tag in a header": (head(f"X: {TAG.decode()}", body=b"<p>"), "no_tag"),
    "a tag in the status line": (b"HTTP/1.1 200 %s\r\nContent-Type: text/html\r\n\r\n<p>" % TAG, "no_tag"),
    "a tag in a chunk extension": (CHUNKED + b"3;%s\r\n<p>\r\n0\r\n\r\n" % TAG, "no_tag"),
}
STATUSES = "101 103 201 203 204 205 206 226 300 304 305 306 400 401 402 403 404 410 418 429 451 500 502 503 511 599 999"


@pytest.mark.parametrize("name", NO_PROOF)
def test_a_tag_that_no_browser_sees_on_the_front_page_proves_nothing(name):
    answer, code = NO_PROOF[name]
    with server(answer) as site:
        assert look(site) == code


@pytest.mark.parametrize("status", STATUSES.split())
def test_a_tag_in_a_page_that_is_not_the_front_page_proves_nothing(status):
    with server(page(TAG, status=f"{status} Whatever")) as site:
        assert look(site) == "bad_status"


@pytest.mark.parametrize(
    "answer",
    [
        head("Content-Length: 3", "Transfer-Encoding: chunked", body=chunks(TAG)),
        head("Transfer-Encoding: chunked", "Content-Length: 999999", body=chunks(TAG[:5], TAG[5:])),
        head(f"Content-Length: {len(TAG)}", f"Content-Length: {len(TAG)}"),
        head("transfer-encoding: CHUNKED", body=chunks(TAG)),
        head("Content-Encoding: GZIP", body=gzip.compress(TAG) + b"rubbish"),
        head("Content-Encoding: ", "X: caf\xe9", version="1.0"),
        head("Set-Cookie: a=b", "Set-Cookie: c=d", "Location: https://evil.example.net/"),
        head("Content-Length: 99999999999999999999999"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + page(TAG),
        CHUNKED + b"4D;a=b\r\n" + TAG + b"\r\n000\r\nX: y\r\n\r\n",
        CHUNKED.replace(b"\r\n", b"\n") + chunks(TAG),
        head(content_type='TEXT/HTML ;charset="utf-8"'),
    ],
)
def test_an_answer_that_is_only_odd_is_read_as_browsers_read_it(answer):
    with server(answer) as site:
        assert look(site) == "proved"


# Redirects ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        *("\\\\evil.example.net/", "/\\evil.example.net/", "\\/evil.example.net", "/\t/evil.example.net/", "///evil.example.net"),
        *("http:\\\\evil.example.net", "http:/\\evil.example.net/", "\t//evil.example.net/", "http://evil。example.net/"),
        *("http://a@{site}/", "http://a:b@{site}/", "http://:b@{site}/", "//a@{site}/", "http://{site}@evil.example.net/"),
        *("http://{site}.evil.example.net/", "http://127.0.0.1.nip.io/", "http://2130706433:{port}0/", "http://0/", "http://[::]/"),
        *("https://{site}/", "HTTPS://{site}", "ws://{site}/", "file://{site}/etc/passwd", "data:text/html,hello", "about:blank"),
        *("blob:http://{site}/1", "mailto:a@example.net", "view-source:http://{site}/", "jar:http://{site}/!", "x:", "//", "http://"),
        *("http://169.254.169.254:{port}/", "http://10.0.0.1/", "http://[fd00:ec2::254]/", "http://0x7f.2:{port}/", "http://printer.local"),
        *("/" + "a" * 3000, "http://" + "a." * 3000 + "net/", "?" + "a" * 60_000, "http://example.net:70000/", "http://[::1%25lo]/"),
    ],
)  # fmt: skip
def test_no_spelling_of_a_redirect_leads_elsewhere(target):
    def behave(stream):
        stream.sendall(redirect(target.format(site=site.site, port=site.port)))

    with server(behave) as site:
        assert look(site) == "redirects_elsewhere"
        assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        *(("a", "/a"), ("?a", "/?a"), ("./b/../c", "/c"), ("/../../d", "/d"), ("\\e", "/e"), ("/f#g", "/f"), (" /h\t", "/h")),
        *(("/caf\u00c3\u00a9", "/caf%C3%A9"), ("/\u00e9", "/%EF%BF%BD"), ("/a b", "/a%20b"), ("/%0d%0aX: y", "/%0d%0aX:%20y")),
        *(("http:k", "/k"), ("//{site}/l", "/l"), ("http://{site}", "/"), ("HTTP://{site}/m?n=1", "/m?n=1"), (".//o", "//o")),
    ],
)  # fmt: skip
def test_a_redirect_on_the_site_is_followed_as_browsers_follow_it(target, asked):
    def behave(stream):
        if len(site.asked) > 1:
            stream.sendall(page(TAG))
        else:
            stream.sendall(page(b"", status="302 Found").replace(b"\r\n\r\n", b"\r\nLocation: %s\r\n\r\n" % raw))

    with server(behave) as site:
        raw = target.format(site=site.site).encode("latin-1")
        assert look(site) == "proved"
    assert site.asked[1].startswith(f"GET {asked} HTTP/1.1\r\n")
    assert site.asked[1].count("\r\n") == site.asked[0].count("\r\n")


@pytest.mark.parametrize("circle", [["/a", "/b"], ["a/", "../b"], ["?1", "?2", "?3"], ["/x/y", "../z"], ["", "//"]])
def test_redirects_in_a_circle_end(circle):
    targets = itertools.cycle([target or "/?" for target in circle if target != "//"])
    with server(lambda stream: stream.sendall(redirect(next(targets)))) as site:
        assert look(site) == "too_many_redirects"
        assert len(site.asked) == 6


def test_a_cookie_that_a_redirect_sets_is_not_sent():
    def behave(stream):
        first = len(site.asked) == 1
        stream.sendall(page(b"", "Set-Cookie: a=b; Path=/", "Location: /a", status="302 Found") if first else page(TAG))

    with server(behave) as site:
        assert look(site) == "proved"
    assert "cookie" not in "".join(site.asked).lower()


def test_redirects_to_endless_pages_share_one_deadline(hurried):
    def behave(stream):
        time.sleep(0.25)
        then_silent(redirect(f"/{len(site.asked)}"))(stream)

    with server(behave) as site:
        assert look(site) == "timeout"


# TLS ------------------------------------------------------------------------------------------------------------------

NAME = "site.example.net"


class Certificates:
    """Two certificate authorities, of which one is trusted, and what they sign; made with the openssl command."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("trusted", "stranger"):
            self.openssl(*self.request(name), "-x509", "-days", "2", "-out", f"{name}.pem")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def request(self, name, *, key="ec"):
        kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else [key]
        return ["req", "-newkey", *kind, "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={name}"]

    def sign(self, name, *, alternatives=f"DNS:{NAME}", by="trusted", days="2", key="ec", extra=""):
        """A context with a key and a certificate for it."""
        stem = f"{name}-{by}"
        lines = ["basicConstraints=CA:FALSE", *([f"subjectAltName={alternatives}"] if alternatives else []), extra]
        (self.folder / f"{stem}.ext").write_text("\n".join(lines))
        (self.folder / f"{stem}.ext").chmod(0o600)
        self.openssl(*self.request(name, key=key), "-out", f"{stem}.csr")
        self.openssl(
            *("x509", "-req", "-in", f"{stem}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial"),
            *("-days", days, "-extfile", f"{stem}.ext", "-out", f"{name}.pem"),
        )
        return self.context(name)

    def context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def the_web(certificates, monkeypatch):
    """A web in which one server here stands behind every name."""
    ports, connect = {}, socket.create_connection
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.folder / "trusted.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(fetch, "_resolve", lambda *_: ["127.0.0.1"])
    monkeypatch.setattr(
        socket, "create_connection", lambda address, **options: connect((address[0], ports[address[1]]), **options)
    )
    return ports


def look_over_tls(the_web, site, *, name=NAME):
    the_web[443] = site.port
    return outcome(lambda: fetch.front_page(name))


def test_a_page_over_tls_does_prove(the_web, certificates):
    for alternatives in (f"DNS:{NAME}", "DNS:*.example.net", f"DNS:other.example.net,DNS:{NAME}"):
        with server(page(TAG), tls=True) as site:
            site.tls = certificates.sign("good", alternatives=alternatives)
            assert look_over_tls(the_web, site) == "proved"


BAD_CERTIFICATES = {
    "of another name": {"alternatives": "DNS:other.example.net"},
    "of the parent": {"alternatives": "DNS:example.net"},
    "of the child": {"alternatives": f"DNS:www.{NAME}"},
    "of every name below the child": {"alternatives": f"DNS:*.{NAME}"},
    "of a whole suffix": {"alternatives": "DNS:*.net"},
    "of everything": {"alternatives": "DNS:*"},
    "of an address": {"alternatives": "IP:127.0.0.1"},
    "of the name as mail": {"alternatives": f"email:a@{NAME}"},
    "of no name": {"alternatives": None},
    "that has ended": {"days": "-1"},
    "that a stranger signed": {"by": "stranger"},
    "of a key that is too short": {"key": "rsa:1024"},
    "for mail only": {"extra": "extendedKeyUsage=emailProtection"},
}


@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_with_a_certificate_that_is_not_good_nothing_is_even_asked(the_web, certificates, kind):
    with server(page(TAG), tls=True) as site:
        site.tls = certificates.sign("bad", **BAD_CERTIFICATES[kind])
        assert look_over_tls(the_web, site) == "no_https"
        assert site.asked == []


def test_a_certificate_that_signs_itself_or_another_is_not_good(the_web, certificates):
    certificates.sign("leaf")
    certificates.sign("below", by="leaf")
    chain = (certificates.folder / "below.pem").read_text() + (certificates.folder / "leaf.pem").read_text()
    (certificates.folder / "below.pem").write_text(chain)
    certificates.openssl(
        *certificates.request("alone"), "-x509", "-addext", f"subjectAltName=DNS:{NAME}", "-out", "alone.pem"
    )
    for name in ("below", "alone"):
        with server(page(TAG), tls=True) as site:
            site.tls = certificates.context(name)
            assert look_over_tls(the_web, site) == "no_https"
            assert site.asked == []


def hello(then):
    """A server that reads the greeting of TLS and does something else."""

    def behave(stream):
        stream.recv(4096)
        then(stream)

    return behave


NO_TLS = {
    "plain HTTP": (page(TAG), "no_https"),
    "plain HTTP before it is asked": (lambda stream: stream.sendall(page(TAG)), "no_https"),
    "a redirect in plain HTTP": (redirect(f"https://{NAME}/"), "no_https"),
    "an alert": (b"\x15\x03\x03\x00\x02\x02\x28", "no_https"),
    "a record of 64 kB": (b"\x16\x03\x03\xff\xff" + b"\x02" * 65535, "no_https"),
    "rubbish for ever": (forever(b"\x16\x03\x03\x40\x00", b"\x00" * 60_000), "no_https"),
    "nothing": (b"", "no_https"),
    "a reset": (then_reset(b""), "no_https"),
    "half a greeting": (then_silent(b"\x16\x03\x03\x00\x7a\x02\x00"), "timeout"),
    "silence": (then_silent(b""), "timeout"),
    "a greeting, byte by byte": (
        lambda stream: [(stream.sendall(byte), time.sleep(0.1)) for byte in itertools.repeat(b"\x16")],
        "no_https",
    ),
    "a long greeting, byte by byte": (
        lambda stream: [(stream.sendall(bytes([byte])), time.sleep(0.1)) for byte in b"\x16\x03\x03\x40\x00" + b"\2" * 99],
        "timeout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_TLS)
def test_what_does_not_speak_tls_is_left_in_time(the_web, hurried, kind):
    behave, code = NO_TLS[kind]
    with server(behave) as site:
        assert look_over_tls(the_web, site) == code


def test_tls_that_nobody_should_use_any_more_is_not_used(the_web, certificates):
    with server(page(TAG), tls=True) as site:
        site.tls = certificates.sign("old")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            site.tls.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            site.tls.maximum_version = ssl.TLSVersion.TLSv1_1
        assert look_over_tls(the_web, site) == "no_https"


def test_a_server_that_wants_to_know_who_asks_learns_nothing(the_web, certificates):
    with server(page(TAG), tls=True) as site:
        site.tls = certificates.sign("curious")
        site.tls.load_verify_locations(certificates.folder / "stranger.pem")
        site.tls.verify_mode = ssl.CERT_REQUIRED
        assert look_over_tls(the_web, site) in ("no_https", "bad_response")
        assert site.asked == []


@pytest.mark.parametrize("name", ["header lines of 60 kB", "chunk extensions of 60 kB", "a zip of empty blocks"])
def test_a_flood_over_tls_is_left_too(the_web, certificates, name):
    behave, code = FLOODS[name]
    with server(behave, tls=True) as site:
        site.tls = certificates.sign("flood")
        assert look_over_tls(the_web, site) == code


@pytest.mark.parametrize("name", [name for name in STALLS if "reset" not in name][::3])
def test_an_answer_over_tls_that_stops_midway_proves_nothing(the_web, hurried, certificates, name):
    behave, code = STALLS[name]
    with server(behave, tls=True) as site:
        site.tls = certificates.sign("stall")
        assert look_over_tls(the_web, site) == code


@pytest.mark.parametrize(
    "target",
    [
        *(
            "http://site.example.net/",
            "https://other.example.net/",
            "https://example.net/",
            "https://a.site.example.net/",
        ),
        *(
            "https://site.example.net:8443/",
            "https://a:b@site.example.net/",
            "https://site.example.net.evil.example.net/",
        ),
        *("//127.0.0.1/", "https://localhost/", "https://[::1]/", "https://①②⑦.0.0.1/", "\\\\other.example.net/"),
        *(
            "https://www.www.site.example.net/",
            "https://wwwsite.example.net/",
            "ftp://site.example.net/",
            "javascript:1",
        ),
    ],
)
def test_a_redirect_over_tls_stays_on_the_site(the_web, certificates, target):
    answer = page(b"", status="302 Found").replace(b"\r\n\r\n", b"\r\nLocation: %s\r\n\r\n" % target.encode())
    with server(answer, tls=True) as site:
        site.tls = certificates.sign("away")
        assert look_over_tls(the_web, site) == "redirects_elsewhere"
        assert len(site.asked) == 1


def test_a_page_in_plain_http_may_redirect_to_itself_over_tls_but_not_back(the_web, certificates):
    with server(redirect(f"https://{NAME}/page")) as plain, server(page(TAG), tls=True) as site:
        site.tls, the_web[80], the_web[443] = certificates.sign("up"), plain.port, site.port
        answer = fetch.get(f"http://{NAME}/page")
        assert (answer.body, answer.hops) == (TAG, [f"http://{NAME}/page", f"https://{NAME}/page"])
    with server(redirect("/other")) as plain:
        the_web[80] = plain.port
        assert outcome(lambda: fetch.get(f"http://{NAME}/page")) == "redirects_elsewhere"


# Anything at all ------------------------------------------------------------------------------------------------------

LINES = st.sampled_from([
    *("HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 301 x", "HTTP/1.1 100 x", "HTTP/1.1 204 x", "Content-Type: text/html", ""),
    *("Transfer-Encoding: chunked", "Content-Length: 5", "Content-Length: -1", "Content-Encoding: gzip", "Location: /", "-1"),
    *("5", "0", "hello", "FFFFFFFFF", " folded", ": x", "\0", "\x85", "\r", "Location: //a.b/", "Location: \u00ff\0", "1;a", "\x1f\u008b"),
])  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(LINES, max_size=9).map(lambda lines: "\r\n".join(["HTTP/1.1 200 OK", *lines]).encode("latin-1"))
    | st.binary()
)
def test_whatever_is_answered_is_a_page_or_a_refusal(answer):
    with server(answer) as site:
        try:
            assert len(fetch.front_page(site.site, dev=True).body) <= MAX_BODY
        except FetchFailed as failure:
            assert failure.code in proof.ADVICE  # noqa: PT017
