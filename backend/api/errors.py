"""Refusals as application/problem+json (RFC 9457)."""

from typing import Any

from apiflask.exceptions import HTTPError
from flask import Response, json

from backend import (
    access,
    audit,
    backup,
    card_payments,
    cards,
    claims,
    clicks,
    deposits,
    errors,
    ledger,
    settlement,
    users,
)
from backend.bank.camt import BadStatement
from backend.config import BadSetting
from backend.db import NotUpgraded
from backend.deposits.entries import NoSuchEntry, NotUnmatched
from backend.deposits.reversals import NotReversible
from backend.errors import DomainError
from backend.fetch import FetchFailed
from backend.payouts import batches, details, refunds, returned

STATUS: dict[type[DomainError], int] = {
    errors.InvalidRequest: 422,
    errors.NotFound: 404,
    errors.NotFlattrable: 422,
    errors.OptedOut: 403,
    errors.OwnSite: 403,
    errors.PeriodEnded: 409,
    errors.RateLimited: 429,
    errors.AnotherRun: 409,
    access.LinkSpent: 410,
    access.Unauthorized: 401,
    access.PairingPending: 428,
    access.PairingOver: 410,
    audit.AuditFailed: 409,
    backup.BackupFailed: 500,
    card_payments.BadCardAmount: 422,
    card_payments.NothingToRefund: 409,
    card_payments.CardMismatch: 409,
    cards.BadSignature: 400,
    cards.CardsAway: 503,
    cards.CardsOff: 404,
    cards.CardsRefused: 409,
    claims.NoSuchClaim: 404,
    claims.SiteTaken: 409,
    clicks.NotSettledYet: 409,
    clicks.PromiseKept: 409,
    deposits.BadDeposit: 422,
    deposits.DepositConflict: 409,
    ledger.TransferConflict: 409,
    details.BadIban: 422,
    batches.BatchChanged: 409,
    batches.BatchOver: 409,
    refunds.NoAccount: 409,
    batches.NoBank: 409,
    batches.NoSuchBatch: 404,
    returned.NoSuchPayout: 404,
    batches.NotAnOperator: 403,
    batches.NotApproved: 409,
    refunds.NothingToRefund: 409,
    batches.OneOperator: 403,
    batches.WrongDigest: 409,
    settlement.NotOver: 409,
    settlement.EarlierOpen: 409,
    settlement.Interrupted: 503,
    users.BadAddress: 422,
    users.BudgetOutOfRange: 422,
    users.NoSuchUser: 404,
    BadSetting: 500,
    BadStatement: 422,
    FetchFailed: 502,
    NoSuchEntry: 404,
    NotReversible: 409,
    NotUnmatched: 409,
    NotUpgraded: 503,
}
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
    return next((STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS), 400)


def of_refusal(refusal: DomainError) -> Response:
    """The answer to a `DomainError`."""
    status = status_of(refusal)
    response = problem(status, "Refused", refusal.code, str(refusal))
    if isinstance(refusal, errors.RateLimited):
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
