"""Inputs of rare labels that the LLM makes up: asked for once, told of, and never measured on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from parcel_office import OPTIONS, PROMISE, TASK, fill, make_lessons, text_of

from shoal.chat import Answer, Request
from shoal.errors import BudgetExceeded, EngineUnreachable
from shoal.flywheel import certification
from shoal.flywheel.augmenting import Augmenter
from shoal.flywheel.certification import Examiner
from shoal.flywheel.reporting import facts_of
from shoal.flywheel.trial import training_part
from shoal.routing.privacy import PrivacyOptions
from shoal.specialists.card import Card
from shoal.specialists.label import KIND, train_label
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Trained
from shoal.storage import Store
from shoal.tasks import Input, Task, TextContract
from shoal.training import recipes
from shoal.training.hints import Aids

TUNED = recipes.RECIPES[0]


class Author:
    """Writes as many lines as were asked for, each new; or cannot."""

    name = "author"

    def __init__(self, line: str = "a new thing, no.", error: Exception | None = None) -> None:
        self.line, self.error = line, error
        self.asked, self.tasks = list[Request](), list[Task]()

    @asynccontextmanager
    async def ask(self, task: Task) -> AsyncIterator["Author"]:
        self.tasks.append(task)
        yield self

    async def answer(self, request: Request) -> Answer:
        if self.error is not None:
            raise self.error
        self.asked.append(request)
        return Answer("\n".join(f"{self.line} {len(self.asked)} {n}" for n in range(30)))


def augmenter(author: Author | None, most: int = 7, **privacy: Any) -> Augmenter:
    return Augmenter(author.ask if author else None, most, PrivacyOptions(**privacy))


def test_what_was_paid_for_is_not_asked_for_again(tmp_path: Path) -> None:
    author, lessons = Author(), replace(make_lessons(range(30)), state=tmp_path)
    made = augmenter(author).made_up(lessons)
    assert (len(made.inputs), made.asked, made.calls) == (7, 7, 1)
    assert (author.asked[0].model, author.tasks) == ("gpt", [TASK])
    again = augmenter(Author(error=AssertionError())).made_up(lessons)
    assert again == made
    (tmp_path / "made_up.json").write_bytes(b"{")
    assert augmenter(author).made_up(lessons).asked == 7


def test_what_keeps_it_from_asking_is_told() -> None:
    made = augmenter(Author(error=EngineUnreachable("down"))).made_up(make_lessons(range(30)))
    assert (made.inputs, made.stopped) == ((), "down")

    @asynccontextmanager
    async def closed(task: Task) -> AsyncIterator[Author]:
        raise EngineUnreachable(f"no way to {task.name}")
        yield Author()

    found = Augmenter(closed, 7, PrivacyOptions()).made_up(make_lessons(range(30)))
    assert found.stopped == "no way to desk"


def test_nothing_personal_is_learned_where_that_is_not_wanted() -> None:
    author = Author("write to bo@example.com, no.")
    made = augmenter(author, learn="redacted").made_up(make_lessons(range(30)))
    assert made.inputs[0].text == "write to [EMAIL], no. 1 0"


def test_there_may_be_nothing_to_ask_for() -> None:
    lessons = make_lessons(range(30))
    assert augmenter(Author()).fits(lessons)
    assert not augmenter(Author(), most=0).fits(lessons)
    assert not augmenter(None).fits(lessons)
    free = replace(TASK, contract=TextContract())
    assert not augmenter(Author()).fits(replace(lessons, task=free))
    pair = Input("left: a\nright: b", (("left", "a"), ("right", "b")))
    first = replace(lessons.lessons[0], input=pair)
    assert not augmenter(Author()).fits(replace(lessons, lessons=(first,)))


def examine(store: Store, senses: Senses, author: Author, monkeypatch: Any, most: int) -> Any:
    """Certify with a recipe that keeps calibration examples apart; the recipe's examples."""
    given: list[tuple[list[str], Aids]] = []

    def train(contract: Any, inputs: Any, outputs: Any, needed: Any, recipe: Any, aids: Any) -> Any:
        given.append(([each.text for each in inputs], aids))
        light = train_label(contract, inputs, outputs, None, KIND.recipes[0])
        return Trained(light.specialist, [])

    monkeypatch.setattr(certification, "recipes_for", lambda *_: (TUNED,))
    monkeypatch.setattr(recipes, "train", train)
    options = OPTIONS.model_copy(update={"fine_tune": True, "augment": most})
    examiner = Examiner(store, options, lambda: senses, ask=author.ask)
    lessons = examiner.lessons(TASK)
    return lessons, examiner.certify(lessons, PROMISE.model_copy(update={"alpha": 0.3})), given


def test_the_count_is_told_and_none_of_them_is_measured_on(
    store: Store, senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, [*range(0, 240, 3), *range(1, 120, 3), *range(2, 30, 3)])  # 80, 40, 10
    author = Author()
    lessons, verdict, given = examine(store, senses, author, monkeypatch, 9)
    ((texts, aids),) = given
    part = training_part(lessons, TUNED)
    assert texts[: len(part.lessons)] == [each.text for each in part.inputs]
    assert len(texts) == len(aids.hints) == len(part.lessons) + 9
    assert [hint.augmented for hint in aids.hints[-9:]] == [True] * 9
    certificate = verdict.certificate
    assert certificate is not None, verdict.reason
    assert certificate.made_up == 9
    assert certificate.n == len(lessons.lessons) - len(part.lessons)
    assert "It also learned from 9 examples that the LLM made up" in certificate.describe()
    (row,) = store.cards.list(TASK.id)
    assert msgspec.json.decode(row.spec, type=Card).made_up == 9
    calibrating = {text_of(n) for n in range(240)} - set(texts)
    shown = author.asked[0].messages[0].text
    assert not any(text in shown for text in calibrating)
    (step,) = facts_of(store, TASK, OPTIONS).ladder
    assert "9 examples made up by the LLM in 1 calls (9 asked for, 0 repeated" in step.outcome


def test_a_tuning_goes_on_without_where_the_budget_is_spent(
    store: Store, senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(60))
    author = Author(error=BudgetExceeded("nothing is left today", {}))
    _, verdict, given = examine(store, senses, author, monkeypatch, 9)
    assert len(given) == 1
    (step,) = verdict.ladder
    assert step.made_up.startswith("0 examples made up")
    assert "nothing is left today" in step.made_up
