"""Mail: by SMTP where FLATTR_MAIL_URL says so, else as files in the outbox, which dev mode also prints."""

import smtplib
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import SplitResult, unquote, urlsplit

from backend.config import Config

TIMEOUT_SECONDS = 10
_UNFOLDED = policy.default.clone(max_line_length=900)  # a link in a header that is folded is none (RFC 8058)


def send(config: Config, to: str, subject: str, text: str, headers: Mapping[str, str] | None = None) -> None:
    """Send one mail the way this installation sends it.

    Raises:
        OSError: The mail server could not be reached or refused (smtplib's errors are OSErrors).
    """
    host = urlsplit(config.base_url).hostname or "localhost"
    message = EmailMessage(_UNFOLDED)
    message["To"], message["Subject"], message["From"] = to, subject, f"flattr@{host}"
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=host)
    for name, value in (headers or {}).items():
        message[name] = value
    message.set_content(text)
    if config.mail_url:
        url = urlsplit(config.mail_url)
        with connection(url) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    else:
        outbox = config.instance / "outbox"
        outbox.mkdir(parents=True, exist_ok=True)
        (outbox / f"{time.time_ns()}.eml").write_bytes(message.as_bytes())
    if config.dev:
        print(f"\n--- mail to {to}: {subject}\n{text}\n---", file=sys.stderr, flush=True)


@contextmanager
def connection(url: SplitResult) -> Iterator[smtplib.SMTP]:
    """The server at ``smtp://user:password@host:587`` (STARTTLS where it offers that) or ``smtps://host:465``."""
    host, context = url.hostname or "", ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(host, url.port or 465, timeout=TIMEOUT_SECONDS, context=context)
        if url.scheme == "smtps"
        else smtplib.SMTP(host, url.port or 25, timeout=TIMEOUT_SECONDS)
    ) as server:
        server.ehlo()
        if url.scheme != "smtps" and server.has_extn("starttls"):
            server.starttls(context=context)
        yield server
