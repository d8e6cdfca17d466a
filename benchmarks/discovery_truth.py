"""What discovery is measured against: wordings that can be told apart, and the right contracts.

The truth rests on the data sets alone: on the text of each template's own calls, on the right
outputs the data sets give, and on the recorded answers. Nothing of ``shoal.tasks`` that is being
measured decides here what is right.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import repeat

from msgspec import Struct

from benchmarks.task_traffic import Labelled
from shoal.tasks import Contract, FieldsContract, LabelContract, NumberContract

CONSTANT = 0.97
"""Share of a template's calls that hold what counts as its constant text."""
REPEATED = 5
"""A set of right outputs is closed if each comes so often on average."""
MOST_LABELS = 100
ANSWERED = 0.9
"""Share of the recorded answers that must state an output of that set, in so many words."""

_WORD = re.compile(r"[^\W_]+")
_BOXED = re.compile(r"\\boxed\{+([^{}\n]{1,60})")
_CONCLUDED = re.compile(r"\banswer\b(?:[^.\n]{0,40}?\bis)?:?\s*", re.IGNORECASE)


def wordings(calls: Sequence[Labelled]) -> dict[str, str]:
    """Template to wording: templates whose constant text is word for word the same share one.

    Constant text: the runs of three words, with how often each comes, that nearly all calls hold,
    and whose message the last is.
    """
    by_template: dict[str, Counter[tuple[object, ...]]] = defaultdict(Counter)
    sizes = Counter(call.template for call in calls)
    for call in calls:
        by_template[call.template].update(_runs(call))
    names: dict[frozenset[tuple[object, ...]], str] = {}
    found = {}
    for template, counts in sorted(by_template.items()):
        least = CONSTANT * sizes[template]
        constant = frozenset(run for run, n in counts.items() if n >= least)
        found[template] = names.setdefault(constant, template)
    return found


def _runs(call: Labelled) -> set[tuple[object, ...]]:
    last = call.call.request.messages[-1]
    tools = {c.id: c.name for m in call.call.request.messages for c in m.tool_calls}
    runs: Counter[tuple[object, ...]] = Counter()
    runs["comes after", last.role, tools.get(last.tool_call_id, "")] = 1
    for place, message in enumerate(call.call.request.messages):
        words = ["^", *_WORD.findall(message.text), "$"]
        runs.update(zip(repeat(place), words, words[1:], words[2:], strict=False))
    return {(*run, nth) for run, count in runs.items() for nth in range(count)}


class Closed(Struct, frozen=True):
    """The right outputs of a template with a closed contract."""

    kind: str
    labels: frozenset[str]


def closed_outputs(calls: Sequence[Labelled]) -> Closed | None:
    """What the answers of one template should be read as; None if they are no closed set.

    Closed: the data set's right outputs are numbers, or few different ones, and nearly all recorded
    answers state one of them.
    """
    targets = Counter(_plain(call.target) for call in calls if call.target)
    if targets.total() < len(calls):
        return None
    if "" in targets:
        return None
    numeric = all(re.fullmatch(r"-?\d+(\.\d+)?", target) for target in targets)
    if numeric:
        stated = sum(_is_number(_stated(call)) for call in calls)
        return Closed("number", frozenset()) if stated >= ANSWERED * len(calls) else None
    if len(targets) > min(MOST_LABELS, len(calls) / REPEATED):
        return None
    said = Counter(text for call in calls if (text := _stated(call)) in targets)
    if said.total() < ANSWERED * len(calls):
        return None
    return Closed("label", frozenset(label for label in said if said[label] > 1))


def _stated(call: Labelled) -> str:
    """What an answer comes to: what is in a box, else behind the last "answer is", else all."""
    text = call.call.answer.text
    boxed = _BOXED.findall(text)
    if boxed:
        return _plain(boxed[-1])
    rest = _CONCLUDED.split(text)[-1].strip()
    return _plain(rest.partition("\n")[0])


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower())) if not _is_number(text) else text.strip(" .")


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d+)?\.?", text.strip()))


def is_right(contract: Contract, closed: Closed) -> bool:
    """Whether an inferred contract is of the right kind and knows every label."""
    match contract:
        case LabelContract(labels=labels):
            return closed.kind == "label" and closed.labels <= {*map(_plain, labels)}
        case NumberContract():
            return closed.kind == "number"
        case _:
            return False


def fields_right(contract: Contract, kind: str, number: int) -> bool:
    """Whether a contract is so many fields, all of that kind."""
    kinds = [f.kind for f in contract.fields] if isinstance(contract, FieldsContract) else []
    return kinds == [kind] * number
