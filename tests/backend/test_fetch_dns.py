"""Name servers that change their minds, mix, chain, stall and flood: what was checked is what is dialled."""

import contextlib
import itertools
import socket
import struct
import threading
import time

import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from backend import fetch
from backend.fetch import FetchFailed, is_public
from tests.backend.hostile import redirect

# Enough for a busy machine, and a wait that no name server who answers has to fear.
PATIENT, HURRIED = 30.0, 0.6

NAME = "site.example.net"
PUBLIC, OTHER, PUBLIC6 = "93.184.215.14", "151.101.1.69", "2606:4700::1111"
PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "168.63.129.16"]
PRIVATE6 = [
    "::1",
    "fd00::1",
    "fe80::1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "::127.0.0.1",
    "ff02::1",
]


class NameServer:
    """A real one, on this machine, over UDP and TCP; *records* maps a kind to what it answers each time."""

    def __init__(self):
        self.records, self.asked, self.over = {}, [], threading.Event()
        self.udp, self.tcp = self.sockets()
        self.port = self.udp.getsockname()[1]

    def sockets(self):
        """One port that is free for both."""
        for _ in range(20):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                return udp, socket.create_server(udp.getsockname())
            udp.close()
        raise OSError("no port is free for both")

    def serve_udp(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                wire, client = self.udp.recvfrom(4096)
                for answer in self.answers(wire, "udp"):
                    self.udp.sendto(answer, client)

    def serve_tcp(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError), self.tcp.accept()[0] as line:
                length = struct.unpack("!H", line.recv(2))[0]
                for answer in self.answers(line.recv(length), "tcp"):
                    line.sendall(struct.pack("!H", len(answer)) + answer)

    def answers(self, wire, way):
        """The messages that go back: any number of them."""
        try:
            question = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return []
        name, kind = question.question[0].name, dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked.append((str(name), kind))
        answer = self.records.get((way, kind), self.records.get(kind, []))
        if callable(answer):
            answer = answer(question)
        if answer is None:
            return []
        if isinstance(answer, bytes):
            return [answer]
        if isinstance(answer, dns.message.Message):
            return [answer.to_wire(max_size=65_535)]
        return [reply(question, *([rrset(name, kind, *answer)] if answer else [])).to_wire(max_size=65_535)]


def rrset(name, kind, *values):
    return dns.rrset.from_text_list(dns.name.from_text(str(name)), 0, "IN", kind, values)


def reply(question, *rrsets, rcode="NOERROR", flags=0):
    message = dns.message.make_response(question, recursion_available=True)
    message.set_rcode(dns.rcode.from_text(rcode))
    message.flags |= flags
    message.answer += rrsets
    return message


@pytest.fixture
def names(monkeypatch):
    """The only name server in this world."""
    running = NameServer()
    threads = [threading.Thread(target=run, daemon=True) for run in (running.serve_udp, running.serve_tcp)]
    for thread in threads:
        thread.start()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], running.port, 4 * PATIENT
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    monkeypatch.setattr(fetch, "DNS_SECONDS", PATIENT)
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", PATIENT)
    yield running
    running.over.set()
    for tell in (running.udp, running.tcp):
        with contextlib.suppress(OSError):
            tell.shutdown(socket.SHUT_RDWR)
        tell.close()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def dialled(monkeypatch):
    """Whom the fetcher dials; each answers with the next of these answers. Anything private fails the test."""
    addresses, answers = [], []

    def dial(address, *_, **__):
        if not is_public(address[0]):
            pytest.fail(f"dialled {address}")
        addresses.append(address[0])
        if not answers:
            raise ConnectionRefusedError
        here, there = socket.socketpair()
        there.sendall(answers.pop(0))
        lines.append(there)
        return here

    lines = []
    monkeypatch.setattr(socket, "create_connection", dial)
    yield addresses, answers
    for line in lines:
        line.close()


@pytest.fixture
def hurried(names, monkeypatch):
    """Name servers get less than a second, and whoever waits longer for one is found out."""
    monkeypatch.setattr(fetch, "DNS_SECONDS", HURRIED)
    started = time.monotonic()
    yield
    assert time.monotonic() - started < PATIENT


def failure(url=f"https://{NAME}/"):
    with pytest.raises(FetchFailed) as failed:
        fetch.get(url)
    return failed.value.code


# Rebinding ------------------------------------------------------------------------------------------------------------


def in_turn(*answers):
    """A different answer each time, the last one for ever."""
    left = list(answers)
    return lambda _question: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("private", PRIVATE)
def test_a_name_is_asked_for_once_and_what_was_checked_is_dialled(names, dialled, private):
    names.records["A"] = in_turn([PUBLIC], [private])
    assert failure() == "no_https"
    assert dialled[0] == [PUBLIC]
    assert names.asked == [(f"{NAME}.", "A"), (f"{NAME}.", "AAAA")]
    assert failure() == "refused_address"
    assert dialled[0] == [PUBLIC]


