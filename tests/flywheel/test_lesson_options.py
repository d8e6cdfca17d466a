"""How one task is to be learned, as the settings say."""

import pytest
from parcel_office import OPTIONS, TASK, add_task, fill
from pydantic import ValidationError

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.flywheel.certification import Examiner
from shoal.flywheel.ladder import train
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.options import LessonOptions
from shoal.specialists import decision
from shoal.specialists.senses import Senses
from shoal.storage import Store
from shoal.tasks import Input, LabelContract, NumberContract, Task, comparator_name, same


@pytest.mark.parametrize(
    ("tolerance", "a", "b", "alike"),
    [
        ("5 %", "100", "104", True),
        ("5 %", "100", "106", False),
        ("0.5", "100", "100.5", True),
        ("0.5", "100", "101", False),
        (None, "100", "100.5", False),
    ],
)
def test_a_tolerance_is_what_numbers_may_differ_by(
    tolerance: str | None, a: str, b: str, alike: bool
) -> None:
    contract = LessonOptions(tolerance=tolerance).applied(NumberContract())
    assert same(contract, Answer(a), Answer(b)) is alike


def test_other_contracts_have_none() -> None:
    contract = LabelContract(("no", "yes"))
    assert LessonOptions(tolerance="5 %").applied(contract) is contract


@pytest.mark.parametrize("tolerance", ["", "much", "-1", "5 % %", "1e3"])
def test_an_unreadable_tolerance_is_refused(tolerance: str) -> None:
    with pytest.raises(ValidationError, match="tolerance"):
        LessonOptions(tolerance=tolerance)


def test_an_examiner_heeds_them(store: Store, senses: Senses) -> None:
    add_task(store)
    fill(store, range(10))
    own = {TASK.name: LessonOptions(tolerance="5 %", monotone={"weight": "increasing"})}
    lessons = Examiner(store, OPTIONS, lambda: senses, own=own).lessons(TASK)
    assert lessons.monotone == {"weight": "increasing"}
    assert lessons.task.contract == TASK.contract
    assert Examiner(store, OPTIONS, lambda: senses).lessons(TASK).monotone == {}


def priced(monotone: dict[str, str]) -> Lessons:
    """Parcels by weight, priced, with one that was priced oddly."""
    contract = NumberContract(relative=0.05)
    lessons = []
    for number in range(200):
        weight = number % 20
        price = 5.0 + weight if weight != 10 else 4.0
        text = f'{{"weight": {weight}, "zone": {number % 3}}}'
        answer = Answer(str(price))
        lessons.append(Lesson(str(number), Input(text), price, answer, None, True))
    task = Task("t", "price", (), contract)
    return Lessons(task, "llm", tuple(lessons), None, monotone=monotone)


def test_the_ladder_trains_tables_in_the_stated_directions() -> None:
    recipe = decision.KIND.recipes[0]
    free = train(priced({}), recipe, None).specialist
    bound = train(priced({"weight": "increasing"}), recipe, None).specialist

    def prices(specialist: object) -> list[float]:
        asked = [Input(f'{{"weight": {w}, "zone": 1}}') for w in range(20)]
        return [float(str(specialist.predict(each).output)) for each in asked]  # type: ignore[attr-defined]

    assert prices(bound) == sorted(prices(bound))
    assert prices(free) != sorted(prices(free))
    with pytest.raises(LearningError, match="no such column"):
        train(priced({"colour": "increasing"}), recipe, None)


def test_the_certificate_names_the_tolerance() -> None:
    assert comparator_name(LessonOptions(tolerance="5 %").applied(NumberContract())) == (
        "equal within 5 %"
    )
