"""The people: adding, letting in, deleting."""

from dataclasses import asdict

import click

from backend import access, leaving, users
from backend.cli.desk import Amount, Desk, desk, flattr


@flattr.group("users")
def users_group() -> None:
    """The people."""


@users_group.command("add")
@click.argument("email")
@click.option("--name", help="How others see them.")
@click.option("--budget", type=Amount(), help="What a month is worth to them, like 5.00.")
@click.option("--operator", is_flag=True, help="Make them an operator.")
@desk
def users_add(desk: Desk, email: str, name: str | None, budget: int | None, operator: bool) -> None:
    """Add a user, or change what is given of one."""
    with desk.sessions.begin() as session:
        user = users.add(session, email, now=desk.config.now(), name=name, operator=operator)
        if budget is not None:
            users.set_budget(session, user, budget, now=desk.config.now())
    fields = ("email", "public_id", "deposit_reference")
    desk.answer({name: getattr(user, name) for name in fields} | {"operator": user.is_operator})


@users_group.command("link")
@click.argument("email")
@desk
def users_link(desk: Desk, email: str) -> None:
    """A fresh sign-in link, for someone whose mail does not arrive."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        token = access.new_link(session, user.email, now=desk.config.now())
    link = f"{desk.config.base_url}/sign-in/{token}"
    desk.answer({"link": link}, link)


@users_group.command("token")
@click.argument("email")
@desk
def users_token(desk: Desk, email: str) -> None:
    """A device token, for programs."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        token, _ = access.new_device(session, user, "Command line", now=desk.config.now())
    desk.answer({"token": token}, token)


@users_group.command("delete")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desk
def users_delete(desk: Desk, email: str, yes: bool) -> None:
    """Delete a user who leaves: says what to pay back. What was transferred stays, without a name."""
    with desk.reading() as session:
        users.by_email(session, email)
    if not yes:
        click.confirm(f"Delete {email}, with lists, sites and devices? This cannot be undone", abort=True, err=True)
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        left = leaving.leave(session, user, desk.world, desk.config.currency, now=desk.config.now())
    said = f"{email} has left."
    if left.on_its_way_micros:
        said += f" {desk.money(left.on_its_way_micros)} is in the next batch of payouts."
    if left.paid_back_micros or not left.on_its_way_micros:
        amount = desk.money(left.paid_back_micros)
        said += f" Pay {amount} back; their deposits had the reference {left.reference}."
    desk.answer(asdict(left) | {"currency": desk.config.currency}, said)
