"""Sites and pages: what is claimed, and what is flattred."""

from collections.abc import Set
from datetime import datetime
from functools import cache, lru_cache
from urllib.parse import urlsplit

import sqlalchemy as sa
from publicsuffixlist import PublicSuffixList
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import platforms
from backend.db import Base, Id, insert
from backend.errors import NotFlattrable
from backend.urls import canonical, clean_title, host_of, is_loopback


class Site(Base):
    """What is claimed and whom pages belong to: a host, or an account on a platform.

    `account_id` is the platform's own number of a proven account: names are given up and taken by others, numbers not.
    """

    __tablename__ = "sites"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(sa.String(300), unique=True)
    opted_out_at: Mapped[datetime | None]
    account_id: Mapped[str | None] = mapped_column(sa.String(64))


class Page(Base):
    """A canonical URL. The title is what a first reader's browser showed: text of strangers."""

    __tablename__ = "pages"

    id: Mapped[Id]
    url: Mapped[str] = mapped_column(sa.String(2048), unique=True)
    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id), index=True)
    title: Mapped[str | None] = mapped_column(sa.String(300))
    author_id: Mapped[int | None] = mapped_column(sa.BigInteger)


def site_of(canonical_url: str) -> str:
    """The name of the site that a page belongs to: its host, or an account on a platform (RULES 1.1, 2.1, 2.2).

    `www.` folds into its parent, until nothing changes and never onto a public suffix.
    """
    host = host_of(canonical_url)
    while host.startswith("www.") and not is_public_suffix(host[4:]):
        host = host[4:]
    parts = urlsplit(canonical_url)
    if home := platforms.home_elsewhere(host, parts.path):
        return site_of(home)
    return platforms.site_on_platform(host, parts.path, parts.query)


def is_within(site: str, hosts: Set[str]) -> bool:
    """Whether a site is one of these hosts, or has a name below one: quickly, for very many."""
    labels = site.split(".")
    return any(".".join(labels[at:]) in hosts for at in range(len(labels)))


@lru_cache(maxsize=10_000)
def hosts_above(site: str) -> tuple[str, ...]:
    """The hosts above a host, nearest first, as far as one person can own them all: an account has none.

    Never across a public suffix or onto a host whose subdomains are other people's (RULES 3.2).
    """
    above: list[str] = []
    host = site
    while not platforms.is_account(site) and not is_loopback(host) and "." in host:
        parent = host.partition(".")[2]
        if is_public_suffix(parent) or is_public_suffix(host) or platforms.is_shared(parent):
            break
        above.append(parent)
        host = parent
    return tuple(above)


def is_public_suffix(host: str) -> bool:
    """Whether strangers register names below *host*, so that nobody can claim it."""
    return not is_loopback(host) and _public_suffixes().is_public(host)


def site_name(text: str, *, dev: bool) -> str:
    """The site that a person means by typing *text*: a host or the address of a page on it.

    Raises:
        NotFlattrable: No site that could be claimed.
    """
    text = text.strip()
    scheme = "" if "://" in text else "http://" if dev else "https://"
    return site_of(canonical(scheme + text, dev=dev))


def find(session: Session, name: str) -> Site | None:
    """The site of this name, if anybody ever flattred or claimed it."""
    return session.scalar(sa.select(Site).where(Site.name == name))


def ensure(session: Session, name: str) -> Site:
    """The site of this name, made if nobody ever mentioned it."""
    site = find(session, name)
    if site is None:
        row = {"name": name, "opted_out_at": None}
        session.execute(insert(session, Site).on_conflict_do_nothing(index_elements=["name"]), row)
        site = session.scalars(sa.select(Site).where(Site.name == name)).one()
    return site


def ensure_page(session: Session, url: str, site: Site, title: str | None) -> Page:
    """The page at a canonical URL; the first title stays."""
    page = find_page(session, url)
    if page is None:
        row = {"url": url, "site_id": site.id, "title": clean_title(title)}
        session.execute(insert(session, Page).on_conflict_do_nothing(index_elements=["url"]), row)
        page = session.scalars(sa.select(Page).where(Page.url == url)).one()
    return page


def find_page(session: Session, url: str) -> Page | None:
    """The page at a canonical URL, if anybody ever flattred it."""
    return session.scalar(sa.select(Page).where(Page.url == url))


def refuse_unclaimable(name: str) -> None:
    """What many people share belongs to all of them (RULES 3.6); only the operator can say otherwise.

    Raises:
        NotFlattrable: *name* is a public suffix, or a platform.
    """
    if is_public_suffix(name) or platforms.is_shared(name):
        raise NotFlattrable(f"{name} is shared by many people: claim your own name or account there.")


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()
