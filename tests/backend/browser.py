"""A reader's browser as the backend sees it: the token of its extension, and the forms that its person fills in."""

import email
import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from justhtml import JustHTML

from backend import access
from backend.app import create_app
from backend.db import db
from tests.backend.town import NOW

PROBLEM = "application/problem+json"


class Device:
    """The extension of a browser: it sends its token with everything."""

    def __init__(self, app, token):
        self.client, self.token = app.test_client(), token

    def ask(self, method, path, **request):
        headers = {"Authorization": f"Bearer {self.token}"} | request.pop("headers", {})
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **request)

    def get(self, path, **request):
        return self.ask("GET", path, **request)

    def post(self, path, body, **request):
        return self.ask("POST", path, json=body, **request)

    def patch(self, path, body, **request):
        return self.ask("PATCH", path, json=body, **request)

    def delete(self, path, **request):
        return self.ask("DELETE", path, **request)

    def press(self, url, owner_id=None, **facts):
        """The toolbar button was pressed."""
        return self.post("/clicks", {"url": url, "owner_id": owner_id} | facts)


class Page:
    """An answer with HTML, read as a person reads it."""

    def __init__(self, answer):
        self.answer, self.status, self.headers = answer, answer.status_code, answer.headers
        self.html = answer.get_data(as_text=True)
        self.tree = JustHTML(self.html, sanitize=False)

    @property
    def text(self):
        body = self.tree.query("body")
        return " ".join(body[0].to_text().replace("\N{NO-BREAK SPACE}", " ").split()) if body else ""

    @property
    def heading(self):
        return self.tree.query("h1")[0].to_text()

    @property
    def buttons(self):
        return [_name(button) for button in self.tree.query("button")]

    @property
    def links(self):
        """Where links lead, by what they say."""
        return {link.to_text().strip(): link.attrs.get("href") for link in self.tree.query("a")}

    def field(self, name):
        return self.tree.query(f"input[name={name}]")[0].attrs

    def form(self, button):
        """The form with a button of this name, and what it sends when nothing is typed."""
        for form in self.tree.query("form"):
            for pressed in form.query("button"):
                if _name(pressed) == button:
                    sent = {field.attrs["name"]: field.attrs.get("value") or "" for field in form.query("input")}
                    if "name" in pressed.attrs:
                        sent[pressed.attrs["name"]] = pressed.attrs["value"]
                    return form.attrs["action"], sent
        raise AssertionError(f"no button {button!r} among {self.buttons}")


def _name(button):
    return button.attrs.get("aria-label") or button.to_text().strip()


class Visitor:
    """A person with a browser. `page` is what it shows."""

    def __init__(self, app, base_url="http://localhost"):
        self.client, self.config, self.base_url = app.test_client(), app.config["FLATTR"], base_url
        self.page = None

    def visit(self, path):
        self.page = Page(self.client.get(path, base_url=self.base_url))
        return self.page

    def press(self, button, **typed):
        """Press a button of the page that is shown, with this typed into its form; redirects are followed."""
        action, sent = self.page.form(button)
        return self.send(action, sent | typed)

    def send(self, path, form):
        self.page = Page(self.client.post(path, data=form, base_url=self.base_url, follow_redirects=True))
        return self.page

    def follow_mail(self, address, next_path="/month"):
        """Ask for a sign-in link and open it; the button is not pressed yet."""
        self.visit(f"/sign-in?next={next_path}")
        self.press("Send the link", email=address)
        assert self.page.status == 200, self.page.text
        return self.visit(link_to(self.config, address.lower()))

    def sign_in(self, address, next_path="/month"):
        self.follow_mail(address, next_path)
        return self.press("Sign in")


def device_of(app, town, name, label="Firefox"):
    """A connected browser of somebody in town."""
    with town.sessions.begin() as session:
        token, _ = access.new_device(session, town.people[name], label, now=town.now)
    return Device(app, token)


def mails(config):
    """All mails that were written to the outbox, oldest first."""
    files = sorted((config.instance / "outbox").glob("*.eml"), key=lambda file: int(file.stem))
    return [email.message_from_bytes(file.read_bytes()) for file in files]


def link_to(config, address):
    """The path of the newest sign-in link that was mailed to an address."""
    text = [mail.get_payload() for mail in mails(config) if mail["To"] == address][-1]
    link = next(word for word in text.split() if "/sign-in/" in word)
    return link.removeprefix(config.base_url)


@contextmanager
def on(config, day, hour=12):
    """The same installation on another day: ``"2026-11-02"``."""
    moved = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC) if isinstance(day, str) else day
    with running(replace(config, fixed_now=moved)) as app:
        yield app


@contextmanager
def running(config):
    """An application of its own, with settings of its own."""
    app = create_app(config)
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


def refusal(answer):
    """Status and code of an answer that must be a documented problem; the rest of it is looked at here."""
    assert answer.content_type == PROBLEM, (answer.status, answer.content_type, answer.get_data(as_text=True)[:300])
    body = json.loads(answer.get_data())
    assert set(body) - {"errors"} == {"type", "title", "status", "code", "detail"}
    assert body["status"] == answer.status_code
    assert body["detail"]
    return answer.status_code, body["code"]


__all__ = ["NOW", "Device", "Page", "Visitor", "device_of", "link_to", "mails", "on", "refusal", "running"]
