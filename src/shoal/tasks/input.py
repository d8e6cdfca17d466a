"""What a specialist reads of a request."""

from msgspec import Struct

from shoal.chat import Message


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
