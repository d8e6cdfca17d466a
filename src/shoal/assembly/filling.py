"""A request of a task, written from the values of its slots."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from shoal.chat import Message, Request
from shoal.errors import MalformedRequest
from shoal.tasks import Task, Template
from shoal.tasks.template import CONVERSATION, skeletons_of

_KEPT = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop")


class Form(Struct, frozen=True):
    """A task's template with what it says nothing of: the ``tools`` and the ``response_format`` of
    its calls, and their ``params``, as JSON texts."""

    template: Template
    tools: str = ""
    response_format: str = ""
    params: str = "{}"

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that are to be filled. What follows the first message of a conversation is
        not: there is nothing yet."""
        kept = self.template.slots
        return kept[:-1] if self.template.continues and kept[-1:] == (CONVERSATION,) else kept

    def filled(self, values: Mapping[str, str], model: str) -> Request:
        """The request with these values in the slots.

        Raises:
            MalformedRequest: a slot has no value, or a value would be read as several.
        """
        if missing := [name for name in self.slots if name not in values]:
            raise MalformedRequest(f"{missing[0]}: no value is given", missing[0])
        given, messages = [values[name] for name in self.slots], list[Message]()
        for pattern in self.template.patterns:
            own, given = given[: pattern.slots], given[pattern.slots :]
            text = pattern.fill(own)
            if pattern.match(text) != tuple(own):
                raise MalformedRequest(
                    "a value holds text that stands between the slots of this task, so that it "
                    f"would be read otherwise: {pattern.literals[1][:60]!r}"
                )
            messages.append(Message(pattern.role, text))
        return Request(model, tuple(messages), self.tools, self.response_format, self.params)


def form_of(task: Task, example: Request | None) -> Form | None:
    """How requests of a task are written, as ``example``, one of its calls, shows; None if text
    alone does not make one, as where an image belongs to it."""
    for template in task.templates:
        for form in _forms(template, example):
            request = form.filled(dict.fromkeys(form.slots, "x"), "")
            if template.skeleton in skeletons_of(request, opening=template.continues):
                return form
    return None


def _forms(template: Template, example: Request | None) -> tuple[Form, ...]:
    if example is None:
        return (Form(template),)
    params = _params(example.params)
    return (
        Form(template, example.tools, example.response_format, params),
        Form(template, params=params),
    )


def _params(text: str) -> str:
    found = msgspec.json.decode(text)
    kept = {name: found[name] for name in _KEPT if name in found}
    return msgspec.json.encode(kept).decode()
