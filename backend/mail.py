"""Mail: by SMTP where FLATTR_MAIL_URL says so, else as files in the outbox, which dev mode also prints."""

import smtplib
import ssl
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from backend.config import Config

TIMEOUT_SECONDS = 10


def send(config: Config, to: str, subject: str, text: str) -> None:
    """Send one mail the way this installation sends it.

    Raises:
        OSError: The mail server could not be reached or refused (smtplib's errors are OSErrors).
    """
    host = urlsplit(config.base_url).hostname or "localhost"
    message = EmailMessage()
    message["To"], message["Subject"], message["From"] = to, subject, f"flattr@{host}"
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=host)
    message.set_content(text)
    if config.mail_url:
        _send_by_smtp(message, config.mail_url)
    else:
        outbox = config.instance / "outbox"
        outbox.mkdir(parents=True, exist_ok=True)
        (outbox / f"{time.time_ns()}.eml").write_bytes(message.as_bytes())
    if config.dev:
        print(f"\n--- mail to {to}: {subject}\n{text}\n---", file=sys.stderr, flush=True)


def _send_by_smtp(message: EmailMessage, mail_url: str) -> None:
    """``smtp://user:password@host:587`` (STARTTLS where the server offers it) or ``smtps://host:465``."""
    url = urlsplit(mail_url)
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            url.hostname or "", url.port or 465, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(url.hostname or "", url.port or 25, timeout=TIMEOUT_SECONDS)
    with server:
        server.ehlo()
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.send_message(message)
