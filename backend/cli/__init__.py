"""The `flattr` command: what operators do, and how the server and the worker start."""

# These add their commands.
from backend.cli import books, cards, claims, deposits, months, payouts, people, serving, upkeep  # noqa: F401
from backend.cli.desk import flattr, main, open_desk
from backend.cli.serving import is_free, job_handlers

__all__ = ["flattr", "is_free", "job_handlers", "main", "open_desk"]
