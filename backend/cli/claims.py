"""Who proved to own which site, and who would be paid for a page."""

import json
import sys
from typing import Any

import click
from sqlalchemy.orm import Session

from backend import checks, claims, clicks, sites, users
from backend.cli.desk import Desk, desk, flattr, table_of


@flattr.group("claims")
def claims_group() -> None:
    """Who proved to own which site."""


@claims_group.command("check")
@click.argument("site")
@desk
def claims_check(desk: Desk, site: str) -> None:
    """Look at a site now and record what it proves; exit 1 when that is nothing."""
    name = sites.site_name(site, dev=desk.config.dev)
    outcome = checks.look(desk.sessions, name, desk.world, now=desk.config.now())
    with desk.sessions() as session:
        looks = claims.latest_looks(session, sites.ensure(session, name))
    details = [
        str(look.evidence["detail"]) for look in looks if look.code == outcome.code and "detail" in look.evidence
    ]
    advice = " ".join([claims.ADVICE[outcome.code], *(f"({detail})" for detail in details if detail != outcome.code)])
    desk.answer({"site": name, "code": outcome.code, "detail": advice}, f"{name}: {advice}")
    sys.exit(0 if outcome.code == "proved" else 1)


@claims_group.command("list")
@desk
def claims_list(desk: Desk) -> None:
    """All claims, with their states."""
    with desk.reading() as session:
        found = [
            {
                "site": site.name,
                "email": user.email,
                "state": claim.state,
                "method": claim.method,
                "days_in_doubt": (desk.config.now() - claim.doubtful_at).days if claim.doubtful_at else None,
            }
            for claim, site, user in claims.listing(session)
        ]
    desk.answer({"claims": found}, table_of(("site", "email", "state", "method", "days_in_doubt"), found))


@claims_group.command("approve")
@click.argument("site")
@click.argument("email")
@desk
def claims_approve(desk: Desk, site: str, email: str) -> None:
    """Vouch for a claim that no tag can prove."""
    name, now = sites.site_name(site, dev=desk.config.dev), desk.config.now()
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        checks.approve(session, sites.ensure(session, name), user, desk.world, now=now)
    desk.answer({"site": name, "email": email, "state": "verified"}, f"{name} belongs to {email}.")


@claims_group.command("revoke")
@click.argument("site")
@desk
def claims_revoke(desk: Desk, site: str) -> None:
    """Take a verified claim back: it pays nothing that is not settled yet."""
    name, now = sites.site_name(site, dev=desk.config.dev), desk.config.now()
    with desk.sessions.begin() as session:
        checks.revoke(session, sites.ensure(session, name), desk.world, now=now)
    desk.answer({"site": name, "state": "revoked"}, f"The claim on {name} is revoked.")


@flattr.command()
@click.argument("url")
@click.option("--html", type=click.File("rb"), help="The page's HTML, to say what its tags say.")
@desk
def explain(desk: Desk, url: str, html: Any) -> None:
    """Who would be paid for a page, and by which rule. With - for URL: JSON lines in, JSON lines out."""
    if url == "-":
        with click.open_file("-", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with desk.reading() as session:  # anew: the next line may be long in coming
                    click.echo(json.dumps(_explained(desk, session, *_parsed(line))))
        return
    with desk.reading() as session:
        result = _explained(desk, session, url, html.read() if html else None)
        owner = clicks.explain(session, url, now=desk.config.now(), dev=desk.config.dev).owner
    desk.answer(result | {"owner": owner.public_id if owner else None})


def _parsed(line: str) -> tuple[str, str | None]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):  # brackets without end are no JSON either
        return "", None
    url, html = (said.get("url"), said.get("html")) if isinstance(said, dict) else ("", None)
    return url if isinstance(url, str) else "", html if isinstance(html, str) else None


def _explained(desk: Desk, session: Session, url: str, html: str | bytes | None) -> dict[str, Any]:
    found = clicks.explain(session, url, now=desk.config.now(), dev=desk.config.dev)
    ids = claims.ids_in_head(html) if html else []
    return {"canonical": found.page, "site": found.site, "rule": found.rule, "ids": ids}
