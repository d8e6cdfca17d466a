"""``shoal review``: what people are asked, and their answers."""

import time
from typing import Annotated

import typer
from msgspec import Struct

from shoal.assembly.hooks import register_hooks
from shoal.assembly.reviewing import take_word
from shoal.assembly.shield import Discretion
from shoal.chat import Answer
from shoal.cli.certificates import TaskName
from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, find_task, open_store
from shoal.cli.figures import short_moment
from shoal.cli.printing import say, show_json, warn
from shoal.config import Config, read_config
from shoal.errors import ConfigError, NotFound
from shoal.flywheel.reviewing import asking_of
from shoal.storage import Feedback, Store
from shoal.storage.reviews import LISTED
from shoal.tasks import Matcher, Task, read
from shoal.tasks.describe import explain


class Asked(Struct, frozen=True):
    """A call that waits for a person's word: what was asked, and what was answered."""

    call_id: str
    at: float
    input: str
    answer: str
    answered_by: str


class Reviewing(Struct, frozen=True):
    """Where the reviewing of a task stands: how many drawn calls ``count``, how many wait (counted
    up to 1,000), and the first of these in the order in which they count."""

    task: str
    count: int
    waiting: int
    calls: list[Asked]


def review(
    task: TaskName,
    call: Annotated[str | None, typer.Option(metavar="ID", help="Say a word on this call.")] = None,
    right: Annotated[bool, typer.Option("--right", help="Its answer is right.")] = False,
    answer: Annotated[
        str | None, typer.Option(metavar="TEXT", help="It is not; this is right.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="List at most so many.")] = 10,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """List the calls, drawn at random, that wait for a person's word; or say one.

    For tasks whose promised reference is people. Only these calls count, in this order: what comes
    after one that was left out waits for it.
    """
    settings = read_config(config)
    with open_store(settings) as store:
        found = find_task(store, task)
        if not settings.promise_of(found.name).by_people:
            raise ConfigError(
                f"{config}: the promised reference of {found.name} is the LLM, so nobody is asked; "
                f'[tasks.{found.name}] reference = "people" asks people'
            )
        if call is not None:
            _say(settings, store, found, call, right, answer)
        elif right or answer is not None:
            raise ConfigError("--right and --answer need --call, the call that they are about")
        standing = _reviewing(settings, store, found, limit)
    if as_json:
        show_json(standing)
    else:
        _show(standing)


def _say(
    settings: Config, store: Store, task: Task, call_id: str, right: bool, answer: str | None
) -> None:
    if right == (answer is not None):
        raise ConfigError("--call needs either --right or --answer TEXT")
    if store.calls.get(call_id).task != task.id:
        raise NotFound(f"no call of id {call_id!r} in task {task.name}")
    word = Feedback(
        call_id=call_id,
        at=time.time(),
        verdict="right" if right else "answer",
        answer=Discretion(settings.privacy).kept_text(answer or ""),
    )
    register_hooks(settings.judging_options(), settings.folder)
    if answer is not None and read(task.contract, Answer(text=answer)) is None:
        kind = explain(task.contract)
        warn(f"{answer!r} is no answer of this task, whose answers are {kind}; it counts as it is")
    if take_word(store, word, settings.promise_of):
        say(f"{task.name} observes: what people said broke its promise.")


def _reviewing(settings: Config, store: Store, task: Task, limit: int) -> Reviewing:
    asking = asking_of(store, task.id, settings.promise_of(task.name))
    queue = store.reviews.queue(task.id, asking.rate, asking.since)
    matcher = Matcher([task])
    asked = [_asked(store, matcher, call_id) for call_id in queue.waits[:limit]]
    return Reviewing(task.name, len(queue.counts), len(queue.waits), asked)


def _asked(store: Store, matcher: Matcher, call_id: str) -> Asked:
    call = store.calls.get(call_id)
    match = matcher.find(call.request)
    given = match.input_text if match else call.request.messages[-1].text
    return Asked(call.id, call.at, given, _text(call.answer or Answer()), call.answered_by)


def _text(answer: Answer) -> str:
    calls = [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    return "\n".join((answer.text, *calls)).strip()


def _show(found: Reviewing) -> None:
    more = " or more" if found.waiting == LISTED else ""
    say(f"{found.task}: {found.count:,} reviewed calls count, {found.waiting:,}{more} wait.")
    for one in found.calls:
        say(f"\n{one.call_id} ({short_moment(one.at)}, {one.answered_by})")
        say(f"{one.input}\n→ {one.answer}")
    if found.calls:
        first = found.calls[0].call_id
        say(f"\nshoal review {found.task} --call {first} --right, or --answer TEXT")
