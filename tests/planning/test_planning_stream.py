"""Steps of a plan that is still being written."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.worlds import CATALOGUE, World, answer, ask, plan_of, tool
from shoal.chat import Answer, Delta, Format, Piece
from shoal.errors import EngineUnreachable, MalformedRequest
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import RefusedPlan
from shoal.planning.llm_planner import LlmPlanner
from shoal.planning.plan import Plan, Step, read_step, written
from shoal.planning.plan_stream import PlanStream, checking, is_read_only
from shoal.planning.run import Around, run_plan
from shoal.planning.step_scanner import StepScanner
from shoal.tools.tool import Json

TEXT = st.text(st.sampled_from('abc"\\{}[],:$ \n\u2028é`'), max_size=12)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def ids(steps: Sequence[Step]) -> list[str]:
    return [step.id for step in steps]


@st.composite
def steps_of(draw: st.DrawFn, prefix: str = "s", depth: int = 1) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    for at in range(draw(st.integers(0, 4))):
        id = f"{prefix}{at}"
        kind = draw(st.sampled_from(["tool", "answer", "map"] if depth else ["tool", "answer"]))
        if kind == "tool":
            found.append(tool(id, arguments={"id": draw(VALUE)}))
        elif kind == "answer":
            found.append({"do": "answer", "id": id, "value": draw(VALUE)})
        else:
            inner = draw(steps_of(prefix=f"{id}_", depth=0))
            loop: dict[str, Json] = {"do": "map", "id": id, "over": [], "result": draw(VALUE)}
            found.append({**loop, "steps": list(inner)})
    return found


@st.composite
def plan_texts(draw: st.DrawFn) -> tuple[str, list[dict[str, Json]]]:
    """A plan as a model may write it, and its steps."""
    steps = draw(steps_of())
    whole: dict[str, Json] = {"name": draw(TEXT), "goal": draw(TEXT), "steps": list(steps)}
    whole["input"] = {"type": "object", "properties": {"steps": {"type": "array"}}}
    keys = draw(st.permutations(list(whole)))
    indent = draw(st.sampled_from([None, 1, 2]))
    ascii = draw(st.booleans())
    text = json.dumps({key: whole[key] for key in keys}, indent=indent, ensure_ascii=ascii)
    before = draw(st.sampled_from(["", "```json\n", 'Here [1] is "it": ', "Plan {}:\n"]))
    return before + text + draw(st.sampled_from(["", "\n```", " {done}"])), steps


@given(plan_texts(), st.data())
def test_any_split_of_any_plan_gives_exactly_its_steps_in_order(
    case: tuple[str, list[dict[str, Json]]], data: st.DataObject
) -> None:
    text, steps = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    scanner, found = StepScanner(), list[str]()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += scanner.feed(text[start:end])
    assert [json.loads(one) for one in found] == steps
    assert scanner.text == text


@given(plan_texts())
def test_a_step_comes_with_the_character_that_closes_it(
    case: tuple[str, list[dict[str, Json]]],
) -> None:
    text, _ = case
    scanner, fed = StepScanner(), ""
    for character in text:
        fed += character
        for found in scanner.feed(character):
            assert fed.endswith(found)


@given(st.text(st.sampled_from('{}[]",:\\ steps'), max_size=200))
def test_any_text_is_scanned(text: str) -> None:
    StepScanner().feed(text)


class Streamed:
    """An answer in pieces, with pauses between them."""

    format: Format | None = None

    def __init__(self, pieces: Sequence[str], finish: str = "stop", breaks: bool = False) -> None:
        self._pieces, self._finish, self._breaks = pieces, finish, breaks
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            self.sent += 1
            yield Piece(deltas=(Delta(text=piece),))
        if self._breaks:
            raise EngineUnreachable("the stream broke off")

    @property
    def answer(self) -> Answer:
        return Answer(text="".join(self._pieces[: self.sent]), finish_reason=self._finish)

    async def aclose(self) -> None:
        self._pieces = ()


def text_of(*steps: dict[str, Json], **more: Json) -> str:
    """Each step on a line of its own."""
    whole = {"name": "x", **more, "steps": list(steps)}
    return json.dumps(whole).replace('{"do"', '\n{"do"')


def read(stream: Streamed, catalogue: Catalogue = CATALOGUE) -> tuple[list[tuple[str, int]], Plan]:
    """Each step with the number of pieces that had been sent by then; and the plan."""

    async def all_of() -> tuple[list[tuple[str, int]], Plan]:
        found = PlanStream(stream, checking(catalogue))
        with pytest.raises(RuntimeError, match="still being written"):
            _ = found.plan
        steps = [(step.id, stream.sent) async for step in found]
        assert found.answer.text
        return steps, found.plan

    return asyncio.run(all_of())


def test_steps_come_before_the_plan_is_finished() -> None:
    lines = text_of(tool("a"), tool("b"), answer("${a.price}")).splitlines(keepends=True)
    steps, plan = read(Streamed(lines))
    # The comma that closes nothing comes with the step's own line.
    assert steps == [("a", 2), ("b", 3), ("end", 4)]
    assert ids(plan.steps) == ["a", "b", "end"]


def test_a_step_that_names_one_further_down_waits_for_it() -> None:
    lines = text_of(answer("${a.price}"), tool("b"), tool("a")).splitlines(keepends=True)
    assert read(Streamed(lines))[0] == [("end", 4), ("b", 4), ("a", 4)]


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        (text_of(tool("a"), answer("${b}")), RefusedPlan, "there is no result 'b'"),
        (text_of(tool("a")), RefusedPlan, 'no step of the kind "answer"'),
        (text_of(tool("a"), tool("b", "fire"), answer(1)), RefusedPlan, "'fire' is not allowed"),
        (text_of(tool("a"), answer(1))[:-3], MalformedRequest, "no plan"),
        (text_of({"do": "sing", "id": "a"}), MalformedRequest, "sing"),
        (
            text_of(tool("a"), answer(1))[:-1] + ', "steps": []}',
            MalformedRequest,
            "names its steps twice",
        ),
    ],
)
def test_what_is_wrong_comes_out_at_the_end(text: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        read(Streamed([*text]))


def test_an_answer_that_is_cut_short_or_breaks_off_is_no_plan() -> None:
    text = text_of(tool("a"), answer(1))
    with pytest.raises(MalformedRequest, match="cut short"):
        read(Streamed([text], finish="length"))
    with pytest.raises(EngineUnreachable):
        read(Streamed([text], breaks=True))


def test_a_long_plan_is_looked_at_in_time_near_linear_in_it() -> None:
    steps = [tool(f"s{at}") for at in range(400)]
    looked = 0
    check = checking(CATALOGUE)

    async def all_of() -> int:
        nonlocal looked

        def counting(plan: Plan, whole: bool):  # type: ignore[no-untyped-def]
            nonlocal looked
            looked += 1
            return check(plan, whole)

        lines = text_of(*steps, answer(1)).splitlines(keepends=True)
        return len([one async for one in PlanStream(Streamed(lines), counting)])

    assert asyncio.run(all_of()) == 401
    assert looked < 120


@pytest.mark.parametrize(
    ("step", "reads"),
    [
        (tool("a"), True),
        (tool("a", "book"), False),
        (tool("a", "unknown"), False),
        (ask("a"), True),
        (answer(1), False),
        ({"do": "approve", "id": "a", "question": "?"}, False),
        ({"do": "map", "id": "m", "over": [], "steps": [tool("a", "book")], "result": 1}, False),
        ({"do": "map", "id": "m", "over": [], "steps": [tool("a")], "result": 1}, True),
        (tool("a", fallback=tool("b", "book")), False),
    ],
)
def test_only_what_reads_may_begin_early(step: dict[str, Json], reads: bool) -> None:
    assert is_read_only(read_step(msgspec.json.encode(step)), CATALOGUE) == reads


class Streaming:
    """An answerer that streams."""

    name = "large"

    def __init__(self, stream: Streamed) -> None:
        self.sends = stream

    async def stream(self, request: object) -> Streamed:
        return self.sends

    async def answer(self, request: object) -> Answer:
        raise AssertionError("it was to stream")


def test_a_run_begins_before_its_plan_is_written() -> None:
    text = text_of(tool("a"), tool("b", "book"), answer(["${a.price}", "${b}"]))
    stream = Streamed(text.splitlines(keepends=True))

    class Watching(World):
        async def use(self, *arguments: object):  # type: ignore[no-untyped-def, override]
            sent.append((arguments[0], stream.sent))
            return await super().use(*arguments)  # type: ignore[arg-type]

    sent: list[tuple[object, int]] = []
    world = Watching()

    async def run() -> object:
        plans = await LlmPlanner(Streaming(stream), CATALOGUE).stream("goal")
        around = Around(run_id="r", hands=world, catalogue=CATALOGUE)
        begun = Plan(name="x", steps=())
        found = await run_plan(begun, {}, around, coming=plans.__aiter__())
        assert ids(plans.plan.steps) == ["a", "b", "end"]
        return found.value

    assert asyncio.run(run()) == [2.5, {"price": 2.5, "names": ["a", "b"]}]
    assert sent[0][0] == "look"
    assert sent[0][1] < 4
    assert sent[1] == ("book", 4)


def test_who_does_not_stream_is_asked_whole() -> None:
    class Whole:
        name = "large"

        async def answer(self, request: object) -> Answer:
            return Answer(text=written(plan_of(tool("a"), answer(1))).decode())

    async def all_of() -> list[str]:
        return ids([one async for one in await LlmPlanner(Whole(), CATALOGUE).stream("goal")])

    assert asyncio.run(all_of()) == ["a", "end"]
