"""Mail: by a real server, or into the outbox."""

import email
import email.policy
import socket
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult

from backend import mail
from backend.config import Config
from tests.backend.hostile import server


class Inbox(Message):
    """What a mail server got."""

    def __init__(self):
        super().__init__()
        self.got = []

    def handle_message(self, message):
        self.got.append(message)


class Refusing:
    async def handle_RCPT(self, *_):  # noqa: N802 -- aiosmtpd's name
        return "550 no such user"


def started(handler, **options):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    return controller


def config(tmp_path, mail_url="", **more):
    settings = {"base_url": "https://flattr.example.org"} | more
    return Config("sqlite://", Path(tmp_path), "secret", mail_url=mail_url, **settings)


def outbox(tmp_path):
    files = sorted((tmp_path / "outbox").glob("*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]


def test_a_mail_goes_to_the_server_that_the_operator_named(tmp_path):
    inbox = Inbox()
    controller = started(inbox)
    try:
        mail.send(
            config(tmp_path, f"smtp://127.0.0.1:{controller.port}"),
            "ann@example.org",
            "Gr\u00fc\u00dfe",
            "Hello \u20ac\n",
        )
    finally:
        controller.stop()

    [message] = inbox.got
    assert (message["To"], message["From"]) == ("ann@example.org", "flattr@flattr.example.org")
    assert str(email.header.make_header(email.header.decode_header(message["Subject"]))) == "Gr\u00fc\u00dfe"
    assert message.get_payload(decode=True).decode().split() == ["Hello", "\u20ac"]
    assert message["Message-ID"].endswith("@flattr.example.org>")
    assert message["Date"]
    assert outbox(tmp_path) == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_server_may_want_a_password(tmp_path):
    inbox, seen = Inbox(), []

    def check(_server, _session, _envelope, _mechanism, data):
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:word", handled=False)

    controller = started(inbox, authenticator=check, auth_require_tls=False, auth_required=True)
    try:
        url = f"smtp://ann%40example.org:{{}}@127.0.0.1:{controller.port}"
        mail.send(config(tmp_path, url.format("p%40ss%3Aword")), "bea@example.org", "Hi", "Hello")
        with pytest.raises(OSError, match="Authentication"):
            mail.send(config(tmp_path, url.format("wrong")), "bea@example.org", "Hi", "Hello")
    finally:
        controller.stop()
    assert seen[0] == (b"ann@example.org", b"p@ss:word")
    assert len(inbox.got) == 1


def test_a_server_that_refuses_is_an_error_that_is_tried_again(tmp_path):
    controller = started(Refusing())
    try:
        with pytest.raises(OSError, match="no such user"):
            mail.send(config(tmp_path, f"smtp://127.0.0.1:{controller.port}"), "ann@example.org", "Hi", "Hello")
    finally:
        controller.stop()


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"421 too busy\r\n", b"\xff\xfe\x00"])
def test_a_server_that_is_no_mail_server_is_an_error(tmp_path, greeting):
    with server(greeting, speaks_first=True) as other, pytest.raises(OSError):
        mail.send(config(tmp_path, f"smtp://127.0.0.1:{other.port}"), "ann@example.org", "Hi", "Hello")


def test_a_server_that_never_answers_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.2)
    with server(lambda _: silent.over.wait(3), speaks_first=True) as silent, pytest.raises(OSError, match="timed out"):
        mail.send(config(tmp_path, f"smtp://127.0.0.1:{silent.port}"), "ann@example.org", "Hi", "Hello")


def test_where_no_server_listens_is_an_error(tmp_path):
    with server(b"") as gone:
        pass
    with pytest.raises(ConnectionRefusedError):
        mail.send(config(tmp_path, f"smtp://127.0.0.1:{gone.port}"), "ann@example.org", "Hi", "Hello")


def test_without_a_server_mail_waits_in_the_outbox(tmp_path, capsys):
    for subject in ("One", "Two"):
        mail.send(config(tmp_path), "ann@example.org", subject, "Hello")

    assert [(message["To"], message["Subject"]) for message in outbox(tmp_path)] == [
        ("ann@example.org", "One"),
        ("ann@example.org", "Two"),
    ]
    assert outbox(tmp_path)[0].get_content() == "Hello\n"
    assert capsys.readouterr().err == ""


def test_dev_mode_shows_mail_where_the_operator_looks(tmp_path, capsys):
    mail.send(config(tmp_path, dev=True, base_url="http://127.0.0.1:8000"), "ann@example.org", "Hi", "Your link: x")
    shown = capsys.readouterr()
    assert "mail to ann@example.org: Hi\nYour link: x" in shown.err
    assert shown.out == ""


def test_somebody_with_an_umlaut_gets_mail_too(tmp_path):
    mail.send(config(tmp_path), "j\u00f6rg@b\u00fccher.example.org", "Hi", "Hello")
    assert len(outbox(tmp_path)) == 1


@pytest.mark.parametrize("field", ["to", "subject"])
def test_nobody_adds_a_header(tmp_path, field):
    values = {"to": "ann@example.org", "subject": "Hi"} | {field: "x\r\nBcc: everybody@example.org"}
    with pytest.raises(ValueError):
        mail.send(config(tmp_path), values["to"], values["subject"], "Hello")
    assert outbox(tmp_path) == []
