"""Connecting a browser: it shows a code, its user types the code on a page, it fetches its token."""

from datetime import timedelta

from flask import request

from backend import access, jobs
from backend.api.base import blueprint
from backend.api.errors import refusals
from backend.api.schemas import PairingIn, PairingOut, TokenOut, VerifierIn
from backend.context import clock, config, limit, session
from backend.users import User


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
