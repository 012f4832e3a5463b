"""A list of things to try, each by its name: `ok NAME` or `not ok NAME: why`."""

import os
import sys
import traceback
import uuid

URL = os.environ["AMQP_URL"]


def unique(word):
    """A name that nobody else uses on this broker."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


class Checks:
    def __init__(self, family):
        self.family = family
        self.checks = []

    def check(self, function):
        """Registers a function; its name is the check's."""
        self.checks.append(function)
        return function

    def run(self):
        """Runs them all and ends the program, with 1 if one failed."""
        failed = 0
        for function in self.checks:
            name = f"{self.family} {function.__name__}"
            try:
                function()
                print(f"ok {name}", flush=True)
            except Exception as error:
                failed += 1
                traceback.print_exc()
                why = str(error).splitlines() or [""]
                print(f"not ok {name}: {type(error).__name__} {why[0]}", flush=True)
        sys.exit(1 if failed else 0)


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} is not {expected!r}")
