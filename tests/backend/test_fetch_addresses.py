"""Which addresses may be dialled: every edge of every special block, with an independent opinion beside ours."""

import ipaddress

import pytest
import ssrfguard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.fetch import is_public
from tests.rows import each

# The special-purpose blocks of both IANA registries that are nobody's public host, and what the registries leave out.
PRIVATE = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
192.0.0.170/31 192.0.2.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
::/128 ::1/128 ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:2::/48
2001:10::/28 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
""".split()

# Where we say no and the other opinion says yes. Each is a choice: a site of a person is never there.
STRICTER = {
    "168.63.129.16/32": "inside a cloud this is the machine's own host, though the address itself is public",
    "192.0.0.9/32": "anycast of the port control protocol: answered by the network's own router",
    "192.0.0.10/32": "anycast of TURN: answered by the network's own relay",
    "2001:1::1/128": "anycast of the port control protocol: answered by the network's own router",
    "2001:1::2/128": "anycast of TURN: answered by the network's own relay",
    "2001:1::3/128": "anycast of service registration: answered by the local network",
    "2001:3::/32": "multicast tunnels: a relay, no web server",
    "2001:4:112::/48": "sink for reverse look-ups of private addresses: a name server",
    "2001:20::/28": "ORCHIDv2: hashes of keys, routed by an overlay only",
    "2001:30::/28": "identities of drones, routed by an overlay only",
    "2001::/32": "Teredo: where a packet ends depends on a tunnel; nothing is published there any more",
    "2002::/16": "6to4: where a packet ends is the IPv4 address inside; whoever means that one can say so",
    "::/96": "IPv4 in a deprecated IPv6 spelling; whoever means that one can say so",
    "::ffff:0:0/96": "IPv4 in an IPv6 spelling; a name server has the A record for it",
    "64:ff9b::/96": "NAT64: where a packet ends is a gateway's choice",
    "::/3": "everything before 2000::/3 is reserved",
    "4000::/2": "not handed out to anybody",
    "8000::/1": "not handed out to anybody",
}

# Special-purpose as well, but public services on public routes: both opinions let them through, and may.
SPECIAL_BUT_PUBLIC = ["192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"]

NETWORKS = [ipaddress.ip_network(block) for block in [*PRIVATE, *STRICTER, *SPECIAL_BUT_PUBLIC]]


def edges(block):
    """The first and last address, their inner neighbours, the middle, and the addresses just outside."""
    first, last = int(block.network_address), int(block.broadcast_address)
    make = type(block.network_address)
    inner = {first, first + 1, (first + last) // 2, last - 1, last}
    numbers = {number for number in inner if first <= number <= last} | {first - 1, last + 1}
    return [make(number) for number in sorted(numbers) if 0 <= number < 2**block.max_prefixlen]


def within(address, blocks):
    return any(address.version == (net := ipaddress.ip_network(block)).version and address in net for block in blocks)


def other_opinion(address):
    """Whether the independent table lets a fetcher connect there."""
    return not ssrfguard.DEFAULT_DENIED.classify(address).blocked


@pytest.mark.parametrize("block", PRIVATE)
def test_no_edge_of_a_special_block_may_be_dialled(block):
    network = ipaddress.ip_network(block)
    inside = [address for address in edges(network) if address in network]
    assert inside
    assert [str(address) for address in inside if is_public(str(address))] == []


@each("address", sorted({str(a) for net in NETWORKS for a in edges(net)}))
def test_at_the_edges_of_all_blocks_nothing_is_dialled_that_the_other_opinion_denies(address):
    ip = ipaddress.ip_address(address)
    if is_public(address):
        assert other_opinion(ip)
    elif other_opinion(ip):
        assert within(ip, STRICTER), "stricter than the other opinion, and nobody said why"


@pytest.mark.parametrize("block", STRICTER)
def test_where_this_is_stricter_it_is_so_for_the_whole_block(block):
    network = ipaddress.ip_network(block)
    assert [str(address) for address in edges(network) if address in network and is_public(str(address))] == []


def test_each_reason_to_be_stricter_is_needed():
    needed = {
        "168.63.129.16/32": "168.63.129.16",
        "2001::/32": "2001:0:5db8:d70e::a247:28f1",
        "2002::/16": "2002:5db8:d70e::",
        "::/96": "::93.184.215.14",
        "::ffff:0:0/96": "::ffff:93.184.215.14",
        "64:ff9b::/96": "64:ff9b::5db8:d70e",
        "::/3": "1000::1",
    }
    for block in STRICTER:
        address = ipaddress.ip_address(needed.get(block, block.partition("/")[0]))
        assert address in ipaddress.ip_network(block)
        assert other_opinion(address), block
        assert not is_public(str(address)), block


@pytest.mark.parametrize("block", SPECIAL_BUT_PUBLIC)
def test_public_services_in_special_blocks_may_be_dialled(block):
    network = ipaddress.ip_network(block)
    assert all(is_public(str(address)) for address in edges(network))


@pytest.mark.parametrize(
    "address",
    """
    0.255.255.255/1.0.0.0 9.255.255.255/10.0.0.0 11.0.0.0/10.255.255.255 100.63.255.255/100.64.0.0
    100.128.0.0/100.127.255.255 126.255.255.255/127.0.0.0 128.0.0.0/127.255.255.255 168.63.129.15/168.63.129.16
    168.63.129.17/168.63.129.16 169.253.255.255/169.254.0.0 169.255.0.0/169.254.255.255 172.15.255.255/172.16.0.0
    172.32.0.0/172.31.255.255 191.255.255.255/192.0.0.0 192.0.1.0/192.0.0.255 192.0.1.255/192.0.2.0
    192.0.3.0/192.0.2.255 192.88.98.255/192.88.99.0 192.88.100.0/192.88.99.255 192.167.255.255/192.168.0.0
    192.169.0.0/192.168.255.255 198.17.255.255/198.18.0.0 198.20.0.0/198.19.255.255 198.51.99.255/198.51.100.0
    198.51.101.0/198.51.100.255 203.0.112.255/203.0.113.0 203.0.114.0/203.0.113.255 223.255.255.255/224.0.0.0
    2000::/1fff:ffff:: 2001:200::/2001:1ff:ffff:: 2001:db7:ffff::/2001:db8:: 2001:db9::/2001:db8:ffff::
    2001:ffff:ffff::/2002:: 2003::/2002:ffff:: 3ffe:ffff::/3fff:: 3fff:1000::/3fff:fff:ffff:: 3fff:ffff::/4000::
    """.split(),
)
def test_one_step_over_the_edge_decides(address):
    sides = {is_public(side) for side in address.split("/")}
    assert sides == {True, False}


@pytest.mark.parametrize(
    "address",
    """
    169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 fe80::a9fe:a9fe
    ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe:: 2001:0:a9fe:a9fe:: ::169.254.169.254
    ::ffff:0:127.0.0.1 2001:0:1:2:3:4:80ff:fffe 2002:7f00:1:: fe80::1%lo fe80::1%25eth0 ::1%lo ff02::1%eth0
    2606:4700::1111%eth0 2606:4700::1111%1
    """.split(),
)
def test_the_services_of_clouds_and_the_interfaces_of_this_machine_are_out_of_reach(address):
    assert not is_public(address)


@settings(max_examples=400, deadline=None)
@given(st.ip_addresses() | st.sampled_from(NETWORKS).flatmap(lambda net: st.ip_addresses(network=net)))
@example(ipaddress.ip_address("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"))
def test_no_address_at_all_may_be_dialled_that_the_other_opinion_denies(address):
    if is_public(str(address)):
        assert other_opinion(address)
    elif other_opinion(address):
        assert within(address, STRICTER)


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses(v=4))
def test_no_tunnel_carries_an_ipv4_address_past_us(address):
    four = int(address)
    wrapped = [
        four,
        0xFFFF << 32 | four,
        0xFFFF << 48 | four,
        0x64FF9B << 96 | four,
        0x64FF9B0001 << 80 | four,
        0x2002 << 112 | four << 80,
        0x20010000 << 96 | four << 64,
        0x20010000 << 96 | four ^ 0xFFFFFFFF,
    ]
    assert [str(ip) for number in wrapped if is_public(str(ip := ipaddress.IPv6Address(number)))] == []
