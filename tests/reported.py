"""Tables that people read at the end of a test run, also when several processes share the tests."""

SECTIONS: dict[str, list[str]] = {}
"""Lines by title."""