def test_the_wire_is_only_asked_for_what_was_named(names, dialled):
    names.records.update({"A": [PUBLIC], "AAAA": [PUBLIC6]})
    assert failure("https://Site.EXAMPLE.net./a?b#c") == "no_https"
    assert {name for name, _ in names.asked} == {f"{NAME}."}


@pytest.mark.parametrize("private", [*PRIVATE, *PRIVATE6])
def test_a_name_that_turns_private_between_two_redirects_is_left(names, dialled, private):
    kind = "AAAA" if ":" in private else "A"
    names.records["A"] = in_turn([PUBLIC], [PUBLIC] if kind == "AAAA" else [private])
    names.records["AAAA"] = in_turn([], [private] if kind == "AAAA" else [])
    dialled[1].append(redirect(f"https://{NAME}/"))
    assert failure(f"http://{NAME}/") == "refused_address"
    assert dialled[0] == [PUBLIC]


def test_each_redirect_dials_what_was_checked_for_it(names, dialled):
    names.records["A"] = in_turn([PUBLIC], [OTHER], ["127.0.0.1"])
    dialled[1].append(redirect(f"https://www.{NAME}/"))
    assert failure(f"http://{NAME}/") == "no_https"
    assert dialled[0] == [PUBLIC, OTHER]
    assert [name for name, kind in names.asked if kind == "A"] == [f"{NAME}.", f"www.{NAME}."]


def test_a_name_that_alternates_is_dialled_only_when_it_is_public(names, dialled):
    names.records["A"] = in_turn(*[[PUBLIC], ["10.0.0.1"]] * 4)
    assert [failure() for _ in range(8)] == ["no_https", "refused_address"] * 4
    assert dialled[0] == [PUBLIC] * 4


# Mixtures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 7])
@pytest.mark.parametrize("private", [*PRIVATE, *PRIVATE6])
def test_one_private_address_among_public_ones_refuses_them_all(names, dialled, private, place):
    kind = "AAAA" if ":" in private else "A"
    addresses = [f"2606:4700::{n + 1}" if kind == "AAAA" else f"93.184.215.{n + 1}" for n in range(7)]
    addresses.insert(place, private)
    names.records.update({"A": [PUBLIC], kind: addresses})
    assert failure() == "refused_address"
    assert dialled[0] == []


def test_ipv4_is_dialled_where_a_name_has_both(names, dialled):
    names.records.update({"A": [PUBLIC], "AAAA": [PUBLIC6]})
    assert failure() == "no_https"
    assert dialled[0] == [PUBLIC]


def test_a_name_with_ipv6_alone_is_dialled_there(names, dialled):
    names.records["AAAA"] = [PUBLIC6]
    assert failure() == "no_https"
    assert dialled[0] == [PUBLIC6]


# Chains ---------------------------------------------------------------------------------------------------------------


def chain(*names, kind="A", address=None):
    """CNAME after CNAME, and perhaps an address at the end."""

    def answer(question):
        found = [rrset(name, "CNAME", target) for name, target in itertools.pairwise(names)]
        return reply(question, *found, *([rrset(names[-1], kind, address)] if address else []))

    return answer


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("end", ["a.example.org.", "localhost.", "metadata.google.internal.", "127.0.0.1."])
def test_an_alias_of_something_private_is_refused(names, dialled, address, end):
    names.records["A"] = chain(f"{NAME}.", "cdn.example.org.", end, address=address)
    assert failure() == "refused_address"
    assert dialled[0] == []


def test_an_alias_of_something_public_is_dialled_under_its_own_name(names, dialled):
    names.records["A"] = chain(f"{NAME}.", "cdn.example.org.", "edge.example.com.", address=PUBLIC)
    assert failure() == "no_https"
    assert dialled[0] == [PUBLIC]
    assert {name for name, _ in names.asked} == {f"{NAME}."}


@pytest.mark.parametrize(
    "links",
    [
        [f"{NAME}.", "a.example.org.", f"{NAME}."],
        [f"{NAME}.", f"{NAME}."],
        [f"{NAME}.", *(f"a{n}.example.org." for n in range(60))],
        [f"{NAME}.", "nowhere.example.org."],
    ],
)
def test_aliases_that_lead_nowhere_are_not_followed(names, dialled, links):
    names.records["A"] = names.records["AAAA"] = chain(*links)
    assert failure() == "dns_failed"
    assert dialled[0] == []
    assert len(names.asked) < 5


def test_an_address_of_another_name_in_the_answer_is_not_taken(names, dialled):
    names.records["A"] = lambda question: reply(question, rrset("other.example.org.", "A", PUBLIC))
    assert failure() == "dns_failed"
    assert dialled[0] == []


def test_hints_beside_the_answer_are_not_taken(names, dialled):
    def answer(question):
        message = reply(question)
        message.additional.append(rrset(f"{NAME}.", "A", PUBLIC))
        message.authority.append(rrset(f"{NAME}.", "A", PUBLIC))
        return message

    names.records["A"] = answer
    assert failure() == "dns_failed"
    assert dialled[0] == []


