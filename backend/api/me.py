"""The reader: budget, wallet, and what a share is worth now."""

from flask import g

from backend import access, clicks, ledger, users
from backend.api.base import blueprint, token_auth
from backend.api.errors import refusals
from backend.api.schemas import MeIn, MeOut
from backend.context import charity_user, choices, clock, config, session
from backend.errors import InvalidRequest
from backend.period import ends_at, period_of


@blueprint.get("/me")
@blueprint.auth_required(token_auth)
@blueprint.output(MeOut)
@blueprint.doc(responses=refusals(401))
def get_me() -> MeOut:
    """The reader and the open month."""
    return _me()


@blueprint.patch("/me")
@blueprint.auth_required(token_auth)
@blueprint.input(MeIn)
@blueprint.output(MeOut)
@blueprint.doc(responses=refusals(400, 401, 413, 422))
def patch_me(json_data: MeIn) -> MeOut:
    """Change what a month is worth, and what becomes of an empty one."""
    if json_data.budget_micros is not None:
        users.set_budget(session(), g.reader, json_data.budget_micros, now=clock())
    if json_data.empty_month is not None:
        if json_data.empty_month not in choices():
            raise InvalidRequest("This Flattr gives no month to a charity.")
        users.set_empty_month(session(), g.reader, json_data.empty_month, now=clock())
    session().commit()
    return _me()


@blueprint.delete("/token")
@blueprint.auth_required(token_auth)
@blueprint.doc(responses={204: {"description": "This device is disconnected."}} | refusals(401))
def delete_token() -> tuple[str, int]:
    """Disconnect this device."""
    access.disconnect(session(), g.reader, g.device.id, now=clock())
    session().commit()
    return "", 204


def _me() -> MeOut:
    period = period_of(clock())
    month = clicks.month(session(), g.reader, period, now=clock())
    budget_micros, empty_month = users.decision(session(), g.reader.id, period)
    charity = charity_user()
    return MeOut(
        email=g.reader.email,
        period=period,
        ends_at=ends_at(period),
        currency=config().currency,
        budget_micros=budget_micros,
        balance_micros=ledger.balance(session(), ledger.wallet(g.reader.id)),
        pot_micros=month.pot_micros,
        owners=month.owners,
        share_micros=month.share_micros,
        projected_share_micros=month.projected_share_micros,
        empty_month=empty_month,
        empty_month_choices=choices(),
        charity=charity.name if charity else None,
        repeat_owners=clicks.repeatable(session(), g.reader, period),
    )
