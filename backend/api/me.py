"""The reader: budget, wallet, what a share is worth now; and connecting a browser.

It shows a code, its user types the code on a page, it fetches its token.
"""

from datetime import timedelta

from flask import g, request

from backend import access, clicks, jobs, ledger, users
from backend.api.base import blueprint, token_auth
from backend.api.errors import refusals
from backend.api.schemas import MeIn, MeOut, PairingIn, PairingOut, TokenOut, VerifierIn
from backend.context import charity_user, choices, clock, config, limit, session
from backend.errors import InvalidRequest
from backend.period import ends_at, period_of
from backend.users import User


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


@blueprint.post("/pairings")
@blueprint.input(PairingIn)
@blueprint.output(PairingOut, status_code=201)
@blueprint.doc(responses=refusals(400, 413, 422, 429))
def post_pairing(json_data: PairingIn) -> PairingOut:
    """Start connecting a browser. `challenge` is the SHA-256 of a verifier that the browser keeps (as in RFC 7636)."""
    limit(f"pairings:{request.remote_addr}", 30, timedelta(hours=1))
    pairing = access.start_pairing(session(), json_data.challenge, json_data.device, now=clock())
    session().commit()
    return PairingOut(
        pairing_id=pairing.id,
        code=pairing.code.upper(),
        connect_url=f"{config().base_url}/connect/{pairing.id}",
        expires_in=int(access.PAIRING_LIFE.total_seconds()),
    )


@blueprint.post("/pairings/<pairing_id>/token")
@blueprint.input(VerifierIn)
@blueprint.output(TokenOut)
@blueprint.doc(responses=refusals(400, 404, 410, 413, 422, 428))
def post_pairing_token(pairing_id: str, json_data: VerifierIn) -> TokenOut:
    """Fetch the token, once, after the code was typed."""
    token, device = access.redeem(session(), pairing_id, json_data.verifier, now=clock())
    user = session().get_one(User, device.user_id)
    text = f"{device.name} is connected to your Flattr now.\n\nIf that was not you: {config().base_url}/devices\n"
    jobs.mail(session(), user.id, user.email, f"device {device.id}", "A browser was connected", text, now=clock())
    session().commit()
    return TokenOut(token=token)


@blueprint.delete("/token")
@blueprint.auth_required(token_auth)
@blueprint.doc(responses={204: {"description": "This device is disconnected."}} | refusals(401))
def delete_token() -> tuple[str, int]:
    """Disconnect this device."""
    access.disconnect(session(), g.reader, g.device.id, now=clock())
    session().commit()
    return "", 204
