"""A task: a kind of call that recurs, with the templates that recognise it and its contract."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from shoal.tasks.contract import Contract
from shoal.tasks.template import Template


class Condition(Struct, frozen=True, omit_defaults=True):
    """A restriction a person put on a task: the value of a slot, or a text the input contains.

    ``slot`` "" looks at the whole input text. Exactly one of ``equals`` and ``contains`` is set.
    """

    slot: str = ""
    equals: str = ""
    contains: str = ""

    def holds(self, template: Template, values: Sequence[str]) -> bool:
        """Whether these slot values satisfy the condition."""
        if self.slot and self.slot not in template.slots:
            return False
        text = values[template.slots.index(self.slot)] if self.slot else template.input_text(values)
        return text.strip() == self.equals if self.equals else self.contains in text


class Task(Struct, frozen=True, omit_defaults=True):
    """A kind of call that recurs.

    ``id`` never changes. ``named``: a person chose the name. ``pinned``: discovery leaves the task
    as it is. ``ignored``: its calls are neither learned from nor served. ``conditions`` must all
    hold, besides one of the templates.
    """

    id: str
    name: str
    templates: tuple[Template, ...]
    contract: Contract
    conditions: tuple[Condition, ...] = ()
    named: bool = False
    pinned: bool = False
    ignored: bool = False


def task_id(template: Template, taken: str = "") -> str:
    """Deterministic id of the task first found with this template, another than ``taken``."""
    key = msgspec.json.encode(template) + taken.encode()
    return "t" + blake2b(key, digest_size=6).hexdigest()
