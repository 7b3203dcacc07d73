"""The application. A press travels like this:

`extension/` posts it to `api.clicks`, `clicks.record` puts it on the reader's monthly click list, `claims.owner_of`
says whom it is for, and when the month has ended `settlement.settle` splits the reader's pot with `ledger.even_share`
and posts the transfers that `statements` and `audit` read.
"""

import gc
import sys
from typing import Any

from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Flask, Request, Response, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from backend import api, jobs, web
from backend.config import Config, from_environment
from backend.context import session
from backend.db import begin_writing, db, ensure_current
from backend.errors import DomainError

MAX_BODY = 64 * 1024
POOL = 16  # as many as there are threads for requests in each process
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class PageSessions(SecureCookieSessionInterface):
    """Form tokens need a cookie; programs have no use for any (RULES 5.2)."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """As Flask's own, for pages."""
        return None if request.path.startswith(("/api/", "/webhooks/")) else super().open_session(app, request)


def create_app(config: Config | None = None) -> APIFlask:
    """The WSGI application; `flask --app backend.app run` and `flattr serve` start here."""
    config = config or from_environment()
    app = APIFlask(
        __name__, title="Flattr", version="1", docs_path=None, spec_path=None, instance_path=str(config.instance)
    )
    app.config.update(
        FLATTR=config,
        SECRET_KEY=config.secret_key,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS={"pool_size": POOL, "max_overflow": 4, "pool_pre_ping": True},
        MAX_CONTENT_LENGTH=MAX_BODY,
        SESSION_COOKIE_NAME="__Host-form" if config.secure else "form",
        SESSION_COOKIE_SECURE=config.secure,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
    )
    app.session_interface = PageSessions()
    db.init_app(app)
    with app.app_context():
        ensure_current(db.engine)
    _add_faces(app)
    if config.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=config.proxies, x_proto=config.proxies)  # type: ignore[method-assign]
    return app


def create_served_app() -> api.Quick:
    """The ASGI application in a process of `flattr serve`, which ends when that command does, however it dies."""
    jobs.end_with_parent()
    # The thread that commits for all others waits for the database a dozen times, and after each for its turn to run.
    sys.setswitchinterval(0.001)
    app = api.Quick(create_app(), SECURITY_HEADERS, threads=POOL)
    gc.collect()
    gc.freeze()  # what is there now stays: collections need not look at it again and again
    return app


def _add_faces(app: APIFlask) -> None:
    app.before_request(lambda: web.allow_statements(request))  # before the form's token is read
    csrf = CSRFProtect(app)
    csrf.exempt(api.blueprint)
    csrf.exempt(web.hooks)
    csrf.exempt(web.settings.no_mails)
    CORS(
        app,
        resources={r"/api/.*": {"origins": "*"}},
        methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After"],
        send_wildcard=True,
        max_age=600,
    )
    api.init_app(app)
    web.init_app(app)
    app.error_processor(_answer_http_error)
    app.register_error_handler(DomainError, _answer_refusal)
    app.before_request(_begin)
    app.after_request(_add_headers)


def _begin() -> None:
    """Requests that may write begin as writers, before they read anything."""
    if request.endpoint not in (None, api.PRESS, web.HOOK) and request.method not in ("GET", "HEAD", "OPTIONS"):
        begin_writing(session())


def _answer_http_error(error: HTTPError) -> Any:
    return api.errors.of_http_error(error) if _wants_json() else web.errors.of_http_error(error)


def _answer_refusal(refusal: DomainError) -> ResponseReturnValue:
    session().rollback()
    return (
        api.errors.of_refusal(refusal)
        if _wants_json()
        else web.errors.of_refusal(refusal, api.errors.status_of(refusal))
    )


def _wants_json() -> bool:
    return request.path.startswith("/api/")


def _add_headers(response: Response) -> Response:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    if leads_to := g.get("form_leads_to"):  # browsers look at where a form is redirected to, too
        policy = policy.replace("form-action", f"form-action {leads_to}")
    if g.get("runs_script"):
        policy += "; script-src 'self'; connect-src 'self'"
    response.headers["Content-Security-Policy"] = policy
    response.headers.extend({k: v for k, v in SECURITY_HEADERS.items() if k not in response.headers})
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
