"""Presses by the million: a well-formed one is answered without the detour through the framework and a thread.

Anything else, and any press that is refused, takes the usual way and is answered there: a press sent twice counts once,
so being looked at twice changes nothing. What the answer says is the same either way.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from apiflask import APIFlask
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from werkzeug.middleware.proxy_fix import ProxyFix

from backend import clicks
from backend.api.presses import Answer, Pressed
from backend.api.schemas import ClickIn, ClickOut
from backend.api.together import Together
from backend.context import is_counted_for
from backend.errors import DomainError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PATH = "/api/v1/clicks"


class Quick:
    """The ASGI application in front of the WSGI one, whose requests each take one of some threads."""

    def __init__(self, app: APIFlask, headers: dict[str, str], *, threads: int) -> None:
        self._settings, self._most = app.config["FLATTR"], app.config["MAX_CONTENT_LENGTH"]
        self._usual = WSGIMiddleware(_with_errors(app.wsgi_app), workers=threads)
        self._record: Together[Pressed, Answer] = Together(app.extensions["presses"].record)
        cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **headers, **cors}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        proxies = self._settings.proxies
        self._proxies = ProxyFix(lambda *_: [], x_for=proxies, x_proto=proxies) if proxies else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        read: list[bytes] = []
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            headers = dict(scope["headers"])
            size = headers.get(b"content-length", b"")
            if len(headers) == len(scope["headers"]) and size.isdigit() and int(size) <= self._most:
                read.append(await _read(receive))
                answer = await self._press(scope, headers, read[0])
                if answer and not isinstance(answer, DomainError):
                    await self._answer(answer, scope, headers, send)
                    return
        await self._usual(cast("Any", scope), cast("Any", _after(read, receive)), cast("Any", send))

    async def _press(self, scope: Message, headers: dict[bytes, bytes], body: bytes) -> Answer | None:
        """What a press came to; None if it is not well-formed, or the database failed."""
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        if kind != b"Bearer" or headers.get(b"content-type") != b"application/json":
            return None
        try:
            said = ClickIn.model_validate_json(body)
        except ValidationError:
            return None
        facts = clicks.PageFacts(said.url, said.owner_id, said.title, said.clicked_at)
        address = self._seen(scope, headers)["REMOTE_ADDR"]
        try:
            return await self._record(Pressed(token.decode("latin-1"), facts, is_counted_for(self._settings, address)))
        except DBAPIError:
            return None  # once more, and if that fails, too, it is said there

    def _seen(self, scope: Message, headers: dict[bytes, bytes]) -> dict[str, Any]:
        """Where a request comes from and how, as far as proxies are believed."""
        environ = {"REMOTE_ADDR": (scope.get("client") or ("",))[0], "wsgi.url_scheme": scope["scheme"]}
        if self._proxies:
            for name in (b"x-forwarded-for", b"x-forwarded-proto"):
                environ[f"HTTP_{name.decode().upper().replace('-', '_')}"] = headers.get(name, b"").decode("latin-1")
            self._proxies(environ, cast("Any", None))
        return environ

    async def _answer(self, recorded: clicks.Recorded, scope: Message, headers: dict[bytes, bytes], send: Send) -> None:
        click, is_new = recorded
        body = ClickOut.model_validate(click).model_dump_json().encode()
        said = [*self._headers, (b"content-length", str(len(body)).encode())]
        if self._seen(scope, headers)["wsgi.url_scheme"] == "https":
            said.append((b"strict-transport-security", b"max-age=31536000"))
        await send({"type": "http.response.start", "status": 201 if is_new else 200, "headers": said})
        await send({"type": "http.response.body", "body": body})


def _with_errors(wsgi: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """What goes wrong is said where the server says it."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return wsgi(environ | {"wsgi.errors": sys.stderr}, start_response)

    return application


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _after(read: list[bytes], receive: Receive) -> Receive:
    """Receives a body that was read before, then what the client says; a coroutine, as the server's own is not."""

    async def after() -> Message:
        return {"type": "http.request", "body": read.pop(), "more_body": False} if read else await receive()

    return after
