"""Whose a page is, as far as its address says (RULES 1.1 and 2)."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend import platforms, sites
from backend.errors import NotFlattrable
from backend.urls import canonical, host_of
from tests.rows import each

ROOT = Path(__file__).parents[2]
DATA = json.loads((ROOT / "backend/data/platforms.json").read_text("utf-8"))
RULES = DATA["platforms"]
EXAMPLES = [pair for rules in RULES for pair in rules["examples"].items()]
EXTRA = [json.loads(line) for line in (ROOT / "tests/data/url_extra.jsonl").read_text("utf-8").splitlines()]
LISTS = ("tenants", "servers", "shared")
KINDS = {
    "host": str,
    "sites": dict,
    "fold": list,
    "account": str,
    "reserved": list,
    "proof": str,
    "id_meta": str,
    "examples": dict,
}


def site(url):
    return sites.site_of(canonical(url))


# Platforms ------------------------------------------------------------------------------------------------------------


@each("example", EXAMPLES)
def test_the_examples_of_the_rules_hold(example):
    url, expected = example
    assert site(url) == expected


@each("name", sorted({name for _, name in EXAMPLES}))
def test_a_site_is_an_address_of_its_own(name):
    assert site(f"https://{name}") == name


@each("rules", RULES, lambda rules: rules["host"])
def test_every_shape_of_an_account_leads_to_a_site_that_leads_to_itself(rules):
    def filled(text):
        name = "alice.example" if "bsky.app" in text else "alice"
        return text.replace("{account}", name).replace("{tenant}", "alice").replace("{exact}", "UCa_B-9")

    for looks, expected in rules["sites"].items():
        assert site(f"https://{filled(looks)}") == filled(expected)
        assert site(f"https://{filled(expected)}") == filled(expected)


@each("rules", RULES, lambda rules: rules["host"])
def test_a_reserved_word_is_nobody(rules):
    for word in " ".join(rules.get("reserved", ())).split():
        for looks in rules["sites"]:
            if "@{" in looks or "{exact}" in looks or ("." in word and "{tenant}." in looks):
                continue
            url = f"https://{re.sub('{account}|{tenant}', word, looks)}"
            for spelling in (url, f"{url}/~", url.replace(word, word.upper())):
                assert platforms.is_shared(site(spelling)), spelling


@each("rules", RULES, lambda rules: rules["host"])
def test_a_folded_host_is_the_platform(rules):
    for host in rules.get("fold", ()):
        assert site(f"https://{host.replace('*', 'any')}/") == rules["host"]
        assert site(f"https://www.{host.replace('*', 'any')}/") == rules["host"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://twitter.com/ALICE/status/1", "x.com/alice"),
        ("https://m.youtube.com/@Alice", "youtube.com/@alice"),
        ("https://old.reddit.com/U/Alice", "reddit.com/user/alice"),
        ("https://Alice.Medium.com/", "medium.com/@alice"),
        ("https://youtube.com/channel/UCaBc", "youtube.com/channel/UCaBc"),
        ("https://news.ycombinator.com/user?id=PG", "news.ycombinator.com/user?id=PG"),
        ("https://social.example.org/@Alice", "social.example.org/@alice"),
    ],
)
def test_names_ignore_case_and_ids_keep_it(url, expected):
    assert site(url) == expected


@pytest.mark.parametrize(
    "path",
    [
        "%2561lice",
        "alice%2F..",
        "alice%00",
        "alice%0A",
        "%EF%BD%81lice",
        "%E2%84%AAelvin",
        "%FF",
        "a%20b",
        "..%2Falice",
    ],
)
def test_no_escape_makes_a_name_of_what_is_none(path):
    assert site(f"https://github.com/{path}") == "github.com"


@pytest.mark.parametrize("query", ["", "?id=", "?id=a&id=b", "?id=a%2Fb", "?ID=pg", "?x=id=pg", "?id=pg%0A"])
def test_a_query_names_one_person_or_nobody(query):
    assert site(f"https://news.ycombinator.com/user{query}") == "news.ycombinator.com"


def test_an_endless_name_is_nobody():
    assert site(f"https://bsky.app/profile/{'a.' * 200}example") == "bsky.app"
    assert site(f"https://social.example.org/@{'a' * 300}") == "social.example.org"
    with pytest.raises(NotFlattrable):
        canonical(f"https://{'a.' * 200}example.org/")


# Servers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("@bob@other.example.org", "other.example.org/@bob"),
        ("@bob@www.other.example.org/1", "other.example.org/@bob"),
        ("@bob@medium.com", "medium.com/@bob"),
        ("@bob@twitter.com", "x.com"),
        ("@bob@unpkg.com", "unpkg.com"),
        ("@bob@10.0.0.1", "social.example.org"),
        ("@bob@printer.local", "social.example.org"),
        ("@bob@other.example.org@third.example.org", "social.example.org"),
        ("@bob@other.example.org%2F@third.example.org", "social.example.org"),
        ("@bob@", "social.example.org"),
        ("@", "social.example.org"),
        ("@@bob", "social.example.org"),
        ("x/@bob", "social.example.org"),
    ],
)
def test_somebody_from_another_server_is_at_home_there(path, expected):
    assert site(f"https://social.example.org/{path}") == expected


@pytest.mark.parametrize("host", DATA["shared"])
def test_where_an_at_is_no_person_it_names_nobody(host):
    for url in (f"https://{host}/@scope/package@1.0", f"https://{host}/@a@example.org", f"https://any.{host}/@a"):
        assert site(url) == host
    assert platforms.is_shared(host)


# The data -------------------------------------------------------------------------------------------------------------


def test_the_rules_are_well_formed():
    assert list(DATA) == ["about", *LISTS, "platforms"]
    for name in LISTS:
        assert sorted(set(DATA[name])) == DATA[name]
    for rules in RULES:
        assert list(rules) == [key for key in KINDS if key in rules], f"{rules['host']}: a key unknown, or out of place"
        assert all(isinstance(rules[key], KINDS[key]) for key in rules)
        assert rules.keys() >= {"host", "sites", "proof", "examples"}
        assert rules["examples"], "every platform has examples"
        assert rules["proof"] in ("rel_me", "operator")
        words = " ".join(rules.get("reserved", ())).split()
        assert words == sorted({word.lower() for word in words}), rules["host"]
        assert ("account" in rules) == any("{account}" in looks for looks in rules["sites"])


def test_no_host_is_in_two_lists():
    folded = [host for rules in RULES for host in rules.get("fold", ())]
    named = [*(rules["host"] for rules in RULES), *folded, *DATA["servers"], *DATA["shared"]]
    assert len(set(named)) == len(named)
    assert not {*folded, *DATA["servers"], *DATA["shared"]} & set(DATA["tenants"])


# Hosts ----------------------------------------------------------------------------------------------------------------


@each("row", EXTRA, lambda row: row["why"])
def test_www_ports_dots_and_foreign_letters(row):
    try:
        url = canonical(row["url"])
    except NotFlattrable:
        assert row["canonical"] is None
        return
    assert (url, sites.site_of(url)) == (row["canonical"], row["site"])
    assert canonical(url) == url


@pytest.mark.parametrize(
    ("name", "above"),
    [
        ("alice.org", []),
        ("blog.alice.org", ["alice.org"]),
        ("a.blog.alice.org", ["blog.alice.org", "alice.org"]),
        ("alice.co.uk", []),
        ("blog.alice.co.uk", ["alice.co.uk"]),
        ("alice.github.io", []),
        ("blog.alice.github.io", ["alice.github.io"]),
        ("alice.substack.com", []),
        ("blog.alice.substack.com", ["alice.substack.com"]),
        ("alice.tumblr.com", []),
        ("alice.neocities.org", []),
        ("alice.blogspot.com", []),
        ("co.uk", []),
        ("github.io", []),
        ("substack.com", []),
        ("blog.xn--bcher-kva.de", ["xn--bcher-kva.de"]),
        ("github.com/alice", []),
        ("social.example.org/@alice", []),
        ("127.0.0.1:8001", []),
        ("blog.localhost.test:8001", []),
    ],
)
def test_a_host_reaches_up_as_far_as_one_person_can_own(name, above):
    assert list(sites.hosts_above(name)) == above


@pytest.mark.parametrize("tenants", DATA["tenants"])
def test_no_tenant_reaches_up_to_the_landlord(tenants):
    assert not sites.hosts_above(f"alice.{tenants}")
    assert platforms.is_shared(tenants)


# Any page at all ------------------------------------------------------------------------------------------------------

hosts = st.sampled_from(
    [looks.partition("/")[0].replace("{tenant}", "alice") for rules in RULES for looks in rules["sites"]]
    + [host.replace("*", "any") for rules in RULES for host in rules.get("fold", ())]
    + [*DATA["tenants"], *DATA["servers"], *DATA["shared"], "social.example.org", "www.www.example.org", "www.co.uk"]
)
words = st.sampled_from("@ user u r c in p profile web channel users statuses orgs - 1 @bob @bob@other.example".split())
segments = words | st.text(max_size=12) | st.text("aZ9_.-@%:·Kİß", max_size=12)
pages = st.builds(
    lambda host, path, query: f"https://{host}/{'/'.join(path)}{query}",
    st.sampled_from(["", "www.", "m."]).flatmap(lambda prefix: hosts.map(lambda host: prefix + host)),
    st.lists(segments, max_size=5),
    st.sampled_from(["", "?", "?id=pg", "?u=1", "?id=a&id=b"]) | st.text(max_size=8).map("?{}".format),
)


@given(pages | st.text().map("https://example.org/{}".format))
@example("https://youtube.com/@%C4%B0x")
@example("https://youtube.com/@%252561")
@example("https://mastodon.social/@a@xn--")
def test_every_page_has_a_site_that_is_its_own_and_that_leads_to_itself(url):
    try:
        url = canonical(url)
    except NotFlattrable:
        return
    name = sites.site_of(url)
    assert len(name) <= 300
    assert sites.site_of(canonical(f"https://{name}")) == name
    assert may_belong(host_of(url), name.partition("/")[0]) or explicitly_elsewhere(url, name)


def may_belong(host, owner):
    """Whether pages of this host can belong to a site of that one: itself, without `www.`, or by the rules."""
    bare = re.sub(r"^(www\.)+", "", host)
    if owner in (host, bare) or re.fullmatch(rf"(www\.)+{re.escape(owner)}", host):
        return True
    if owner in DATA["shared"]:
        return bare.endswith(f".{owner}")
    return any(
        fnmatch(bare, one) and any(fnmatch(owner, other) for other in owners)
        for one, owners in (pair for rules in RULES for pair in reach(rules))
    )


def reach(rules):
    """The hosts of a platform's pages, each with the hosts of its sites, as patterns."""
    owners = {rules["host"], *(re.sub("{.*?}", "*", site.partition("/")[0]) for site in rules["sites"].values())}
    pages = {re.sub("{.*?}", "*", looks.partition("/")[0]) for looks in rules["sites"]}
    return [(host, owners) for host in {rules["host"], *rules.get("fold", ()), *pages}]


def explicitly_elsewhere(url, name):
    """Whether an address names somebody with a server that leads to this site."""
    named = re.search(r"@([A-Za-z0-9_.-]+)@([\w.-]+)", unquote(url))
    return bool(named) and site(f"https://{named[2]}/@{named[1]}") == name


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://github.com/Wilma/bread", "github.com/wilma"),
        ("https://remote.example.org/@bob", "remote.example.org/@bob"),
        ("https://social.example.org/@dora/104", "social.example.org/@dora"),
        ("https://bsky.app/profile/dora.bsky.social/post/3two", "bsky.app/profile/dora.bsky.social"),
        ("https://bsky.app/profile/did:plc:abc/post/3two", "bsky.app/profile/did:plc:abc"),
        ("https://x.com/wilma/status/11", "x.com/wilma"),
        ("https://www.youtube.com/@Wilma", "youtube.com/@wilma"),
        ("https://www.youtube.com/channel/UCabcDEF_12345", "youtube.com/channel/UCabcDEF_12345"),
        ("https://news.ycombinator.com/user?id=Asker", "news.ycombinator.com/user?id=Asker"),
    ],
)
def test_what_is_sent_for_a_like_tells_whose_work_it_is(url, site):
    assert sites.site_of(canonical(url)) == site