# Failures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rcode", "code"),
    [
        *(("NXDOMAIN", "no_such_host"), ("SERVFAIL", "dns_failed"), ("REFUSED", "dns_failed")),
        *(("FORMERR", "dns_failed"), ("NOTIMP", "dns_failed"), ("YXDOMAIN", "dns_failed"), ("NOTAUTH", "dns_failed")),
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_a_name_server_that_fails_leads_nowhere(names, dialled, rcode, code, kind):
    names.records["A"] = [PUBLIC]
    names.records[kind] = lambda question: reply(question, rcode=rcode)
    assert failure() == code
    assert dialled[0] == []


def test_a_failure_with_an_address_in_it_is_a_failure(names, dialled):
    names.records["A"] = lambda question: reply(question, rrset(f"{NAME}.", "A", PUBLIC), rcode="SERVFAIL")
    assert failure() == "dns_failed"
    assert dialled[0] == []


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"\0",
        b"\xff" * 600,
        lambda question: reply(question).to_wire()[:9],
        lambda question: reply(dns.message.make_query(NAME, "A", id=question.id ^ 1), rrset(NAME, "A", PUBLIC)),
        lambda question: reply(dns.message.make_query("other.example.org", "A", id=question.id)),
        lambda question: dns.message.make_query(NAME, "A", id=question.id),
    ],
    ids=["silence", "nothing", "a byte", "noise", "half", "another id", "another question", "the question"],
)
@pytest.mark.usefixtures("hurried")
def test_a_name_server_that_says_nothing_useful_is_left_in_time(names, dialled, answer):
    names.records["A"] = answer
    assert failure() == "dns_failed"
    assert dialled[0] == []


@pytest.mark.usefixtures("hurried")
def test_both_questions_share_the_time(names, dialled):
    def slowly(answer):
        return lambda _question: (time.sleep(0.75 * HURRIED), answer)[1]

    names.records.update({"A": slowly([PUBLIC]), "AAAA": slowly([])})
    assert failure() == "dns_failed"
    assert dialled[0] == []


def test_a_slow_name_server_uses_up_the_deadline_of_the_page(names, dialled, monkeypatch):
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", HURRIED)
    names.records["A"] = None
    started = time.monotonic()
    assert failure() in ("dns_failed", "timeout")
    assert time.monotonic() - started < PATIENT / 2


def test_no_answer_is_no_address(names, dialled):
    assert failure() == "dns_failed"
    assert len(names.asked) == 2


# Floods ---------------------------------------------------------------------------------------------------------------

MANY = [f"93.{n // 256}.{n % 256}.1" for n in range(3000)]


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_thousands_of_addresses_are_all_checked(names, dialled, way):
    for last, code in (("93.184.215.14", "no_https"), ("10.0.0.1", "refused_address")):
        names.records[way, "A"] = [*MANY, last]
        if way == "tcp":
            names.records["udp", "A"] = lambda question: reply(question, flags=dns.flags.TC)
        assert failure() == code
    assert len(dialled[0]) == 1


def test_an_answer_that_was_cut_off_is_asked_for_in_full(names, dialled):
    names.records["udp", "A"] = lambda question: reply(question, rrset(f"{NAME}.", "A", PUBLIC), flags=dns.flags.TC)
    names.records["tcp", "A"] = [PUBLIC, "127.0.0.1"]
    assert failure() == "refused_address"
    assert dialled[0] == []


def test_an_address_that_is_said_many_times_is_one(names, dialled):
    names.records["A"] = [PUBLIC] * 500
    assert failure() == "no_https"
    assert dialled[0] == [PUBLIC]


# TXT ------------------------------------------------------------------------------------------------------------------


def test_all_texts_of_a_name_are_read_each_put_together(names):
    names.records["TXT"] = ['"flattr-" "site" "-verification=a"', '"v=spf1 -all"', r'"caf\195\169 \255"', '""']
    found = fetch.txt(f"_flattr-challenge.{NAME}")
    assert sorted(found) == sorted(["flattr-site-verification=a", "v=spf1 -all", "café �", ""])
    assert names.asked == [(f"_flattr-challenge.{NAME}.", "TXT")]


def test_thousands_of_texts_are_read(names):
    names.records["TXT"] = [f'"{n}-{"x" * 40}"' for n in range(900)]
    assert len(fetch.txt(NAME)) == 900


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (None, "dns_failed"),
        (lambda question: reply(question, rcode="NXDOMAIN"), "no_such_host"),
        (lambda question: reply(question, rcode="SERVFAIL"), "dns_failed"),
        (b"\xff" * 90, "dns_failed"),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_texts_that_cannot_be_had_are_a_failure(names, answer, code):
    names.records["TXT"] = answer
    with pytest.raises(FetchFailed) as failed:
        fetch.txt(NAME)
    assert failed.value.code == code


def test_a_name_without_texts_has_none(names):
    assert fetch.txt(NAME) == []


@pytest.mark.parametrize("name", ["a" * 64, "a..b", "." * 9, "a." * 200, "\ud800", "é" * 100])
def test_a_name_that_cannot_be_asked_for_has_no_texts(names, name):
    with pytest.raises(FetchFailed):
        fetch.txt(name)
    assert names.asked == []
