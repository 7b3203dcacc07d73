"""Pressing, undoing and listing."""

from datetime import timedelta

from flask import g

from backend import checks, clicks
from backend.api.base import blueprint, token_auth
from backend.api.errors import refusals
from backend.api.schemas import ClickIn, ClickOut, MonthOut, PageOut, PageQuery, PeriodQuery
from backend.context import clock, config, limit, session, world
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
def post_click(json_data: ClickIn) -> tuple[ClickOut, int]:
    """Flattr a page. Sending it again is harmless."""
    facts = clicks.PageFacts(json_data.url, json_data.owner_id, json_data.title, json_data.clicked_at)
    click, is_new = clicks.record(session(), g.reader, facts, now=clock(), dev=config().dev)
    if is_new:
        limit(f"clicks:{g.reader.id}", 300, timedelta(days=1))
        checks.consider(session(), click, facts.owner_id, world(), now=clock())
    session().commit()
    return ClickOut.model_validate(click), 201 if is_new else 200


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
