"""Finds the reference of a reader (ISO 11649, `users.deposit_reference`) in what people and banks make of it.

Spaces, line breaks, dashes and case do not matter. O, I and L are read as 0 and 1, which the alphabet of public ids is
made for. Whatever the check digits do not fit is no reference: a slip of one letter never names somebody else.
"""

import re
from collections.abc import Iterable

from backend.bank.camt import squeezed
from backend.users import ALPHABET, deposit_reference

_FORM = re.compile(r"(?=RF([0-9OIL]{2}[A-Z0-9]{12}))")  # ahead, so that those which overlap are all seen
_MISREAD = str.maketrans("OIL", "011")


def public_ids(texts: Iterable[str]) -> tuple[set[str], bool]:
    """The public ids that the texts refer to, and whether any looks like a reference but is mistyped.

    Each text is searched by itself: what one ends with and another begins with is no reference.
    """
    found: set[str] = set()
    mistyped = False
    for text in texts:
        for match in _FORM.finditer(squeezed(text)):
            said = match[1].translate(_MISREAD)
            public_id = said[2:].lower()
            if set(public_id) <= set(ALPHABET) and deposit_reference(public_id) == f"RF{said}":
                found.add(public_id)
            else:
                mistyped = True
    return found, mistyped
