"""Presses that come in together: tokens, clicks, limits and looks in one transaction."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session, sessionmaker

from backend import access, checks, clicks, limits
from backend.config import Config
from backend.errors import DomainError

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pressed:
    """A press as it comes in: whose it is says the token, which is looked up with all others."""

    token: str
    facts: clicks.PageFacts
    counted: bool


Answer = clicks.Recorded | DomainError


class Presses:
    """Records what was pressed at the same moment in one transaction (`Together`)."""

    def __init__(self, sessions: sessionmaker[Session], settings: Config) -> None:
        self.sessions, self.config = sessions, settings
        self.world = checks.World(settings.base_url, settings.dev, settings.secret_key)

    def record(self, pressed: list[Pressed]) -> list[Answer]:
        """What each press came to, once all are on disk."""
        now = self.config.now()
        with self.sessions.begin() as session:
            readers = access.readers_of(session, {one.token for one in pressed}, now=now)
            presses = [clicks.Press(readers.get(one.token, 0), one.facts) for one in pressed]
            known = [press for press in presses if press.reader_id]
            recorded = iter(clicks.record_batch(session, known, now=now, dev=self.config.dev))
            answers: list[Answer] = [next(recorded) if press.reader_id else access.Unauthorized() for press in presses]
            new = {at: told[0] for at, told in enumerate(answers) if not isinstance(told, DomainError) and told[1]}
            keys = {at: f"clicks:{presses[at].reader_id}" for at in new if pressed[at].counted}
            over = limits.use_each(session, Counter(keys.values()), clicks.MOST_A_DAY, _DAY, now=now)
            for at, click in new.items():
                if keys.get(at) in over:  # enough for today
                    clicks.take_back(session, presses[at].reader_id, click)
                    answers[at] = limits.refusal(_DAY, now=now)
                else:
                    checks.consider(session, click, pressed[at].facts.owner_id, self.world, now=now)
        return answers
