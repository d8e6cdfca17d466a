"""Requests of ``ask`` steps: a prompt to a model, or a task's own request with other slots.

A task's request is made like the last one that was recorded of it, so that it is matched to the
task, and answered by its specialist where one serves.
"""

import msgspec
from msgspec.structs import replace

from shoal.chat import Message, Request
from shoal.errors import NotFound
from shoal.planning.plan import Ask
from shoal.planning.references import as_text
from shoal.storage import CallFilter, Store
from shoal.tasks import Task
from shoal.tasks.template import Template
from shoal.tools.tool import Json

_LOOKED_AT = 20  # calls of a task, of which one may be like its template


def to_model(step: Ask) -> Request:
    """What a model is sent for a step whose prompt is filled in."""
    messages = (Message("system", step.system),) if step.system else ()
    params: dict[str, Json] = {"max_tokens": step.max_tokens}
    if step.temperature is not None:
        params["temperature"] = step.temperature
    return Request(
        step.model,
        (*messages, Message("user", step.prompt)),
        response_format=_format(step.output) if step.output else "",
        params=msgspec.json.encode(params).decode(),
    )


class TaskRequests:
    """Makes requests of tasks; reads one recorded call of each, once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._like = dict[str, tuple[Request, Template]]()

    def of(self, task: Task, step: Ask) -> Request:
        """The request of a task with the slots of a step. Reads the store: not for event loops.

        Raises:
            NotFound: no call of it is kept to make one like.
            ValueError: the slots are not the task's.
        """
        if task.id not in self._like:
            self._like[task.id] = self._recorded(task)
        like, template = self._like[task.id]
        values = [as_text(step.slots[name]) for name in template.slots]
        messages, at = list[Message](), 0
        for pattern, message in zip(template.patterns, like.messages, strict=True):
            text = pattern.fill(values[at : at + pattern.slots])
            messages.append(replace(message, text=text, parts=""))
            at += pattern.slots
        return replace(
            like, messages=tuple(messages), model=step.model or like.model, stream=False, body=b""
        )

    def _recorded(self, task: Task) -> tuple[Request, Template]:
        for call in self._store.calls.list(CallFilter(task=task.id, limit=_LOOKED_AT)):
            for template in task.templates[:1]:
                if template.match(call.request) is not None:
                    return call.request, template
        raise NotFound(
            f"no call of the task {task.name!r} is kept that a request could be made like: have it "
            "called once as before"
        )


def _format(schema: dict[str, Json]) -> str:
    named: dict[str, Json] = {"name": "result", "schema": schema}
    return msgspec.json.encode({"type": "json_schema", "json_schema": named}).decode()
