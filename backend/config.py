"""Settings, read once from the environment (docs/operating.md lists them), and the clock that every face reads."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backend.errors import InvalidRequest
from backend.money import MICROS, parse_amount

# Currencies whose smallest part is not a hundredth: providers count payments in it.
WITHOUT_CENTS = (
    "BHD BIF CLP DJF GNF IQD JOD JPY KMF KRW KWD LYD MGA OMR PYG RWF TND UGX VND VUV XAF XOF XPF ISK HUF TWD".split()
)


class BadSetting(InvalidRequest):
    """A setting in the environment cannot be used."""


@dataclass(frozen=True)
class Config:
    """One running Flattr. Faces take values from here and pass them on as arguments."""

    database_url: str
    instance: Path
    secret_key: str
    base_url: str = "http://127.0.0.1:8000"
    proxies: int = 0
    currency: str = "EUR"
    fee_bps: int = 0
    charity: str = ""
    bank_name: str = ""
    bank_iban: str = ""
    bank_bic: str = ""
    payout_min_micros: int = 10 * MICROS
    stripe_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_api: str = ""
    mail_url: str = ""
    dev: bool = False
    fixed_now: datetime | None = None

    def now(self) -> datetime:
        """The instant that all stored and compared dates go by; FLATTR_NOW lets it stand still."""
        return self.fixed_now or datetime.now(UTC)

    @property
    def secure(self) -> bool:
        """Whether people reach us over TLS, so that cookies may insist on it."""
        return self.base_url.startswith("https://")


def from_environment(env: Mapping[str, str] | None = None) -> Config:
    """Read the settings.

    Raises:
        BadSetting: A value is not usable; the message names the setting.
    """
    env = os.environ if env is None else env
    instance = Path(env.get("FLATTR_INSTANCE") or "instance").absolute()
    dev = env.get("FLATTR_DEV") == "1"
    if env.get("FLATTR_NOW") and not dev:
        raise BadSetting("FLATTR_NOW works only with FLATTR_DEV=1.")
    if dev and env.get("FLATTR_BASE_URL", "").startswith("https://"):
        raise BadSetting("FLATTR_DEV=1 is for this machine only: unset it, or unset the https FLATTR_BASE_URL.")
    _check_cards(env, dev=dev)
    return Config(
        database_url=_database_url(env.get("FLATTR_DATABASE_URL") or "", instance),
        instance=instance,
        secret_key=env.get("FLATTR_SECRET_KEY") or _kept_secret(instance / "secret_key"),
        base_url=(env.get("FLATTR_BASE_URL") or Config.base_url).rstrip("/"),
        proxies=_whole_number(env, "FLATTR_PROXIES", most=10),
        currency=env.get("FLATTR_CURRENCY") or Config.currency,
        fee_bps=_whole_number(env, "FLATTR_FEE_BPS", most=10_000),
        charity=env.get("FLATTR_CHARITY") or "",
        bank_name=env.get("FLATTR_BANK_NAME") or "",
        bank_iban=(env.get("FLATTR_BANK_IBAN") or "").replace(" ", ""),
        bank_bic=env.get("FLATTR_BANK_BIC") or "",
        payout_min_micros=_amount(env, "FLATTR_PAYOUT_MIN", Config.payout_min_micros),
        stripe_key=env.get("FLATTR_STRIPE_KEY") or "",
        stripe_webhook_secret=env.get("FLATTR_STRIPE_WEBHOOK_SECRET") or "",
        stripe_api=(env.get("FLATTR_STRIPE_API") or "").rstrip("/"),
        mail_url=env.get("FLATTR_MAIL_URL") or "",
        dev=dev,
        fixed_now=_instant(env["FLATTR_NOW"]) if env.get("FLATTR_NOW") else None,
    )


def _check_cards(env: Mapping[str, str], *, dev: bool) -> None:
    if env.get("FLATTR_STRIPE_API") and not dev:
        raise BadSetting("FLATTR_STRIPE_API works only with FLATTR_DEV=1.")
    if bool(env.get("FLATTR_STRIPE_KEY")) != bool(env.get("FLATTR_STRIPE_WEBHOOK_SECRET")):
        raise BadSetting("FLATTR_STRIPE_KEY and FLATTR_STRIPE_WEBHOOK_SECRET go together: set both, or neither.")
    if env.get("FLATTR_STRIPE_KEY") and env.get("FLATTR_CURRENCY", "") in WITHOUT_CENTS:
        raise BadSetting("FLATTR_STRIPE_KEY works only with a FLATTR_CURRENCY that has cents.")


def _database_url(url: str, instance: Path) -> str:
    """Relative SQLite paths are relative to the working directory; Flask-SQLAlchemy would nest them in `instance`."""
    if not url:
        return f"sqlite:///{instance / 'flattr.db'}"
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).absolute()}"
    if url.startswith(("postgres://", "postgresql://")):
        return "postgresql+psycopg://" + url.partition("://")[2]
    if url.startswith(("sqlite:////", "postgresql+psycopg://")):
        return url
    raise BadSetting("FLATTR_DATABASE_URL must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.")


def _kept_secret(file: Path) -> str:
    """The generated secret of this instance, the same for every process that starts at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file.with_suffix(f".{os.getpid()}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as draft:
            draft.write(secrets.token_urlsafe(48))
        os.link(file.with_suffix(f".{os.getpid()}"), file)
    except FileExistsError:
        pass  # another process was first: its secret counts
    finally:
        file.with_suffix(f".{os.getpid()}").unlink(missing_ok=True)
    return file.read_text()


def _whole_number(env: Mapping[str, str], name: str, *, most: int) -> int:
    text = env.get(name) or "0"
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise BadSetting(f"{name} must be a whole number from 0 to {most}, not {text!r}.")
    return int(text)


def _amount(env: Mapping[str, str], name: str, default: int) -> int:
    try:
        return parse_amount(env[name]) if env.get(name) else default
    except ValueError as error:
        raise BadSetting(f"{name} must be an amount like 10.00, not {env[name]!r}.") from error


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadSetting(f"FLATTR_NOW must be an ISO instant like 2026-11-23T12:00:00Z, not {text!r}.") from error
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
