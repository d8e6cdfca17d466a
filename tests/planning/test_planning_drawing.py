"""Plans as drawings: valid XML whatever they hold, every step there, none over another."""

from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import answer, ask, plan_of, tool

from shoal.planning.drawing import drawn
from shoal.planning.journal import Past
from shoal.planning.plan import (
    Approve,
    Arm,
    Ask,
    Branch,
    Condition,
    Map,
    Plan,
    Repeat,
    Retrieve,
    Say,
    Step,
    Use,
)
from shoal.planning.shape import arms, walk

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = st.sampled_from(
    ["</svg><script>x</script>", "a&b", '"', "]]>", "<!--", "\0\x1b", "\ud800", "￾", "${a.b}", "${",
     "&#0;", "x" * 400, "", "a", "b", "c"]
)  # fmt: skip
TEXT = HOSTILE | st.text(max_size=20)
VALUE = TEXT | st.none() | st.integers() | st.lists(TEXT, max_size=2)
CONDITION = st.builds(Condition, VALUE, st.sampled_from(["equals", "over"]), VALUE)


def of(kind: Callable[..., Step], **fields: Any) -> st.SearchStrategy[Step]:
    return st.builds(kind, id=TEXT, after=st.lists(TEXT, max_size=2).map(tuple), **fields)


LEAVES = st.one_of(
    of(Ask, model=TEXT, prompt=TEXT, task=TEXT),
    of(Retrieve, collection=TEXT, query=TEXT),
    of(Use, tool=TEXT, arguments=st.dictionaries(TEXT, VALUE, max_size=2)),
    of(Approve, question=TEXT),
    of(Say, value=VALUE),
)


def holding(inner: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    some = st.lists(inner, max_size=3).map(tuple)
    arm = st.builds(Arm, st.lists(CONDITION, max_size=2).map(tuple), some)
    either = st.none() | inner
    return st.one_of(
        of(Map, over=VALUE, steps=some, result=VALUE, name=TEXT, fallback=either),
        of(Repeat, steps=some, result=VALUE, at_most=st.integers(1, 9), until=st.just(())),
        of(Branch, arms=st.lists(arm, max_size=3).map(tuple), default=st.none() | arm,
           fallback=either),
        of(Ask, model=TEXT, fallback=either),
    )  # fmt: skip


STEPS = st.lists(st.recursive(LEAVES, holding, max_leaves=10), max_size=6).map(tuple)
PLANS = st.builds(Plan, name=TEXT, steps=STEPS)


def elements(plan: Plan, past: Past | None = None) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(drawn(plan, past)).iter())


def boxes(plan: Plan) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of each."""
    found = []
    for one in elements(plan):
        if one.tag == f"{SVG}rect":
            names = "x", "y", "width", "height"
            x, y, width, height = (float(one.attrib[name]) for name in names)
            found.append((x, y, x + width, y + height))
    return found


def expected(steps: Sequence[Step]) -> int:
    """One box for each step, arm and step with a fallback, and one around all."""
    all_steps = list(walk(steps))
    branches = [len(arms(one)) for one in all_steps if isinstance(one, Branch)]
    return 1 + len(all_steps) + sum(branches) + sum(one.fallback is not None for one in all_steps)


@given(PLANS)
@settings(max_examples=300, deadline=None)
def test_any_plan_is_valid_xml_with_every_step_in_it(plan: Plan) -> None:
    tags = {one.tag.removeprefix(SVG) for one in elements(plan)}
    assert tags <= {"svg", "style", "defs", "marker", "path", "rect", "text"}
    assert len(boxes(plan)) == expected(plan.steps)


@given(PLANS)
@settings(max_examples=300, deadline=None)
def test_boxes_lie_in_each_other_or_apart(plan: Plan) -> None:
    found = boxes(plan)
    for at, (left, top, right, bottom) in enumerate(found):
        assert left < right
        assert top < bottom
        for other in found[at + 1 :]:
            apart = other[0] >= right or other[2] <= left or other[1] >= bottom or other[3] <= top
            within = left < other[0] and top < other[1] and right > other[2] and bottom > other[3]
            assert apart or within, (found[at], other)


def test_what_waits_lies_below_and_an_arrow_leads_there() -> None:
    plan = plan_of(tool("a"), tool("b"), ask("c", "${a.price}"), answer("${c} ${b.price}"))
    _, a, b, c, end = boxes(plan)
    assert a[1] == b[1] < c[1] < end[1]
    arrows = [one for one in elements(plan) if one.attrib.get("marker-end")]
    assert len(arrows) == 3


def test_texts_are_texts() -> None:
    plan = plan_of(ask("a", model="<script>"), answer("x"), name="<b>&amp;</b>")
    texts = [one.text for one in elements(plan) if one.tag == f"{SVG}text"]
    assert "<b>&amp;</b>" in texts
    assert "ask <script>" in texts


def test_colours_tell_what_became_of_steps() -> None:
    plan = plan_of(tool("a"), tool("b"), tool("c"), tool("d"), answer("${a.price}"), name="a")
    past = Past({"a": 1}, {"b": "broke"}, frozenset({"c"}))
    rects = [one for one in elements(plan, past) if one.tag == f"{SVG}rect"]
    fills = [one.attrib["fill"] for one in rects]
    assert fills[0] == fills[4] == fills[5]  # the whole plan, whatever its name
    assert len(set(fills[:4])) == 4
