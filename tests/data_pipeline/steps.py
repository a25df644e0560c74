"""Counts what a function does, to show that ten times the input is ten times the work."""

import sys


def count(function, *arguments):
    """How many lines and calls Python goes through: an operation count that no other load on the machine changes."""
    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        steps += 1
        return trace

    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(None)
    return steps
