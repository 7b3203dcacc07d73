"""What proves control over a site, read out of what was fetched: pure functions (RULES 3.1 to 3.4)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ada_url
from justhtml import JustHTML

TAG = "flattr:id"
OPT_OUT = "none"
MAX_HEAD_BYTES = 128 * 1024
MAX_FILE_BYTES = 1024
FILE_PATH = "/.well-known/flattr-site-verification.txt"
TXT_NAME = "_flattr-challenge"
_LINE = "flattr-site-verification="
_USER_PAGE = re.compile(r"/u/([0-9a-z]{12})/?")
_SPACE = " \t\n\f\r"

ADVICE = {
    "proved": "The proof is there and names you.",
    "opted_out": 'The site says that it takes no part. Remove content="none" to change that.',
    "no_tag": "The front page has no flattr:id tag in its <head>. Paste it before </head> and check again.",
    "two_ids": "There are tags with different ids. Leave one.",
    "other_id": "The proof names somebody else. If this is your site, put your own id there.",
    "unknown_id": "The tag's id belongs to nobody here. Copy your tag from this page again.",
    "token_not_found": "The verification line was not found. It changes every 30 days: copy it again.",
    "no_link": "The profile has no rel=me link to your page here. Add it where it names your website.",
    "revoked": "The operator took this claim back. Write to them with what shows that the site is yours.",
    "contested": "Somebody else proves this site too. Whoever alone still proves it in ten days keeps it.",
    "needs_operator": "Accounts there cannot prove themselves. Write to the operator with what shows it is yours.",
    "nul_byte": "The page contains NUL or escape bytes, so browsers disagree about it. Serve it as plain UTF-8.",
    "not_html": "The page is not served as text/html.",
    "bad_status": "The page did not answer with status 200.",
    "redirects_elsewhere": "The site redirects to another one. Claim that one.",
    "too_many_redirects": "The site redirects in a circle.",
    "no_https": "The site did not answer over https. A certificate is needed: anybody could fake a page without.",
    "dns_failed": "The name of the site could not be resolved.",
    "no_such_host": "The name of the site does not exist.",
    "refused_address": "The name of the site points into a private network.",
    "unreachable": "The site did not answer.",
    "timeout": "The site took longer than ten seconds to answer.",
    "too_large": "The answer is larger than it may be.",
    "bad_response": "The site's answer is not proper HTTP.",
}


@dataclass(frozen=True)
class Finding:
    """What one look by one method saw: `code` is ``proved``, ``opted_out`` or a failure's; `ids` are public ids."""

    method: str
    code: str
    ids: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """A claim that waits for proof by token."""

    public_id: str
    token: str


def ids_in_head(html: str | bytes) -> list[str]:
    """The contents of all flattr:id tags that a browser sees as children of `<head>`, raw, the empty ones left out.

    justhtml builds the tree as browsers do; more forgiving parsers see tags that no browser sees.
    """
    document = JustHTML(html[:MAX_HEAD_BYTES], sanitize=False)
    root = next((node for node in document.root.children or [] if node.name == "html"), None)
    head = next((node for node in (root.children if root else None) or [] if node.name == "head"), None)
    metas = [node for node in (head.children if head else None) or [] if node.name == "meta" and _is_html(node)]
    contents = [meta.attrs.get("content") for meta in metas if _ascii_lower(meta.attrs.get("name")) == TAG]
    return [content for content in contents if content]


def by_tag(html: bytes, evidence: dict[str, Any]) -> Finding:
    """What a front page's tags prove: exactly one distinct id among them."""
    if b"\0" in html or b"\x1b" in html:  # escapes of ISO-2022-JP hide text that other parsers take for tags
        return Finding("tag", "nul_byte", evidence=evidence)
    ids = ids_in_head(html)
    distinct = {content.strip(_SPACE) for content in ids} - {""}
    evidence = evidence | {"ids": [content[:64] for content in ids[:8]]}
    if len(distinct) != 1:
        return Finding("tag", "two_ids" if distinct else "no_tag", evidence=evidence)
    named = distinct.pop()
    if named == OPT_OUT:
        return Finding("tag", "opted_out", evidence=evidence)
    return Finding("tag", "proved", (named,), evidence)


def by_file(body: bytes, wanted: Iterable[Wanted], evidence: dict[str, Any]) -> Finding:
    """What the verification file proves: a whole line with a claim's token, or ``none``."""
    lines = {line.strip() for line in body.decode("utf-8-sig", "replace").splitlines()}
    if OPT_OUT in lines:
        return Finding("file", "opted_out", evidence=evidence)
    return _by_token("file", lines, wanted, evidence)


def by_dns(answers: Iterable[str], wanted: Iterable[Wanted]) -> Finding:
    """What the TXT records prove: every one is looked at, any match counts."""
    texts = {text.strip() for text in answers}
    return _by_token("dns", texts, wanted, {"answers": len(texts)})


def _by_token(method: str, lines: set[str], wanted: Iterable[Wanted], evidence: dict[str, Any]) -> Finding:
    ids = tuple(claim.public_id for claim in wanted if _LINE + claim.token in lines)
    return Finding(method, "proved" if ids else "token_not_found", ids, evidence)


def token_line(token: str) -> str:
    """What stands in the file or the TXT record."""
    return _LINE + token


def by_rel_me(html: bytes, base_url: str, evidence: dict[str, Any], id_meta: str = "") -> Finding:
    """What a profile's rel=me links prove: those that lead to a user's page here, ``BASE/u/ID``.

    Where a meta tag named *id_meta* tells the account's lasting id, that is kept as evidence (RULES 2.3).
    """
    document = JustHTML(html[:MAX_HEAD_BYTES], sanitize=False)
    for meta in document.query("meta") if id_meta else []:
        if (meta.attrs or {}).get("name") == id_meta and (meta.attrs or {}).get("content"):
            evidence = evidence | {"account_id": str((meta.attrs or {})["content"])[:64]}
    links = [node for name in ("a", "link") for node in document.query(name) if _is_html(node)]
    attributes = [link.attrs or {} for link in links]
    mine = [found.get("href") or "" for found in attributes if "me" in (found.get("rel") or "").lower().split()]
    ids = {public_id for href in mine if (public_id := _user_page(href, base_url))}
    if len(ids) > 1:
        return Finding("rel_me", "two_ids", evidence=evidence)
    return Finding("rel_me", "proved" if ids else "no_link", tuple(ids), evidence)


def _user_page(href: str, base_url: str) -> str | None:
    """The id in the address of a user's page, read as browsers do: nothing else may look like one."""
    try:
        there = ada_url.URL(href)
    except (ValueError, UnicodeEncodeError):
        return None
    at_home = there.origin == ada_url.URL(base_url).origin and not there.username and not there.password
    found = _USER_PAGE.fullmatch(there.pathname)
    return found[1] if at_home and found else None


def _is_html(node: Any) -> bool:
    return node.namespace in (None, "html")


def _ascii_lower(text: str | None) -> str:
    return "".join(c.lower() if c.isascii() else c for c in (text or "").strip(_SPACE))
