"""Requests of ``ask`` steps: a prompt to a model, or a task's own request with other slots.

A task's request is made like the last one that was recorded of it, so that it is matched to the
task, and answered by its specialist where one serves.
"""

import msgspec

from shoal.assembly.filling import Form, form_of
from shoal.chat import Message, Request
from shoal.errors import NotFound
from shoal.planning.plan import Ask
from shoal.planning.references import as_text
from shoal.storage import CallFilter, Store
from shoal.tasks import Task
from shoal.tools.tool import Json


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
        self._forms = dict[str, tuple[Task, Form, str]]()

    def of(self, task: Task, step: Ask) -> Request:
        """The request of a task with the slots of a step, to the model that the step names, or the
        one its calls go to. Reads the store: not for event loops.

        Raises:
            NotFound: no call of it is kept to make one like.
            MalformedRequest: the values would be read otherwise.
        """
        known = self._forms.get(task.id)
        if known is None or known[0] != task:
            known = self._forms[task.id] = (task, *self._form(task))
        _, form, model = known
        values = {name: as_text(value) for name, value in step.slots.items()}
        return form.filled(values, step.model or model)

    def _form(self, task: Task) -> tuple[Form, str]:
        calls = self._store.calls.list(CallFilter(task=task.id, limit=1))
        form = form_of(task, calls[0].request) if calls else None
        if form is None:
            raise NotFound(
                f"no call of the task {task.name!r} is kept that a request could be made like: "
                "have it called once as before"
            )
        return form, calls[0].llm


def _format(schema: dict[str, Json]) -> str:
    named: dict[str, Json] = {"name": "result", "schema": schema}
    return msgspec.json.encode({"type": "json_schema", "json_schema": named}).decode()
