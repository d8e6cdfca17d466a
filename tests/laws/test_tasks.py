"""Laws of templates, contracts and matching that hold for all inputs."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.chat import Answer, Message, Request
from shoal.tasks import Matcher, Task, same
from shoal.tasks.alignment import pattern_of
from shoal.tasks.contract import (
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    NumberContract,
    TextContract,
    parse,
    render,
)
from shoal.tasks.inference import infer, join
from shoal.tasks.json_style import JsonStyle, style_of
from shoal.tasks.slot_names import name_slots
from shoal.tasks.template import Pattern, Template, opening_skeleton_of, skeleton_of
from shoal.tasks.wording import number_in, simplified

texts = st.text(alphabet="ab:\n.<> é", max_size=12)
words = st.text(alphabet="abcdefgh", min_size=1, max_size=8)
literals = st.lists(texts, min_size=1, max_size=4).map(tuple)


@given(literals, st.data())
def test_match_gives_values_that_fill_to_the_same_text(
    parts: tuple[str, ...], data: st.DataObject
) -> None:
    pattern = Pattern("user", parts)
    values = data.draw(st.lists(texts, min_size=len(parts) - 1, max_size=len(parts) - 1))
    text = pattern.fill(values)
    found = pattern.match(text)
    assert found is not None
    assert pattern.fill(found) == text


@given(literals, texts)
def test_whatever_matches_is_rebuilt_from_its_values(parts: tuple[str, ...], text: str) -> None:
    pattern = Pattern("user", parts)
    found = pattern.match(text)
    assert found is None or pattern.fill(found) == text


@given(literals, st.lists(texts, min_size=8, max_size=30), st.randoms())
@settings(max_examples=60, deadline=None)
def test_aligned_patterns_match_nearly_all_texts_in_any_order(
    parts: tuple[str, ...], values: list[str], rng: object
) -> None:
    pattern = Pattern("user", parts)
    made = [pattern.fill([value] * pattern.slots) for value in values]
    found = pattern_of("user", made)
    assert sum(found.match(text) is not None for text in made) >= 0.8 * len(set(made))
    shuffled = list(made)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pattern_of("user", shuffled) == found


@given(st.lists(literals, max_size=4))
def test_slot_names_are_unique_identifiers(parts: list[tuple[str, ...]]) -> None:
    patterns = [Pattern("user", part) for part in parts]
    names = name_slots(patterns, ())
    assert len(names) == sum(pattern.slots for pattern in patterns) == len(set(names))
    assert all(names)


labels = st.lists(words, min_size=1, max_size=6, unique=True).map(tuple)
kinds = st.sampled_from(["label", "boolean", "number", "span"])
values = {
    "boolean": st.booleans(),
    "number": st.integers(-(10**6), 10**6).map(float) | st.floats(-1e6, 1e6, allow_nan=False),
    "span": st.text(min_size=1, max_size=8),
}


@given(labels, st.data())
def test_labels_are_read_as_they_are_written(names: tuple[str, ...], data: st.DataObject) -> None:
    contract = LabelContract(names, data.draw(st.sampled_from(["", "Label: "])))
    label = data.draw(st.sampled_from(names))
    assert parse(contract, render(contract, label)) == label
    assert parse(contract, f" {render(contract, label)} ") == label


@given(
    st.lists(st.tuples(words, kinds, st.booleans()), max_size=5, unique_by=lambda f: f[0]),
    st.data(),
)
def test_fields_are_read_as_they_are_written(
    specs: list[tuple[str, str, bool]], data: st.DataObject
) -> None:
    missing = data.draw(st.sampled_from(["absent", "null", "blank"]))
    fields = tuple(
        Field(name, kind, ("x", "y") if kind == "label" else (), optional, False, missing)  # type: ignore[arg-type]
        for name, kind, optional in specs
    )
    indent = data.draw(st.sampled_from([0, 2]))
    fence = data.draw(st.sampled_from(["", "```json"]))
    contract = FieldsContract(fields, JsonStyle("," if indent else ", ", ": ", indent, fence))
    output = {}
    for field in fields:
        value = st.sampled_from(["x", "y"]) if field.kind == "label" else values[field.kind]
        output[field.name] = data.draw(st.none() | value if field.may_miss else value)
    text = render(contract, output)
    assert parse(contract, text) == output
    assert same(contract, Answer(text), Answer(text))


@given(st.floats(-1e9, 1e9, allow_nan=False))
def test_numbers_are_read_as_they_are_written(number: float) -> None:
    text = render(NumberContract("€", " net"), number)
    assert "e" in text.removesuffix(" net") or parse(NumberContract("€", " net"), text) == number


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(words, jsons, max_size=4), st.sampled_from([None, 2, 4]))
def test_the_style_of_json_writes_it_again(value: dict[str, object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert style_of(text).write(value) == text


@given(st.text(max_size=30))
def test_simplifying_twice_changes_nothing_more_for_words(text: str) -> None:
    once = simplified(text)
    assert simplified(once.strip(".")) == simplified(simplified(once.strip(".")))


@given(st.integers(-(10**12), 10**12))
def test_thousands_separators_do_not_change_a_number(number: int) -> None:
    assert number_in(f"{number:,}") == number_in(str(number)) == float(number)


@given(st.lists(st.text(max_size=12), max_size=20), st.lists(st.text(max_size=12), max_size=20))
@settings(deadline=None)
def test_inference_takes_any_answers_and_joins_without_losing_labels(
    first: list[str], second: list[str]
) -> None:
    one, two = (infer([("", Answer(text)) for text in texts]) for texts in (first, second))
    joined = join(one, two)
    if isinstance(one, LabelContract) and isinstance(joined, LabelContract):
        assert isinstance(two, LabelContract)
        assert {*one.labels, *two.labels} == set(joined.labels)
    if type(one) is type(two) and isinstance(one, TextContract):
        assert joined is not None


contracts: st.SearchStrategy[Contract] = st.one_of(
    labels.map(LabelContract), st.just(TextContract()), st.just(NumberContract())
)


@given(contracts, st.text(max_size=10), st.text(max_size=10))
def test_sameness_is_symmetric_and_reflexive(contract: Contract, a: str, b: str) -> None:
    assert same(contract, Answer(a), Answer(a))
    assert same(contract, Answer(a), Answer(b)) == same(contract, Answer(b), Answer(a))


@given(st.lists(literals, min_size=1, max_size=5, unique=True), st.text(max_size=20))
def test_the_matcher_finds_what_some_template_matches(
    parts: list[tuple[str, ...]], text: str
) -> None:
    request = Request("m", (Message("user", text),))
    tasks = [
        Task(
            f"t{number}",
            f"t{number}",
            (Template(skeleton_of(request), (Pattern("user", part),), ("s",) * (len(part) - 1)),),
            TextContract(),
        )
        for number, part in enumerate(parts)
    ]
    found = Matcher(tasks).match(request)
    able = [task for task in tasks if task.templates[0].match(request) is not None]
    assert (found is None) == (not able)
    if found:
        heaviest = max(task.templates[0].weight for task in able)
        assert found.template.weight == heaviest


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
blanks = st.text(alphabet=" \n\t", max_size=3)


def written(value: object, data: st.DataObject) -> str:
    """The value as JSON, with any blanks and its keys in any order."""
    before, after = data.draw(blanks), data.draw(blanks)
    if isinstance(value, dict):
        keys = data.draw(st.permutations(list(value)))
        parts = [f"{json.dumps(key)}{before}:{written(value[key], data)}" for key in keys]
        return f"{before}{{{after}{','.join(parts)}{before}}}{after}"
    if isinstance(value, list):
        return f"{before}[{after}{','.join(written(v, data) for v in value)}]{after}"
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    return f"{before}{text}{after}"


@given(anything, anything, anything, st.data())
@settings(max_examples=60, deadline=None)
def test_a_task_is_the_same_however_its_tools_and_format_are_written(
    tools: object, form: object, other: object, data: st.DataObject
) -> None:
    def asked(tools: object, form: object) -> Request:
        told = (Message("user", "hi"),)
        return Request("m", told, tools=written(tools, data), response_format=written(form, data))

    for skeleton, continues in ((skeleton_of, False), (opening_skeleton_of, True)):
        slots = ("text", "conversation")[: 1 + continues]
        patterns = (Pattern("user", ("", "")),)
        template = Template(skeleton(asked(tools, form)), patterns, slots, continues)
        matcher = Matcher([Task("t", "t", (template,), TextContract())])
        assert matcher.match(asked(tools, form)) is not None
        alike = json.dumps(form, sort_keys=True) == json.dumps(other, sort_keys=True)
        assert (matcher.match(asked(tools, other)) is not None) == alike
        assert (template.match(asked(tools, other)) is not None) == alike
