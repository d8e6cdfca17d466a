"""What a specialist reads of a request."""

from msgspec import Struct

from shoal.chat import Message
from shoal.tasks.template import CONVERSATION


class Input(Struct, frozen=True):
    """The part of a request that differs from call to call.

    ``text`` is the value of the only slot, or a "name: value" line for each; two inputs of a task
    are the same if their texts are. ``slots`` are (name, value) in order. ``messages`` are those of
    the whole request, ``tools`` its tools as JSON, "" if there are none.
    """

    text: str
    slots: tuple[tuple[str, str], ...] = ()
    messages: tuple[Message, ...] = ()
    tools: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether it may be a step of a conversation, which others share."""
        return bool(self.slots) and self.slots[-1][0] == CONVERSATION

    @property
    def beginning(self) -> str:
        """What all steps of a conversation share: how it began. Of anything else all of it."""
        opening = "\n".join(value for _, value in self.slots[:-1]) if self.goes_on else ""
        return opening or self.text
