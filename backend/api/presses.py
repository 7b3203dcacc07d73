"""Presses that come in together: tokens, clicks, limits and looks in one transaction."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy.orm import Session, sessionmaker

from backend import access, checks, clicks, limits
from backend.config import Config
from backend.errors import DomainError

MOST_A_DAY = 300
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
            self._limit(session, pressed, presses, answers, now)
            for press, answer in zip(presses, answers, strict=True):
                if not isinstance(answer, DomainError) and answer[1]:
                    checks.consider(session, answer[0], press.facts.owner_id, self.world, now=now)
        return answers

    def _limit(
        self,
        session: Session,
        pressed: list[Pressed],
        presses: list[clicks.Press],
        answers: list[Answer],
        now: datetime,
    ) -> None:
        """New clicks of readers who had enough for today are taken back."""
        keys = {
            at: f"clicks:{presses[at].reader_id}"
            for at, (one, answer) in enumerate(zip(pressed, answers, strict=True))
            if one.counted and not isinstance(answer, DomainError) and answer[1]
        }
        over = limits.use_each(session, Counter(keys.values()), MOST_A_DAY, _DAY, now=now)
        for at in [at for at, key in keys.items() if key in over]:
            click, _ = cast("clicks.Recorded", answers[at])
            clicks.take_back(session, presses[at].reader_id, click)
            answers[at] = limits.refusal(_DAY, now=now)
