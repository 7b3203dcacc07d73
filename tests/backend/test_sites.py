"""Sites: whom a page belongs to."""

import pytest

from backend import sites
from backend.errors import NotFlattrable
from backend.sites import is_public_suffix, refuse_unclaimable, site_name, site_of
from tests.backend.at_once import at_once


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://example.org/a/b", "example.org"),
        ("https://www.example.org/", "example.org"),
        ("https://www.www.example.org/", "example.org"),
        ("https://blog.example.org/", "blog.example.org"),
        ("https://www.ann.github.io/", "ann.github.io"),
        ("https://wwwhat.example.org/", "wwwhat.example.org"),
        ("http://127.0.0.1:8001/post", "127.0.0.1:8001"),
    ],
)
def test_a_page_belongs_to_its_host_and_www_is_nobody_of_its_own(url, site):
    assert site_of(url) == site


@pytest.mark.parametrize("host", ["www.co.uk", "www.github.io", "www.com", "www.gov.uk", "www.ck"])
def test_www_is_never_folded_onto_a_public_suffix(host):
    assert site_of(f"https://{host}/") == host


def test_tenants_of_one_host_are_different_sites():
    assert site_of("https://ann.substack.com/") != site_of("https://bea.substack.com/")


@pytest.mark.parametrize("suffix", ["com", "co.uk", "github.io", "blogspot.com", "gov.uk", "xn--p1ai"])
def test_what_strangers_register_below_cannot_be_claimed(suffix):
    assert is_public_suffix(suffix)
    with pytest.raises(NotFlattrable, match="shared by many people"):
        refuse_unclaimable(suffix)


@pytest.mark.parametrize("name", ["example.org", "ann.github.io", "www.co.uk", "127.0.0.1:8001", "blog.test:8000"])
def test_a_name_of_ones_own_can_be_claimed(name):
    refuse_unclaimable(name)
    assert not is_public_suffix(name)


@pytest.mark.parametrize(
    "typed", ["Example.org", " https://www.example.org/about?x#y ", "example.org/", "http://example.org"]
)
def test_an_owner_may_type_the_site_as_it_comes(typed):
    assert site_name(typed, dev=False) == "example.org"


@pytest.mark.parametrize("typed", ["", "ann", "127.0.0.1:8001", "javascript:alert(1)", "https://", "a b.org", "[::1]"])
def test_what_is_no_site_is_refused_when_typed(typed):
    with pytest.raises(NotFlattrable):
        site_name(typed, dev=False)


def test_dev_mode_knows_this_machine_by_its_port():
    assert site_name("127.0.0.1:8001", dev=True) == "127.0.0.1:8001"
    assert site_name("blog.test:8001/post", dev=True) == "blog.test:8001"


def test_a_site_is_made_once_and_the_first_title_of_a_page_stays(session):
    site = sites.ensure(session, "example.org")
    page = sites.ensure_page(session, "https://example.org/", site, " An \n essay ")
    again = sites.ensure_page(session, "https://example.org/", sites.ensure(session, "example.org"), "Defaced")

    assert (again.id, again.title, again.site_id) == (page.id, "An essay", site.id)
    assert sites.find(session, "example.org").id == site.id
    assert sites.find_page(session, "https://example.org/").id == page.id
    assert sites.find(session, "example.net") is None
    assert sites.find_page(session, "https://example.net/") is None


def test_two_first_readers_at_once_make_one_site_and_one_page(sessions):
    def press():
        with sessions.begin() as session:
            site = sites.ensure(session, "example.org")
            return site.id, sites.ensure_page(session, "https://example.org/", site, None).id

    assert len(set(at_once(*[press] * 6))) == 1
