"""Pressing, undoing and listing."""

from flask import Response, current_app, g

from backend import clicks
from backend.api.base import blueprint, token_auth
from backend.api.errors import refusals
from backend.api.presses import Pressed
from backend.api.schemas import ClickIn, ClickOut, MonthOut, PageOut, PageQuery, PeriodQuery
from backend.context import clock, config, is_counted, session
from backend.errors import DomainError
from backend.period import period_of


@blueprint.post("/clicks")
@blueprint.auth_required(token_auth)
@blueprint.input(ClickIn)
@blueprint.output(ClickOut, status_code=201)
@blueprint.doc(
    responses={
        200: {
            "description": "It was on the list already.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ClickOut"}}},
        }
    }
    | refusals(400, 401, 403, 409, 413, 422, 429)
)
def post_click(json_data: ClickIn) -> Response:
    """Flattr a page. Sending it again is harmless."""
    facts = clicks.PageFacts(json_data.url, json_data.owner_id, json_data.title, json_data.clicked_at)
    [answer] = current_app.extensions["presses"].record([Pressed(g.token, facts, is_counted())])
    if isinstance(answer, DomainError):
        raise answer
    click, is_new = answer
    body = ClickOut.model_validate(click).model_dump_json()
    return Response(body, 201 if is_new else 200, content_type="application/json")


@blueprint.get("/clicks")
@blueprint.auth_required(token_auth)
@blueprint.input(PeriodQuery, location="query")
@blueprint.output(MonthOut)
@blueprint.doc(responses=refusals(401, 422))
def get_clicks(query_data: PeriodQuery) -> clicks.Month:
    """A month's list, newest first."""
    return clicks.month(session(), g.reader, query_data.period or period_of(clock()), now=clock())


@blueprint.delete("/clicks/<int:page_id>")
@blueprint.auth_required(token_auth)
@blueprint.input(PeriodQuery, location="query")
@blueprint.doc(responses={204: {"description": "It is not on the list (any more)."}} | refusals(401, 404, 409, 422))
def delete_click(page_id: int, query_data: PeriodQuery) -> tuple[str, int]:
    """Undo, until the month ends."""
    clicks.undo(session(), g.reader, page_id, query_data.period or period_of(clock()), now=clock())
    session().commit()
    return "", 204


@blueprint.get("/pages")
@blueprint.auth_required(token_auth)
@blueprint.input(PageQuery, location="query")
@blueprint.output(PageOut)
@blueprint.doc(responses=refusals(401, 422))
def get_page(query_data: PageQuery) -> clicks.Answer:
    """Who would be paid for a page, and why."""
    return clicks.explain(session(), query_data.url, now=clock(), reader=g.reader, dev=config().dev)
