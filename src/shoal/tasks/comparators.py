"""The hook by which a task gets a comparator of its own: a function, registered under a name that
the task's contract states.

>>> from msgspec.structs import replace
>>> from shoal.chat import Answer
>>> from shoal.tasks import TextContract, same
>>> register("same length", lambda a, b: len(a.text) == len(b.text))
>>> haiku = replace(TextContract(), comparator="same length")
>>> same(haiku, Answer(text="pond"), Answer(text="frog"))
True
"""

from collections.abc import Callable, Hashable

from shoal.chat import Answer
from shoal.errors import ConfigError

Same = Callable[[Answer, Answer], bool]
"""Whether two answers are the same one. It must be symmetric, must hold of any answer and itself,
and must not raise: answers of any text reach it. Threads share it."""

Key = Callable[[Answer], Hashable | None]
"""What all answers have in common that are the same one as this; None for what is no answer at
all, as SQL that does not run."""

_known: dict[str, Same] = {}


def register(name: str, same: Same) -> None:
    """Make a comparator known to this process; one of the same name gives way."""
    _known[name] = same


def registered(name: str) -> Same:
    """The comparator of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _known:
        raise ConfigError(
            f"there is no comparator {name!r} here: a task's contract names it, shoal.toml does "
            f"not ([tasks.NAME] comparator)"
        )
    return _known[name]


def key_of(name: str) -> Key | None:
    """The method ``key`` of the comparator of this name; None if it has none.

    Raises:
        ConfigError: there is no such comparator.
    """
    found: Key | None = getattr(registered(name), "key", None)
    return found
