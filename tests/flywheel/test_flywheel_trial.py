"""A trial: what counts as calibration, what as an error, and what is spent on which recipe."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from parcel_office import TASK, desk_of, make_example, make_lessons

from shoal.chat import Answer
from shoal.flywheel import ladder, trial
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lesson, Lessons, curate
from shoal.flywheel.trial import Candidate, Prepared, attempt, judge, prepare
from shoal.guarantees import Refusal
from shoal.specialists import label
from shoal.specialists.kind import Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason
from shoal.tasks import Input, Output

TERMS, ENCODED = label.KIND.recipes
ALPHA, DELTA = 0.1, 0.03


class Parrot:
    """A specialist that is never asked."""

    kind, recipe = "label", "parrot"

    def predict(self, given: Input) -> Prediction:
        raise AssertionError("asked about what it may have been trained on")

    def explain(self, given: Input) -> tuple[Reason, ...]:
        raise AssertionError("nobody asked why")

    def save(self, folder: Path) -> None:
        raise AssertionError("nothing is to be saved in a trial")


def lesson(number: int, **fields: object) -> Lesson:
    answer = Answer(desk_of(number))
    plain = Lesson(f"call-{number}", Input(f"text {number}"), answer.text, answer, None, True)
    return replace(plain, **fields)


def prepared(*pairs: tuple[Lesson, Output | None, float], recipe: Recipe = TERMS) -> Prepared:
    unseen = tuple((seen, Prediction(output, signal)) for seen, output, signal in pairs)
    return Prepared(recipe, TASK.contract, Parrot(), unseen, 0.5)


def right(numbers: range, signal: float = 0.9) -> list[tuple[Lesson, Output | None, float]]:
    return [(lesson(number), desk_of(number), signal) for number in numbers]


def wrong(numbers: range, signal: float = 0.9) -> list[tuple[Lesson, Output | None, float]]:
    return [(lesson(number), desk_of(number + 1), signal) for number in numbers]


def no_senses() -> Senses:
    raise AssertionError("this recipe needs no encoder")


def judged(found: Candidate | Refusal) -> Candidate:
    assert isinstance(found, Candidate), found
    return found


def refused(found: Candidate | Refusal) -> Refusal:
    assert isinstance(found, Refusal)
    return found


class TestPrepare:
    def test_cross_fitted_judges_every_lesson_by_a_model_that_had_not_seen_it(self) -> None:
        lessons = make_lessons(range(200))
        found = prepare(lessons, TERMS, False, no_senses)
        assert [seen for seen, _ in found.unseen] == list(lessons.lessons)
        assert found.cpu_seconds > 0
        again = [found.specialist.predict(given) for given in lessons.inputs]
        assert any(p.signal != q.signal for p, (_, q) in zip(again, found.unseen, strict=True))

    def test_cross_fitting_does_not_learn_the_answer_by_heart(self) -> None:
        """Answers that nothing in the input explains are not predicted."""
        draw = np.random.default_rng(0)
        examples = []
        for number in range(200):
            answer = Answer(desk_of(int(draw.integers(3))))
            examples.append(make_example(number, reference=answer, llm_answer=answer))
        found = prepare(curate(TASK, examples), TERMS, False, no_senses)
        hits = [p.output == seen.output for seen, p in found.unseen]
        assert np.mean(hits) < 0.5
        assert isinstance(judge(found, ALPHA, DELTA), Refusal)

    def test_held_out_lessons_are_not_trained_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taught: list[str] = []
        train = ladder.train

        def watched(lessons: Lessons, recipe: Recipe, senses: Senses | None) -> object:
            taught.extend(lesson.call_id for lesson in lessons.lessons)
            return train(lessons, recipe, senses)

        monkeypatch.setattr(trial, "train", watched)
        lessons = make_lessons(range(240))
        found = prepare(lessons, TERMS, True, no_senses)
        apart = [seen.call_id for seen, _ in found.unseen]
        assert sorted(apart + taught) == sorted(seen.call_id for seen in lessons.lessons)
        assert not set(apart) & set(taught)
        assert 0.2 < len(apart) / 240 < 0.47
        for seen, prediction in found.unseen:
            assert prediction == found.specialist.predict(seen.input)

    def test_a_call_stays_on_its_side_when_there_are_more(self) -> None:
        few = prepare(make_lessons(range(120)), TERMS, True, no_senses).unseen
        many = prepare(make_lessons(range(240)), TERMS, True, no_senses).unseen
        first = {f"call-{number:04d}" for number in range(120)}
        assert [s.call_id for s, _ in few] == [s.call_id for s, _ in many if s.call_id in first]

    @pytest.mark.parametrize("held_out", [False, True])
    def test_an_easy_task_is_certified(self, held_out: bool) -> None:
        found = judged(
            judge(prepare(make_lessons(range(300)), TERMS, held_out, no_senses), 0.1, 0.03)
        )
        assert found.selection.coverage > 0.9
        assert found.agreement > 0.9
        assert found.selection.n == 300 or held_out

    def test_the_encoder_is_built_only_for_a_recipe_that_needs_it(self, senses: Senses) -> None:
        asked = []

        def build() -> Senses:
            asked.append(1)
            return senses

        for recipe, times in ((TERMS, 0), (ENCODED, 1)):
            prepare(make_lessons(range(60)), recipe, False, build)
            assert len(asked) == times


class TestJudge:
    def test_right_answers_are_certified(self) -> None:
        found = judged(judge(prepared(*right(range(200))), ALPHA, DELTA))
        assert (found.selection.n, found.selection.errors) == (200, 0)
        assert found.agreement == 1
        assert found.people is None
        assert found.cpu_seconds == 0.5

    def test_the_threshold_leaves_the_unsure_out(self) -> None:
        pairs = right(range(300)) + wrong(range(300, 400), signal=0.2)
        found = judged(judge(prepared(*pairs), ALPHA, DELTA))
        assert found.selection.threshold > 0.2
        assert (found.selection.accepted, found.selection.errors) == (300, 0)
        assert found.agreement == pytest.approx(0.75)

    def test_what_is_no_unbiased_sample_does_not_calibrate(self) -> None:
        chosen = [(lesson(n, sampled=False), desk_of(n + 1), 0.9) for n in range(200, 400)]
        found = judged(judge(prepared(*right(range(200)), *chosen), ALPHA, DELTA))
        assert (found.selection.n, found.selection.errors) == (200, 0)

    def test_what_the_llm_never_answered_does_not_calibrate(self) -> None:
        silent = [(lesson(n, llm=None), desk_of(n), 0.9) for n in range(200)]
        found = refused(judge(prepared(*silent), ALPHA, DELTA))
        assert (found.n, found.reason[:21]) == (0, "there are no examples")

    def test_people_do_not_change_what_the_promise_is_about(self) -> None:
        """A person corrected the LLM, and the specialist learned it: that differs from the LLM."""
        corrected = [
            (lesson(n, output=desk_of(n + 1), people=Answer(desk_of(n + 1))), desk_of(n + 1), 0.9)
            for n in range(100)
        ]
        assert refused(judge(prepared(*corrected), ALPHA, DELTA)).errors > 0

    @pytest.mark.parametrize(
        "broken",
        [
            Answer("I cannot say"),
            Answer("garden", finish_reason="length"),
            Answer("", refusal="no"),
        ],
    )
    def test_a_reference_that_breaks_the_contract_counts_as_wrong(self, broken: Answer) -> None:
        pairs = [(lesson(n, llm=broken, output=None), "garden", 0.9) for n in range(195, 200)]
        found = judged(judge(prepared(*right(range(195)), *pairs), ALPHA, DELTA))
        assert (found.selection.n, found.selection.errors) == (200, 5)

    def test_a_prediction_without_output_counts_as_wrong(self) -> None:
        silent: list[tuple[Lesson, Output | None, float]] = [
            (lesson(n), None, 0.9) for n in range(195, 200)
        ]
        found = judged(judge(prepared(*right(range(195)), *silent), ALPHA, DELTA))
        assert found.selection.errors == 5

    def test_the_same_input_again_is_no_second_piece_of_evidence(self) -> None:
        """Twelve inputs sent thirty times each prove no more than twelve."""
        often = [pair for pair in right(range(12)) for _ in range(30)]
        assert refused(judge(prepared(*often), ALPHA, DELTA)).n == 12

    def test_the_spelling_of_the_reference_is_no_error(self) -> None:
        pairs = [(lesson(n, llm=Answer("Garden.")), "garden", 0.9) for n in range(200)]
        assert judged(judge(prepared(*pairs), ALPHA, DELTA)).selection.errors == 0


class TestJudgeByLabel:
    def test_a_label_that_cannot_be_proven_is_not_served(self) -> None:
        poor = [(lesson(n), "music", 0.9) for n in range(1, 600, 3)]  # kitchens, called music
        good = right(range(0, 900, 3))
        everywhere = judged(judge(prepared(*good, *poor[:20]), ALPHA, DELTA))
        assert everywhere.labels is None
        found = judged(judge(prepared(*good, *poor[:20]), ALPHA, DELTA, per_label=True))
        assert found.labels is not None
        assert [proof.label for proof in found.labels] == ["garden"]
        assert found.selection.errors == 0
        assert sum(found.accepted) == found.selection.accepted == 300
        assert found.mistakes == ()

    def test_where_no_label_can_be_proven_the_nearest_says_why(self) -> None:
        refusal = refused(judge(prepared(*right(range(30))), ALPHA, DELTA, per_label=True))
        assert "no label can be proven on its own" in refusal.reason
        assert refusal.examples_needed is not None

    def test_repeated_inputs_prove_no_label(self) -> None:
        often = [pair for pair in right(range(12)) for _ in range(30)]
        refused(judge(prepared(*often), ALPHA, DELTA, per_label=True))


def test_the_surest_mistakes_are_kept_with_what_was_said() -> None:
    pairs = right(range(300)) + wrong(range(300, 303)) + wrong(range(303, 400), 0.1)
    found = judged(judge(prepared(*pairs), ALPHA, DELTA))
    assert [mistake.call_id for mistake in found.mistakes] == ["call-300", "call-301", "call-302"]
    assert found.mistakes[0].said == Answer(desk_of(301))
    assert found.calibration.n == 400
    assert found.calibration.errors.sum() == 100
    by_label = found.calibration.slices(np.array(found.accepted), 0.05)
    assert sum(part.errors for part in by_label if part.by == "label") == 3
    assert sum(part.n for part in by_label if part.by == "label") == 400


class TestPeopleCheck:
    def check(self, *pairs: tuple[Lesson, Output | None, float]) -> tuple[int, int] | None:
        unsure = wrong(range(300, 400), signal=0.1)
        found = judged(judge(prepared(*right(range(300)), *unsure, *pairs), ALPHA, DELTA)).people
        return None if found is None else (found.n, found.errors)

    def test_what_people_said_is_right_judges_what_would_be_served(self) -> None:
        agreeing = [
            (lesson(n, people=Answer(desk_of(n))), desk_of(n), 0.9) for n in range(400, 408)
        ]
        differing = [(lesson(408, people=Answer(desk_of(409))), desk_of(408), 0.9)]
        assert self.check(*agreeing, *differing) == (9, 1)

    def test_answers_that_would_not_be_served_are_not_judged(self) -> None:
        assert self.check((lesson(408, people=Answer("garden")), desk_of(408), 0.1)) is None

    def test_giving_a_refuted_answer_again_is_an_error(self) -> None:
        again = (lesson(403, refuted=Answer(desk_of(403))), desk_of(403), 0.9)
        other = (lesson(404, refuted=Answer(desk_of(405))), desk_of(404), 0.9)
        assert self.check(again, other) == (1, 1)

    def test_people_judge_calls_that_are_no_unbiased_sample_too(self) -> None:
        served = lesson(403, people=Answer(desk_of(403)), llm=None, sampled=False)
        assert self.check((served, desk_of(403), 0.9)) == (1, 0)


class TestAttempt:
    def prepare(self, found: dict[str, Prepared]) -> Callable[[Recipe], Prepared]:
        return lambda recipe: replace(found[recipe.name], recipe=recipe)

    def deltas(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        spent: list[float] = []

        def watched(
            made: Prepared, alpha: float, delta: float, per_label: bool
        ) -> Candidate | Refusal:
            spent.append(delta)
            return judge(made, alpha, delta, per_label)

        monkeypatch.setattr(trial, "judge", watched)
        return spent

    def test_a_cheap_candidate_that_serves_well_is_kept(self) -> None:
        outcome = attempt(
            recipes_for(TASK), ALPHA, DELTA, self.prepare({"terms": prepared(*right(range(200)))})
        )
        assert outcome.candidate is not None
        assert outcome.candidate.recipe.name == "terms"

    def test_each_recipe_spends_its_share_and_no_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spent = self.deltas(monkeypatch)
        poor, good = prepared(*wrong(range(100))), prepared(*right(range(200)))
        found = self.prepare({"terms": poor, "terms+encoder": good})
        outcome = attempt(recipes_for(TASK), ALPHA, DELTA, found)
        assert spent == pytest.approx([0.2 * DELTA, 0.8 * DELTA])
        assert outcome.candidate is not None
        assert outcome.candidate.recipe.name == "terms+encoder"
        assert [name for name, _ in outcome.refusals] == ["terms"]

    def test_a_dearer_candidate_must_serve_more(self) -> None:
        half = right(range(200)) + wrong(range(200, 400), signal=0.1)
        same = prepared(*half)
        outcome = attempt(
            recipes_for(TASK), ALPHA, DELTA, self.prepare({"terms": same, "terms+encoder": same})
        )
        assert outcome.candidate is not None
        assert outcome.candidate.recipe.name == "terms"
        better = prepared(*right(range(240)), *wrong(range(240, 400), signal=0.1))
        found = self.prepare({"terms": same, "terms+encoder": better})
        climbed = attempt(recipes_for(TASK), ALPHA, DELTA, found)
        assert climbed.candidate is not None
        assert climbed.candidate.recipe.name == "terms+encoder"

    def test_when_all_are_refused_each_says_why(self) -> None:
        poor = prepared(*wrong(range(100)))
        outcome = attempt(
            recipes_for(TASK), ALPHA, DELTA, self.prepare({"terms": poor, "terms+encoder": poor})
        )
        assert outcome.candidate is None
        assert [name for name, _ in outcome.refusals] == ["terms", "terms+encoder"]
