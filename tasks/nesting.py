"""How deep a YAML text may be nested. libyaml's composer has no limit: at some ten thousand levels the process dies."""

from collections.abc import Iterator

import yaml

DEEPEST = 50
"""Groups within groups; what people write has five."""


class TooDeep(ValueError):
    """A text is nested deeper than ``DEEPEST``."""


def shallow_events(text: str, loader: type[yaml.CSafeLoader]) -> Iterator[yaml.Event]:
    """The parser's events of a text, from which nothing is built yet.

    Raises:
        TooDeep: names the line.
        yaml.YAMLError: it is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else "?"
            raise TooDeep(f"line {line} is nested too deep")
        yield event
