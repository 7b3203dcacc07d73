"""Refusals as application/problem+json (RFC 9457)."""

from typing import Any

from apiflask.exceptions import HTTPError
from flask import Response, json

from backend.errors import DomainError, RateLimited

_REFUSED = {
    400: "bad_signature",
    401: "unauthorized",
    403: "not_an_operator one_operator opted_out own_site",
    404: "cards_off no_such_batch no_such_claim no_such_entry no_such_payout no_such_user not_found",
    409: "another_run audit_failed batch_changed batch_over card_mismatch cards_refused deposit_conflict earlier_open "
    "no_account no_bank not_approved not_from_cards not_over not_reversible not_settled_yet not_unmatched "
    "nothing_to_refund period_ended promise_kept site_taken transfer_conflict wrong_digest",
    410: "link_spent pairing_over",
    422: "bad_address bad_card_amount bad_deposit bad_iban bad_statement budget_out_of_range invalid_request "
    "not_flattrable",
    428: "pairing_pending",
    429: "rate_limited",
    500: "backup_failed bad_setting",
    502: "fetch_failed",
    503: "cards_away interrupted not_upgraded",
}
STATUS = {code: status for status, codes in _REFUSED.items() for code in codes.split()}
_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    500: "internal_error",
}
PROBLEM = "application/problem+json"
PROBLEM_SCHEMA: dict[str, object] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {"type": "object"},
    },
}


def refusals(*statuses: int) -> Any:
    """How a route's refusals stand in the API's description."""
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Refused: see `code`.", "content": content} for status in statuses}


def problem(status: int, title: str, code: str, detail: str, found: Any = None) -> Response:
    """One refusal."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    return Response(json.dumps(body | ({"errors": found} if found else {})), status, content_type=PROBLEM)


def status_of(refusal: DomainError) -> int:
    """The HTTP status of a refusal."""
    return STATUS.get(type(refusal).code, 400)


def of_refusal(refusal: DomainError) -> Response:
    """The answer to a `DomainError`."""
    status = status_of(refusal)
    response = problem(status, "Refused", refusal.code, str(refusal))
    if isinstance(refusal, RateLimited):
        response.headers["Retry-After"] = str(refusal.retry_after)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def of_http_error(error: HTTPError) -> Response:
    """The answer to what Flask and APIFlask refuse by themselves: bad JSON, unknown fields, unknown paths."""
    code = _CODES.get(error.status_code, "invalid_request")
    response = problem(error.status_code, error.message or "", code, _sentence(error), error.detail or None)
    response.headers.extend(error.headers or {})
    return response


def _sentence(error: HTTPError) -> str:
    found = error.detail.get("json") or error.detail.get("query") if isinstance(error.detail, dict) else None
    return "; ".join(f"{name}: {', '.join(said)}" for name, said in found.items()) if found else error.message or ""
