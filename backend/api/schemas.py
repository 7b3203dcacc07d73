"""The shapes of the API. What is not named here is refused on the way in and never leaves on the way out."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from backend.users import MAX_BUDGET_MICROS

PERIOD = r"^2[0-9]{3}-(0[1-9]|1[0-2])$"
State = Literal["counts", "promise"]
Rule = Literal["opted_out", "author", "claimed", "promise_account", "promise_host", "not_flattrable"]


def _whole(text: Any) -> Any:
    """Half an emoji, as JavaScript leaves it when it cuts a text, becomes a question mark."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


def _written(text: Any) -> Any:
    if not (isinstance(text, str) and text[4:5] == "-"):
        raise ValueError("write an instant like 2026-11-23T12:00:00Z")
    return text


def _sensible(instant: datetime) -> datetime:
    if not 2000 <= instant.year <= 2200:
        raise ValueError("a click is made in our time")
    return instant.astimezone(UTC)


Text = Annotated[str, BeforeValidator(_whole)]
Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_sensible)]
InstantOut = Annotated[datetime, PlainSerializer(lambda t: t.astimezone(UTC).isoformat().replace("+00:00", "Z"))]


EmptyMonth = Literal["keep", "repeat", "charity"]


class In(BaseModel):
    """A request: JSON types as they are, unknown fields refused."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """An answer, read off a domain object."""

    model_config = ConfigDict(from_attributes=True)


class PairingIn(In):
    """A browser that wants to be connected."""

    challenge: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_-]{43}|[0-9a-fA-F]{64})$")]
    device: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class PairingOut(Out):
    """What the browser shows."""

    pairing_id: str
    code: str
    connect_url: str
    expires_in: int


class VerifierIn(In):
    """The secret behind a pairing's challenge."""

    verifier: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TokenOut(Out):
    """A device token; it is not shown again."""

    token: str


class MeIn(In):
    """What a reader may change."""

    budget_micros: Annotated[int, Field(strict=True, ge=0, le=MAX_BUDGET_MICROS)] | None = None
    empty_month: EmptyMonth | None = None


class MeOut(Out):
    """The reader and the open month; `projected_share_micros` is as if the wallet held the budget."""

    email: str
    period: str
    ends_at: InstantOut
    currency: str
    budget_micros: int
    balance_micros: int
    pot_micros: int
    owners: int
    share_micros: int
    projected_share_micros: int
    empty_month: EmptyMonth
    empty_month_choices: list[EmptyMonth]
    charity: str | None
    repeat_owners: int


class OwnerOut(Out):
    """The person who is paid."""

    public_id: str
    name: str


class PageQuery(In):
    """Which page is asked about; `owner_id` is what its own tag says, a hint."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    owner_id: Annotated[str, StringConstraints(max_length=200)] | None = None


class PageOut(Out):
    """Who would be paid and why. `place`: the reader's own among the `promises`; both are 0 below three."""

    page: str | None
    site: str | None
    owner: OwnerOut | None
    rule: Rule
    state: State | None
    clicked: bool
    promises: int
    place: int
    shared: bool
    thanks: str | None


class ClickIn(In):
    """A press. `owner_id` is always sent: the page owner's identifier as the page's own tag states it, or null."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    owner_id: Annotated[Text, StringConstraints(max_length=200)] | None
    title: Annotated[Text, StringConstraints(max_length=2000)] | None = None
    clicked_at: Instant | None = None


class ClickOut(Out):
    """A click on the list, and whom it is for."""

    page_id: int
    url: str
    title: str | None
    period: str
    clicked_at: InstantOut
    site: str
    owner: OwnerOut | None
    rule: Rule
    state: State
    promised_in: str | None = None
    shared: bool
    thanks: str | None


class PeriodQuery(In):
    """Which month; the open one if not said."""

    period: Annotated[str, StringConstraints(pattern=PERIOD)] | None = None


class MonthOut(Out):
    """A reader's list of a month."""

    period: str
    state: Literal["open", "ended", "settled"]
    pot_micros: int
    owners: int
    share_micros: int
    clicks: list[ClickOut]
