"""The operator's desk: what is going on, what waits, and the buttons for it. To everybody else it is not there."""

from backend.web.desk import claims, deposits, home, payouts, upkeep

__all__ = ["claims", "deposits", "home", "payouts", "upkeep"]
