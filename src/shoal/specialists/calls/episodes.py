"""Which steps belong together: steps of one conversation, and conversations about the same thing.

A model must be judged on conversations that it has not seen. Steps of one conversation repeat its
messages; and two conversations that begin with the same message, or with the same call of a tool
(the same customer is looked up), say much the same too.
"""

from collections.abc import Sequence

from shoal.chat import ToolCall
from shoal.specialists.calls.schema import arguments_of, canonical
from shoal.tasks.contract import Output
from shoal.tasks.input import Input


def episodes(inputs: Sequence[Input], outputs: Sequence[Output | None]) -> list[int]:
    """A number for each step (n,): equal numbers are to be left out together."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    names = []
    for given, output in zip(inputs, outputs, strict=True):
        name = f"opening {_opening(given)}"
        call = _first_call(given, output)
        if call:
            parent[root(name)] = root(f"call {call}")
        names.append(name)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(name), len(numbers)) for name in names]


def _opening(given: Input) -> str:
    """What the user said first; the whole input of a request without messages."""
    return next((m.text for m in given.messages if m.role == "user" and m.text), given.text)


def _first_call(given: Input, output: Output | None) -> str:
    made = [call for message in given.messages for call in message.tool_calls]
    if isinstance(output, tuple):
        made += [call for call in output if isinstance(call, ToolCall)]
    arguments = arguments_of(made[0]) if made else None
    return f"{made[0].name} {canonical(arguments)}" if arguments else ""
