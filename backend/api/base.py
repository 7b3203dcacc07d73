"""The blueprint that all routes hang on, and the token that opens it."""

from apiflask import APIBlueprint, HTTPTokenAuth
from flask import Response, g, request

from backend import access
from backend.access import Unauthorized
from backend.api.errors import of_refusal
from backend.context import clock, session
from backend.db import begin_writing
from backend.errors import InvalidRequest
from backend.users import User

blueprint = APIBlueprint("api", __name__, url_prefix="/api/v1")
PRESS = "api.post_click"
token_auth = HTTPTokenAuth(description="A device token, `flt_…`, from pairing a browser.")


@blueprint.before_request
def _read_json() -> None:
    """Bodies are JSON and say so. Python's parser gives up on brackets without end as if that were a bug of ours."""
    if request.method in ("POST", "PATCH"):
        if not request.is_json:
            raise InvalidRequest("Send JSON, with Content-Type: application/json.")
        try:
            request.get_json()
        except RecursionError as error:
            raise InvalidRequest("This JSON is nested too deeply.") from error


@token_auth.verify_token
def _verify(token: str) -> User | str | None:
    if request.endpoint == PRESS:
        g.token = token  # looked up with the press itself, for all that come in together
        return token
    try:
        device, user = access.device_of(session(), token, now=clock())
    except Unauthorized:
        return None
    if access.is_stale(device, now=clock()):
        _note_use(device.id)
        device, user = access.device_of(session(), token, now=clock())
    g.device, g.reader = device, user
    return user


def _note_use(device_id: int) -> None:
    """A device that is used lives on; once a day is enough, in a transaction of its own."""
    if request.method == "GET":
        session().rollback()
        begin_writing(session())
    session().get_one(access.Device, device_id).used_at = clock()
    session().commit()
    if request.method != "GET":
        begin_writing(session())


@token_auth.error_handler
def _refuse(_status: int) -> Response:
    return of_refusal(Unauthorized())
