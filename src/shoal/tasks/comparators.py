"""The hook by which a task gets a comparator of its own.

>>> from shoal.tasks.contract import TextContract
>>> from shoal.chat import Answer
>>> comparators = Comparators()
>>> comparators.register("same length", lambda a, b: len(a.text) == len(b.text))
>>> comparators.assign("haiku", "same length")
>>> same_haiku = comparators.of("haiku", TextContract())
>>> same_haiku.name, same_haiku(Answer(text="pond"), Answer(text="frog"))
('same length', True)
>>> comparators.of("any other task", TextContract()).name
'same text after normalising'
"""

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from shoal.chat import Answer
from shoal.errors import ConfigError
from shoal.tasks.comparator import comparator_name, same
from shoal.tasks.contract import Contract

Same = Callable[[Answer, Answer], bool]


class Comparator(Struct, frozen=True):
    """What "the same answer" means, and its name, which certificates state.

    ``same`` must be symmetric, must hold of any answer and itself, and must not raise: answers of
    any shape reach it.
    """

    name: str
    same: Same

    def __call__(self, a: Answer, b: Answer) -> bool:
        """Whether both are the same answer."""
        return self.same(a, b)


class Comparators:
    """Comparators by name, and which task uses which; a task's contract decides for all others."""

    def __init__(self) -> None:
        self._known: dict[str, Comparator] = {}
        self._assigned: dict[str, str] = {}

    def register(self, name: str, same: Same) -> None:
        """Make a comparator known.

        Raises:
            ConfigError: there is one of that name already.
        """
        if name in self._known:
            raise ConfigError(f"there is a comparator {name!r} already; choose another name")
        self._known[name] = Comparator(name, same)

    def assign(self, task: str, name: str) -> None:
        """Let a task, by its name, use a registered comparator.

        Raises:
            ConfigError: there is no comparator of that name.
        """
        if name not in self._known:
            known = ", ".join(sorted(self._known)) or "none"
            raise ConfigError(f"no comparator {name!r} is registered; there are: {known}")
        self._assigned[task] = name

    def of(self, task: str, contract: Contract) -> Comparator:
        """The task's own, else what its contract means by the same answer."""
        name = self._assigned.get(task)
        return self._known[name] if name is not None else of_contract(contract)


def of_contract(contract: Contract) -> Comparator:
    """What a contract means by the same answer."""
    return Comparator(comparator_name(contract), partial(same, contract))
