"""One canonical form per page, the same as browsers see it, and nothing that is no page."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.errors import NotFlattrable
from backend.urls import MAX_LENGTH, canonical, clean_title, host_of, is_loopback

CORPUS = Path(__file__).parents[1] / "data" / "url_corpus.jsonl.gz"


@pytest.fixture(scope="module")
def corpus():
    """What two real browsers made of the same fuzzed addresses."""
    with gzip.open(CORPUS, "rt") as lines:
        return [json.loads(line) for line in lines]


def outcome(url):
    """The canonical form, or the sentence of the refusal."""
    try:
        return canonical(url)
    except NotFlattrable as refusal:
        return str(refusal)


# The same page for everybody ------------------------------------------------------------------------------------------


def test_both_browsers_and_the_link_itself_name_one_page(corpus):
    accepted = [row for row in corpus if row["chromium156"] and row["firefox153"]]
    outcomes = [{outcome(url) for url in row.values()} for row in accepted]

    assert len(accepted) == 3000
    assert [row for row, found in zip(accepted, outcomes, strict=True) if len(found) > 1] == []
    assert sum(found.pop().startswith("http") for found in outcomes) > 2000


def test_what_no_browser_opens_cannot_be_flattred(corpus):
    refused = [row["in"] for row in corpus if not row["chromium156"] and not row["firefox153"]]
    assert len(refused) == 600
    assert [url for url in refused if outcome(url).startswith("http")] == []


def test_a_canonical_address_is_its_own_canonical_address(corpus):
    forms = {found for row in corpus if (found := outcome(row["in"])).startswith("http")}
    assert [form for form in forms if outcome(form) != form] == []


@given(
    st.sampled_from(["http://", "https://", "HTTPS:", "https:/\\", ""]),
    st.text("abcAZ.-_%0123456789xX:@[]é。\u00ad\u200b", max_size=24),
    st.text(max_size=24),
)
@example("https://", "0x7f000001..", "/")
@example("https://", "example.com..:443", "/a|b^c?utm_source=x&#f")
def test_canonical_is_idempotent_and_refuses_with_a_sentence_whatever_comes(scheme, host, rest):
    found = outcome(f"{scheme}{host}{rest}")
    if found.startswith("http"):
        assert canonical(found) == found
        assert len(found) <= MAX_LENGTH
        found.encode("ascii")
    else:
        assert found.endswith(".")
        assert " " in found


@pytest.mark.parametrize(
    ("written", "page"),
    [
        ("HTTPS://Ann:secret@Example.ORG:443/Path?q=1#top", "https://example.org/Path?q=1"),
        ("http://example.org:80", "http://example.org/"),
        ("https://example.org.../", "https://example.org/"),
        ("https://b\u00fccher.example.org/", "https://xn--bcher-kva.example.org/"),
        ("https://example.org/a/../b/./c", "https://example.org/b/c"),
        ("https://example.org/a|b^c", "https://example.org/a%7Cb%5Ec"),
        ("https://example.org/?", "https://example.org/"),
        ("https://example.org/?b=2&a=1", "https://example.org/?b=2&a=1"),
        ("  https://exa\nmple.org/\t ", "https://example.org/"),
        ("https://example.org\\path", "https://example.org/path"),
        ("https://example.org/a\0b\0", "https://example.org/a%00b"),
    ],
)
def test_spellings_of_one_page_fold_into_one(written, page):
    assert canonical(written) == page


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("utm_source=mail&utm_campaign=x", ""),
        ("id=7&fbclid=x&page=2", "?id=7&page=2"),
        ("gclid=1&gbraid=2&wbraid=3&msclkid=4&mc_cid=5&mc_eid=6&igshid=7&si=8&ref_src=9&_hsenc=10", ""),
        ("si", ""),
        ("site=1&utm=2&SI=3", "?site=1&utm=2&SI=3"),
        ("a=utm_source&&b", "?a=utm_source&b"),
    ],
)
def test_tracking_parameters_are_dropped_and_no_others(query, kept):
    assert canonical(f"https://example.org/?{query}") == f"https://example.org/{kept}"


# What cannot be flattred ----------------------------------------------------------------------------------------------

UNUSABLE = {
    "only web pages": "javascript:alert(1)|data:text/html,<p>|ftp://example.org/|file:///etc/passwd|about:blank"
    "|chrome://settings|mailto:ann@example.org|view-source:https://example.org/|blob:https://example.org/1"
    "|moz-extension://1234/page.html|ws://example.org/",
    "numeric": "https://127.0.0.1/|https://0x7f.1/|https://0x7f000001/|https://017700000001/|https://2130706433/"
    "|https://127.1/|https://1.2.3.4/|https://1.2.3.4./|https://1.2.3.4../|https://0x7f000001../|https://[::1]/"
    "|https://[::ffff:7f00:1]/|https://[2606:4700::1111]/|https://\uff11\uff12\uff17.0.0.1/|https://%31%32%37.0.0.1/",
    "private to a network": "https://localhost/|https://intranet/|https://printer.local/|https://wiki.internal/"
    "|https://abcdef.onion/|https://blog.test/|https://a.localhost/|https://nas.lan/|https://com/|https://router.home/",
    "unusual ports": "https://example.org:8443/|http://example.org:443/|https://example.org:80/",
    "names no site": "https://./|http://..../",
    "not a web address": "|https://|https:///|//example.org/|example.org/page|https://exa mple.org/|https://exam\0ple.org/"
    "|https://example.org:99999/|https://example.org/\ud800|https://\ud800.org/|https://[::1/"
    "|https://1.2.3.08/|https://%00.org/",
    "too long": f"https://example.org/{'a' * MAX_LENGTH}|https://example.org/{'%C3%A9' * 400}|{'x' * 100_000}",
}


@pytest.mark.parametrize(("why", "url"), [(why, url) for why, urls in UNUSABLE.items() for url in urls.split("|")])
def test_what_is_no_public_page_is_refused_with_the_reason(why, url):
    with pytest.raises(NotFlattrable) as refusal:
        canonical(url)
    assert why in str(refusal.value).lower()


def test_an_address_may_be_as_long_as_the_limit_and_not_longer():
    longest = "https://example.org/".ljust(MAX_LENGTH, "a")
    assert canonical(longest) == longest
    with pytest.raises(NotFlattrable):
        canonical(longest + "a")


# Trying it at home ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8001/post", "127.0.0.1:8001"),
        ("http://127.9.9.9/", "127.9.9.9"),
        ("http://[::1]:8001/", "[::1]:8001"),
        ("http://localhost:8001/", "localhost:8001"),
        ("http://ann.blog.test:8001/", "ann.blog.test:8001"),
        ("http://0x7f.1:8001/", "127.0.0.1:8001"),
    ],
)
def test_dev_mode_lets_this_machine_through_with_its_ports(url, host):
    assert host_of(canonical(url, dev=True)) == host
    with pytest.raises(NotFlattrable):
        canonical(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1/", "http://192.168.0.1:8000/", "http://[::2]/", "http://test/", "http://wiki.internal/"),
        *("http://example.org:8001/", "http://169.254.169.254/", "http://0.0.0.0/", "http://128.0.0.1/"),
    ],
)
def test_dev_mode_lets_nothing_else_through(url):
    with pytest.raises(NotFlattrable):
        canonical(url, dev=True)


@pytest.mark.parametrize("host", ["127.0.0.1.example.org", "xlocalhost", "localhost.example.org", "test", "1270.0.0.1"])
def test_a_name_that_only_looks_like_this_machine_is_not_this_machine(host):
    assert not is_loopback(host)


# Titles of strangers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("  An\n essay\t\0 ", "An essay"),
        ("a\u202egnp.exe", "a gnp.exe"),
        ("zero\u200bwidth\ufeff", "zero width"),
        ("\u200e\u2066\u2069", None),
        ("", None),
        (None, None),
        ("x" * 400, "x" * 300),
        ("<b>bold</b>", "<b>bold</b>"),
        ("half \ud83d a face", "half ? a face"),
    ],
)
def test_a_title_becomes_one_harmless_line(title, shown):
    assert clean_title(title) == shown


@given(st.text(max_size=400))
def test_a_cleaned_title_stays_as_it_is_and_can_be_stored_anywhere(text):
    title = clean_title(text)
    assert clean_title(title) == title
    assert len((title or "").encode()) <= 1200
    assert "\0" not in (title or "")
