"""Hundreds of addresses that try to be something else: nothing private is dialled, and nobody is asked about them."""
# ruff: noqa: E501, RUF001 (lookalikes, and tables of them, are what this is about)

import ipaddress
import socket
import ssl
import time

import ada_url
import dns.resolver
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend import fetch
from backend.fetch import FetchFailed, is_public
from tests.rows import each

PUBLIC = "93.184.215.14"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
FULLWIDTH = str.maketrans(
    "0123456789.abcdefghijklmnopqrstuvwxyz",
    "０１２３４５６７８９．ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ",
)
CIRCLED = str.maketrans("0123456789abcdefghijklmnopqrstuvwxyz", "⓪①②③④⑤⑥⑦⑧⑨ⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩ")
MATHS = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")


# The addresses --------------------------------------------------------------------------------------------------------

TARGETS = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.100.100.200", "0.0.0.0"]


def spellings_of(address):
    """Every way in which a browser, a C library or a hurried parser may read an IPv4 address."""
    number, (a, b, c, d) = int(ipaddress.ip_address(address)), [int(part) for part in address.split(".")]
    yield from (address, f"{number}", f"{number:#x}", f"{number:#X}", f"0{number:o}", f"0x{number:016x}")
    yield from (f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:04o}.{b:#04x}.{c}.{d}")
    yield from (f"{a}.{b * 65536 + c * 256 + d}", f"{a}.{b}.{c * 256 + d}", f"{a:#x}.{b * 65536 + c * 256 + d:#x}")
    yield from (f"{address}.", f"{address}..", f"{number}.", f"{number:#x}.", f"{a}.{b}.{c}.{d + 256}")
    yield from (f"{number + 2**32}", f"{a}.{b}.{c}.{d}.0", f"0000{a}.0000{b}.0000{c}.0000{d}", f"{a}.{b}.{c}.{d}.0x")
    yield from (address.translate(FULLWIDTH), address.translate(CIRCLED), address.translate(MATHS))
    yield from (address.replace(".", "。"), address.replace(".", "．"), address.replace(".", "｡"))
    yield from (address.replace(".", "%2e"), address.replace(".", "%E3%80%82"), f"{number}".translate(CIRCLED))
    yield from ("".join(f"%{byte:02x}" for byte in address.encode()), address[:2] + "\t" + address[2:])
    yield from (address[:3] + "\n" + address[3:], address[:3] + "\u00ad" + address[3:], f"\u2060{address}")
    yield from (f"{address}\u200b", f"%00{address}", f"{address}%00.example.net", f"{a}%2e{b}.{c}%2E{d}")


def spellings_in_brackets(address):
    """The same inside IPv6, and the addresses that IPv6 itself has for this machine and its network."""
    high, low = divmod(int(ipaddress.ip_address(address)), 65536)
    yield from (f"[::ffff:{address}]", f"[::ffff:{high:x}:{low:x}]", f"[::{address}]", f"[::{high:x}:{low:x}]")
    yield from (
        f"[0:0:0:0:0:ffff:{address}]",
        f"[::ffff:0:{address}]",
        f"[::FFFF:{address}]",
        f"[::ffff:{address}]:443",
    )
    yield from (f"[64:ff9b::{address}]", f"[64:ff9b::{high:x}:{low:x}]", f"[64:ff9b:1::{address}]")
    yield from (
        f"[2002:{high:x}:{low:x}::]",
        f"[2002:{high:x}:{low:x}::1]",
        f"[2001::{high ^ 65535:x}:{low ^ 65535:x}]",
    )
    yield from (f"[2001:0:{high:x}:{low:x}::1]", f"[fe80::5efe:{address}]", f"[2001:db8::{address}]")


OWN_IPV6 = """
[::] [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::01] [::1]. [::1%25lo] [::1%lo] [::1%251] [fe80::1] [fe80::1%25eth0]
[fe80::1%eth0] [fec0::1] [fc00::1] [fd00:ec2::254] [fd12:3456::1] [ff02::1] [ff0e::1] [100::1] [5f00::1] [3fff::1]
[2001:db8::1] [2606:4700::1111] [::1 [::1]] ::1 ::1] [[::1]] [v1.::1] [::127.0.0.1] [：：１] [::１] %5B::1%5D [::ffff:7f00:1]
[::1]x [::1]:80 [::1]:8080 [::1]@example.net [1:2:3:4:5:6:7] [1::2::3] [::g]
""".split()

NUMERIC = [
    *(spelling for address in TARGETS for spelling in spellings_of(address)),
    *(spelling for address in TARGETS[:4] for spelling in spellings_in_brackets(address)),
    *("0", "00", "0x", "0x0", "1", "127.1", "127.0.1", "0177.1", "0x7f.1", "1.1", "255.255.255.255", "224.0.0.1"),
    *("93.184.215.14", "1572394766", "0x5db8d70e", "4294967295", "4294967296", "999.999.999.999", "1.2.3.4.5", "09.1"),
    *("256.1.1.1", "example.0", "example.0x", "example.0x1f", "example.net.1", "a.127.0.0.1", "-1"),
    *OWN_IPV6,
]

PRIVATE_NAMES = """
localhost LOCALHOST localhost. localhost.. localhost.localdomain a.localhost localhost.localhost ip6-localhost
ｌｏｃａｌｈｏｓｔ ⓛⓞⓒⓐⓛⓗⓞⓢⓣ loca%6Chost %6c%6f%63%61%6c%68%6f%73%74 localho\u00adst localhoſt LOCALHOﬆ printer.local PRINTER.LOCAL. nas.lan
router.home router.home.arpa 1.0.0.127.in-addr.arpa metadata.google.internal metadata kubernetes.default.svc.internal
intranet wiki.intranet mail.corp a.test blog.test xn--a.test a.example example an.invalid a.onion
facebookcorewwwi.onion a.alt a.private db a com net _ - xn-- localdomain a.localdomain .localhost localhost%00 %6Cocalhost%2E
wiki。local wiki．internal wiki｡corp wiki.loc\u200bal ⒶⓁⓉ.ⒶⓁⓉ a.ＴＥＳＴ a.te\u2064st a.loc%61l a.local%2e
""".split()

SCHEMES = """
file:///etc/passwd file://example.net/etc/passwd ftp://example.net/ gopher://127.0.0.1:25/_HELO dict://127.0.0.1:11211/stat
ldap://127.0.0.1/ ws://example.net/ wss://example.net/ javascript:alert(1) JaVaScRiPt://example.net/%0aalert(1)
data:text/html,<meta%20name=flattr:id> about:blank blob:https://example.net/1 view-source:https://example.net/
jar:https://example.net/a!/b mailto:a@example.net tel:1 urn:a:b sftp://example.net/ tftp://example.net/ ssh://example.net/
unix:///run/x.sock http+unix://%2Frun%2Fx/ chrome://settings/ resource://a/ moz-extension://a/ netdoc:///etc/passwd
phar://a.b/ php://filter/resource=x zlib://a expect://id feed:https://example.net/ httpss://example.net/ xhttps://example.net/
:https://example.net/ //example.net/ /etc/passwd example.net ../../etc/passwd https https: https:// https:/// https://?
https://# https://: https://@ https://./ https://../ https://%00/ ?a #a . \\\\example.net\\a C:\\windows
""".split()

PORTS = [
    f"{scheme}://{host}:{port}/"
    for scheme, host in [("https", "example.net"), ("http", "example.net"), ("https", "127.0.0.1")]
    for port in [
        "22",
        "25",
        "81",
        "444",
        "6379",
        "8000",
        "8080",
        "8443",
        "11211",
        "65535",
        "65536",
        "0",
        "-1",
        "４４４",
        "1e3",
    ]
]

USERINFO = [
    *(f"https://{user}@{host}/" for user in ("a", "a:b", ":b", "127.0.0.1", "example.net:443", "a%40b", "%00", "a@b@c")
      for host in ("example.net", "127.0.0.1", "localhost", "[::1]")),
    *("https://example.net:@127.0.0.1/", "https://example.net&@127.0.0.1#@other.example.net/", "https:a@127.0.0.1/"),
    *("https://example.net%40127.0.0.1/", "https://a:b:c@127.0.0.1/", "https://example.net:443@127.0.0.1:443/"),
    *("https://user\t:\npass@127.0.0.1/", "https:\\\\a@127.0.0.1", "https://１２７.0.0.1:x@localhost/"),
]  # fmt: skip

# These may be somebody's public page: if so, then of the host that browsers see, and of no other.
SMUGGLED = [
    *("https://example.net\\@127.0.0.1/", "https://127.0.0.1\\@example.net/", "https:\\\\example.net/", "https:example.net"),
    *("https:/example.net/", "https:///example.net/", "https:////127.0.0.1/", "https:\\/example.net/", "HTTPS://EXAMPLE.NET"),
    *("https://example.net#@127.0.0.1/", "https://example.net?@127.0.0.1/", "https://example.net/@127.0.0.1/", "https://@example.net"),
    *("https://example.net;@127.0.0.1/", "https://example.net:443/", "http://example.net:80/", "https://example.net:/"),
    *("https://example.net:80/", "http://example.net:443/", "https://example.net:00443/", "https://example.net./"),
    *("https://example.net../", "https://.example.net/", "https://a..example.net/", "https://example。net/", "https://ｅxample.net/"),
    *("https://exam\tple.net/", "https://exam\nple.net/", "https://exam\r\nple.net/", "\thttps://example.net/\n", "ht\ntps://example.net"),
    *("https://example.net\r\nHost: 127.0.0.1/", "https://example.net/\r\nHost: 127.0.0.1\r\n\r\n", "https://example.net/%0d%0aHost:%20a"),
    *("https://example.net/ HTTP/1.1\r\nHost: localhost\r\nX: ", "https://example.net/?\r\nX-A: b", "https://example.net\r\n.evil.example.net/"),
    *("https://exam\x00ple.net/", "https://example.net\x00.evil.net/", "https://example.net/\x00", "https://exam ple.net/", " https://example.net "),
    *("https://exam%0aple.net/", "https://exam%20ple.net/", "https://example.net%2f@127.0.0.1/", "https://example.net%23.evil.net/"),
    *("https://example.net%5c.evil.net/", "https://ex%61mple.net/", "https://example%2enet/", "https://example.net%3a443/", "https://exa<mple.net/"),
    *("https://bücher.example.net/", "https://xn--bcher-kva.example.net/", "https://xn--a.net/", "https://xn--.net/", "https://ß.net/", "https://straße.net"),
    *("https://İ.net/", "https://ﬁ.net/", "https://℀.net/", "https://℅.net/", "https://example.net℀.evil.net/", "https://example.net／.evil.net/"),
    *("https://example.net＃.evil.net/", "https://example.net＠127.0.0.1/", "https://example.net：8080/", "https://example.net？.evil.net"),
    *("https://127.0.0.1.nip.io/", "https://localtest.me/", "https://7f000001.rbndr.us/", "https://localhost.example.net/", "https://0x7f000001.net", "https://127.0.0.-1/"),
    *("https://127.0.0.1.example.net/", "https://www.10.0.0.1.xip.io/", "https://a.b.c.d.e.f.g.h.net/", "https://-a.net/", "https://a-.net/"),
    *("https://a_b.net/", "https://*.net/", "https://a!$&'()*+,;=~.net/", "https://{a}.net/", "https://a`b.net", "https://a\"b.net/", "https://a|b.net"),
    *("https://" + "a" * 63 + ".net/", "https://" + "a" * 64 + ".net/", "https://" + "a." * 126 + "net/", "https://" + "a." * 500 + "net/"),
    *("https://example.net/" + "a" * 2000, "https://example.net/" + "a" * 9000, "https://" + "a" * 100_000, "https://" + "a." * 50_000 + "net"),
    *("https://example.net/" + "../" * 500 + "a", "https://example.net/" + "%00" * 300, "https://" + "@" * 3000 + "example.net/"),
    *("https://" + "%2" * 900, "https://" + "xn--" * 200 + ".net", "https://" + "[" * 2000, "https:" + "/" * 3000 + "example.net/a"),
    *("https://example.net//127.0.0.1/", "https://example.net/..//127.0.0.1/", "https://example.net/.//\\127.0.0.1", "https://example.net/%2e%2e"),
    *("https://example.net/a b", "https://example.net/é", "https://example.net/\u202e", "https://example.net/😀", "https://example.net/?a=\ud800"),
    *("https://\ud800.net/", "https://\ufeffexample.net/", "\ufeffhttps://example.net/", "https://\u202eten.elpmaxe/", "https://example.net/%", "http://a.net"),
]  # fmt: skip

REFUSED = [
    *(f"{scheme}://{host}/" for host in NUMERIC for scheme in (("https", "http") if len(host) < 12 else ("https",))),
    *(f"https://{host}/latest/meta-data" for host in PRIVATE_NAMES),
    *SCHEMES,
    *PORTS,
    *USERINFO,
]
EVERYTHING = list(dict.fromkeys([*REFUSED, *SMUGGLED]))


def called(url):
    return ascii(url)[1:60]


# The world ------------------------------------------------------------------------------------------------------------


class World:
    """Name servers that answer everything alike, and a network that writes down who is dialled and asked."""

    def __init__(self, address, *, loopback_is_fine=False):
        self.address, self.loopback_is_fine = address, loopback_is_fine
        self.looked_up, self.dialled, self.tls_names, self.requests = [], [], [], []

    def resolve(self, name, kind, **_):
        self.looked_up.append(str(name))
        wanted = "AAAA" if ":" in self.address else "A"
        if kind != wanted:
            raise dns.resolver.NoAnswer
        return [self.address]

    def connect(self, address):
        """No socket gets through; one that tries to reach anything private fails the test."""
        self.note(address)
        raise ConnectionRefusedError

    def note(self, address):
        host = address[0] if isinstance(address, tuple) else address
        fine = is_public(host) or (self.loopback_is_fine and ipaddress.ip_address(host).is_loopback)
        if not fine:
            pytest.fail(f"dialled {address}")  # no exception that anybody catches
        self.dialled.append(address[:2])

    def create_connection(self, address, *_, **__):
        """A line to a server that has already answered."""
        self.note(address)
        here, there = socket.socketpair()
        there.sendall(ANSWER)
        self.requests.append(there)
        return here

    def wrap_socket(self, connection, *, server_hostname):
        self.tls_names.append(server_hostname)
        return connection.dup()

    def asked(self):
        """The requests that were sent, each as its lines."""
        found = []
        for line in self.requests:
            line.settimeout(1)
            found.append(line.recv(65_536).decode("ascii").split("\r\n"))
        return found


@pytest.fixture
def a_world(monkeypatch):
    """A world to be: private, or public and answering."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **_: pytest.fail(f"the system was asked for {asked}"))
    monkeypatch.setattr(socket, "gethostbyname", lambda *asked, **_: pytest.fail(f"the system was asked for {asked}"))
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    worlds = []

    def make(address, *, answers=False, **options):
        world = World(address, **options)
        worlds.append(world)
        monkeypatch.setattr(dns.resolver, "resolve", world.resolve)
        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, world.connect)
        dial = world.create_connection if answers else lambda address, *_, **__: world.connect(address)
        monkeypatch.setattr(socket, "create_connection", dial)
        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", world.wrap_socket)
        return world

    yield make
    for line in [line for world in worlds for line in world.requests]:
        line.close()


def fetched(url, *, dev=False, by=fetch.get):
    """What came of it: an answer, or the code of the refusal."""
    try:
        return by(url, dev=dev)
    except FetchFailed as failure:
        return failure.code if len(str(failure)) < 300 else "a refusal that goes on and on"


def browsers_host(url):
    """The host that a browser would go to."""
    return ada_url.URL(url).hostname.rstrip(".")


def test_there_are_enough_hostile_addresses():
    assert len(EVERYTHING) >= 500
    assert len(set(REFUSED) & set(SMUGGLED)) == 0


# In a world where every name is private -------------------------------------------------------------------------------


@each("url", EVERYTHING, called)
def test_no_address_and_no_name_of_a_site_leads_to_anything_private(a_world, url):
    for private in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "64:ff9b::7f00:1"):
        world = a_world(private)
        assert fetched(url) in ("refused_address", "dns_failed")
        assert world.dialled == []
    for name in (url, url.partition("://")[2].rstrip("/"), url.partition("://")[2] + "#", f"x@{url}", f"{url}?"):
        assert fetched(name, by=fetch.front_page) in ("refused_address", "dns_failed")
    assert world.dialled == []


@each("url", EVERYTHING, called)
def test_dev_mode_opens_this_machine_under_its_own_names_and_nothing_else(a_world, monkeypatch, url):
    world = a_world("10.0.0.1", loopback_is_fine=True)
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    fetched(url, dev=True)
    if world.dialled:
        assert [ipaddress.ip_address(host).is_loopback for host, _ in world.dialled] == [True]
        host = browsers_host(url)
        assert host in ("localhost", "[::1]") or host.startswith("127.") or host.endswith(".test")


# In a world where every name is public --------------------------------------------------------------------------------


@each("url", REFUSED, called)
def test_what_names_no_public_page_is_refused_before_anybody_is_asked(a_world, url):
    world = a_world(PUBLIC, answers=True)
    assert fetched(url) == "refused_address"
    assert (world.looked_up, world.dialled, world.requests) == ([], [], [])


@each("url", SMUGGLED, called)
def test_what_is_asked_is_the_host_that_browsers_see_at_the_address_it_has(a_world, url):
    world = a_world(PUBLIC, answers=True)
    answer = fetched(url)
    if answer in ("refused_address", "dns_failed"):
        assert world.dialled == []
        return
    host, tls = browsers_host(url), answer.hops[0].startswith("https:")
    assert answer.body == b"hi"
    assert world.dialled == [(PUBLIC, 443 if tls else 80)]
    assert set(world.looked_up) == {f"{host}."}
    assert world.tls_names == ([host] if tls else [])
    (lines,) = world.asked()
    assert [line for line in lines if line.lower().startswith("host:")] == [f"Host: {host}"]
    assert lines[0].startswith("GET /")
    assert lines[0].endswith(" HTTP/1.1")
    assert lines[0].count(" ") == 2
    assert [line.partition(":")[0] for line in lines[1:-2]] == ["Host", "User-Agent", "Accept", "Accept-Encoding"]
    assert lines[-2:] == ["", ""]


@each("url", SMUGGLED, called)
def test_a_front_page_is_asked_of_exactly_the_site_that_was_named(a_world, url):
    world = a_world(PUBLIC, answers=True)
    name = url.partition("://")[2].rstrip("/")
    answer = fetched(name, by=fetch.front_page)
    if answer in ("refused_address", "dns_failed"):
        assert world.dialled == []
        return
    assert answer.hops == [f"https://{name}/"]
    assert world.dialled == [(PUBLIC, 443)]
    assert world.tls_names == [name]
    assert world.asked()[0][:2] == ["GET / HTTP/1.1", f"Host: {name}"]


@pytest.mark.parametrize("name", ["Example.net", "example.net.", "example.net:443", "a@example.net", "example.net/a"])
def test_a_site_that_is_not_written_as_sites_are_is_not_asked(a_world, name):
    world = a_world(PUBLIC, answers=True)
    assert fetched(name, by=fetch.front_page) == "refused_address"
    assert world.looked_up == []


def test_most_of_the_smuggled_addresses_do_lead_somewhere(a_world):
    """Or the tests above would prove nothing."""
    world = a_world(PUBLIC, answers=True)
    answers = [fetched(url) for url in SMUGGLED]
    assert sum(isinstance(answer, fetch.Fetched) for answer in answers) > 60
    assert len(world.dialled) > 60


def test_an_ipv6_site_is_dialled_at_the_address_that_was_checked(a_world):
    world = a_world("2606:4700::1111", answers=True)
    assert fetched("https://example.net/").address == "2606:4700::1111"
    assert world.dialled == [("2606:4700::1111", 443)]


# Nothing from around --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy"])
def test_a_proxy_in_the_environment_changes_nothing(a_world, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:3128")
    world = a_world(PUBLIC, answers=True)
    assert fetched("https://example.net/a").body == b"hi"
    assert world.dialled == [(PUBLIC, 443)]
    assert world.asked()[0][0] == "GET /a HTTP/1.1"


def test_a_file_of_passwords_in_the_home_folder_changes_nothing(a_world, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine example.net login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    world = a_world(PUBLIC, answers=True)
    fetched("https://example.net/")
    assert not any(line.startswith(("Authorization", "Cookie")) for line in world.asked()[0])


# Anything at all ------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from([
    *("https:", "http:", "//", "/", "\\", "@", ":", "#", "?", "%", ".", "..", "[", "]", "::", "::1", "127.0.0.1", "0x7f"),
    *("localhost", "example", ".net", ".local", "2130706433", "443", "8080", "\t", "\n", "\r", "\0", " ", "%2e", "。", "①"),
    *("xn--", "a", "é", "\u00ad", "ffff:", "user", "%00", "%0a", "www."),
])  # fmt: skip


@pytest.fixture(scope="module")
def private_world():
    """A private world for all of one property's examples."""
    with pytest.MonkeyPatch.context() as patch:
        world = World("10.0.0.1")
        patch.setattr(dns.resolver, "resolve", world.resolve)
        patch.setattr(socket.socket, "connect", world.connect)
        patch.setattr(socket, "create_connection", lambda address, *_, **__: world.connect(address))
        yield world


@settings(max_examples=400, deadline=None)
@given(
    st.lists(PIECES, max_size=9).map("".join)
    | st.lists(PIECES, max_size=6).map(lambda some: f"https://{''.join(some)}")
)
def test_whatever_is_put_together_is_refused_in_a_private_world(private_world, url):
    assert fetched(url) in ("refused_address", "dns_failed")
    assert fetched(url, by=fetch.front_page) in ("refused_address", "dns_failed")
    assert private_world.dialled == []


def test_a_very_long_address_is_refused_at_once(a_world):
    world, started = a_world(PUBLIC), time.thread_time()
    for url in ("https://" + "a" * 10**6, "https://example.net/" + "?" * 10**6, "https://" + "ü" * 10**5 + ".net/"):
        assert fetched(url) == "refused_address"
    assert world.looked_up == []
    assert time.thread_time() - started < 3
