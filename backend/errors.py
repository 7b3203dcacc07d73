"""The refusals of the domain: each class has a public code; the faces decide how a code is shown."""

import re


class DomainError(Exception):
    """Something the rules refuse. The message is one sentence that a person can act on.

    Its public `code` is the class's name, ``OwnSite`` is ``own_site``, where the class does not say another.
    """

    code = "refused"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = vars(cls).get("code") or re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, message: str | None = None) -> None:
        """Use *message*, or the first line of the class's docstring."""
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


class InvalidRequest(DomainError):
    """The request is not of the documented form."""


class NotFound(DomainError):
    """There is nothing here."""


class NotFlattrable(DomainError):
    """This address cannot be flattred."""


class OptedOut(DomainError):
    """This site asked not to be part of Flattr."""


class OwnSite(DomainError):
    """This is your own site: nobody flattrs themselves."""


class PeriodEnded(DomainError):
    """That month has ended; its list stays as it is."""


class RateLimited(DomainError):
    """That was too often; please wait a little.

    Args:
        retry_after: Seconds until the next try may succeed.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"That was too often. Please try again in {-(-retry_after // 60)} minutes.")
        self.retry_after = retry_after


class AnotherRun(DomainError):
    """Another run of the same command is at work; it will finish the job."""
