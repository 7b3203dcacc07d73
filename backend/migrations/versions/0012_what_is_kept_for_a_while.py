"""When pages and promises of a month were forgotten"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for name in ("pages_gone_at", "promises_gone_at"):
        op.add_column("periods", sa.Column(name, UtcDateTime(timezone=True), nullable=True))
