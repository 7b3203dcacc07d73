"""Thousands of rows in one test: pytest takes longer to begin and end a test than most rows take."""

import functools
import inspect


def each(name, rows, called=str):
    """Run a test on each row, given as the argument of this name; all that fail are told, each with why."""

    def decorate(test):
        @functools.wraps(test)
        def on_all(**fixtures):
            failed = {}
            for row in rows:
                try:
                    test(**{name: row}, **fixtures)
                except AssertionError as error:
                    failed[called(row)] = error
                except BaseException as error:
                    error.add_note(f"on {called(row)}")
                    raise
            assert rows, "nothing was looked at"
            told = "\n".join(f"on {row}: {error}" for row, error in failed.items())
            assert not failed, f"{len(failed)} of {len(rows)} rows failed\n{told}"

        asked = inspect.signature(test)
        others = [parameter for parameter in asked.parameters.values() if parameter.name != name]
        on_all.__signature__ = asked.replace(parameters=others)
        return on_all

    return decorate
