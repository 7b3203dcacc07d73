"""Card payments as any provider has them: what we ask of one, and what it says. No database here.

What a provider reports by itself is a hint that something changed, never what: that is read again from the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from backend.config import Config
from backend.errors import DomainError


class CardsOff(DomainError):
    """This Flattr takes no cards."""


class CardsAway(DomainError):
    """The card provider does not answer right now. Nothing was paid; please try again in a few minutes."""


class CardsRefused(DomainError):
    """The card provider refused, for good."""


class BadSignature(DomainError):
    """What claims to come from the card provider does not."""


@dataclass(frozen=True)
class Checkout:
    """The provider's page on which a payment is made: its id, and where it is."""

    id: str
    url: str


@dataclass(frozen=True)
class Taking:
    """A refund or dispute: what the provider took for it of what it held for us.

    Attributes:
        amount_micros: What is taken now; 0 once it came back.
        key: Whom we know it by; None for what we did not ask for.
        is_open: A dispute that is not decided yet.
    """

    id: str
    amount_micros: int
    key: str | None = None
    is_open: bool = False


@dataclass(frozen=True)
class Payment:
    """What the provider says of a payment now.

    Attributes:
        key: Whom we know it by.
        id: The provider's id; None before it is paid.
        state: ``open``, ``paid``, or ``expired`` without having been paid.
    """

    key: str
    id: str | None
    state: str
    amount_micros: int
    currency: str
    takings: tuple[Taking, ...] = ()


class Provider(Protocol):
    """Somebody who takes card payments for us. Every call may raise CardsAway; nothing is known then."""

    origin: str  # of its checkout pages

    def checkout(self, key: str, amount_micros: int, currency: str, back_url: str) -> Checkout:
        """Prepare a payment; the same *key* prepares it once. People return to *back_url*, paid or not."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> frozenset[str]:
        """The ids of the checkouts and payments that a message of the provider may be about.

        Raises:
            BadSignature: It is not from the provider, too old, or was changed on its way.
        """

    def payment(self, checkout_id: str) -> Payment:
        """What became of a checkout, with everything that was taken of it since."""

    def refund(self, payment_id: str, amount_micros: int, key: str) -> None:
        """Send money back to the card; the same *key* sends it once.

        Raises:
            CardsRefused: It cannot be done, now or later.
        """


@cache
def provider(config: Config) -> Provider | None:
    """The provider that the settings name; None where no cards are taken."""
    if not config.stripe_key:
        return None
    from backend.cards.stripe import Stripe  # a large package, which most commands do without

    return Stripe(config.stripe_key, config.stripe_webhook_secret, config.stripe_api)
