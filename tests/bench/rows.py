"""The lines that `make bench` prints."""


def row(name, value, unit, against, ratio):
    """One line of the output: *ratio* is the value in units of the same measure of *against*."""
    return {"name": name, "value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 3)}
