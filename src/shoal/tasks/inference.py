"""The contract of a task, inferred from its answers.

The rule, in this order; shares are of the answers that are complete and not refused:

1. at least 10 % call tools: calls; texts that come again word for word in 2 % are what is said in
   place of a call; an agent that also talks if these and the calls are not 98 %;
2. at least 98 % are a JSON object, in a code fence or not: fields (``field_inference``), or JSON
   text if the keys vary without end; JSON arrays are JSON text;
   (of labels: labels, as are lists of labels; ``label_sets``);
3. the values come from a closed set (``closed_sets``): a label. Numbers do so only if there are at
   most twelve different ones;
4. at least 98 % are one number, with the same text around it in 95 %: a number;
5. at least 90 % reason first and conclude with the same phrase, and what stands behind it is such a
   label or number: that, ``reasoned``;
6. else text.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from shoal.chat import Answer
from shoal.tasks.closed_sets import closed_labels
from shoal.tasks.conclusions import SAME_CUE, common_cue, conclusions
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    Kind,
    LabelContract,
    LabelsContract,
    NumberContract,
    TextContract,
    read,
)
from shoal.tasks.field_inference import infer_fields
from shoal.tasks.json_style import JsonStyle, read_object, style_of, unfenced
from shoal.tasks.label_sets import array_labels, list_style, separated_labels
from shoal.tasks.wording import bare, closing, number_in

T = TypeVar("T")

SAME_FORM = 0.98
MIXED_FORM = 0.1
SAME_AFFIX = 0.95
MAX_NUMBER_LABELS = 12
MIN_SAID = 5
"""How often a text must come again to be one that an agent always says so."""
STYLE_SAMPLE = 50
STILL_KEPT = 0.8
"""A known contract is replaced once fewer of the answers than this keep it."""

_AFFIXED = re.compile(r"([^\d+−.-]{0,12}?)([-+−]?[\d.][\d.,]*)(\D{0,12})", re.DOTALL)
_LABEL_PREFIX = re.compile(r"\A[^\n]{0,40}?:\s*")


def infer(pairs: Sequence[tuple[str, Answer]], literals: str = "") -> Contract:
    """The contract that these answers keep.

    ``pairs`` are (input text, answer); ``literals`` is the constant text of the template and the
    response format, where lists of labels are looked for.
    """
    usable = [pair for pair in pairs if _usable(pair[1])]
    if not usable:
        return TextContract()
    calling = [answer for _, answer in usable if answer.tool_calls]
    if len(calling) >= MIXED_FORM * len(usable):
        tools = tuple(sorted({call.name for answer in calling for call in answer.tool_calls}))
        said = Counter(answer.text.strip() for _, answer in usable if not answer.tool_calls)
        least = max(MIN_SAID, (1 - SAME_FORM) * len(usable))
        says = tuple(sorted(text for text, count in said.items() if count >= least))
        kept = len(calling) + sum(said[text] for text in says)
        return CallContract(tools, kept < SAME_FORM * len(usable), says)
    if len(calling) > (1 - SAME_FORM) * len(usable):
        return TextContract()
    return _infer_text([(text, a.text) for text, a in usable if not a.tool_calls], literals)


def revise(known: Contract, pairs: Sequence[tuple[str, Answer]], literals: str = "") -> Contract:
    """A known contract in the light of more answers: labels and fields are added, never dropped.

    It is replaced only by a contract of another kind: text by any form that is found later, a form
    by another only once fewer than 80 % of the answers keep it.
    """
    usable = [pair for pair in pairs if _usable(pair[1])]
    found = infer(usable, literals)
    merged = join(known, found)
    if merged is not None:
        return merged
    if not usable or isinstance(known, TextContract):
        return found if usable else known
    kept = sum(read(known, answer) is not None for _, answer in usable)
    return known if kept >= STILL_KEPT * len(usable) else found


def join(a: Contract, b: Contract) -> Contract | None:
    """The contract that answers of both keep, written in the style of ``a``; None if none does."""
    match a, b:
        case LabelContract(), LabelContract() if (a.prefix, a.reasoned) == (b.prefix, b.reasoned):
            return msgspec.structs.replace(a, labels=_joined(a.labels, b.labels))
        case LabelsContract(), LabelsContract() if a.separator == b.separator:
            return msgspec.structs.replace(
                a, labels=_joined(a.labels, b.labels), none=a.none or b.none
            )
        case FieldsContract(), FieldsContract():
            return _join_fields(a, b)
        case CallContract(), CallContract():
            tools = tuple(sorted({*a.tools, *b.tools}))
            return CallContract(tools, a.talks or b.talks, tuple(sorted({*a.says, *b.says})))
        case NumberContract(), NumberContract() if _affixes(a) == _affixes(b):
            return a if a.decimals == b.decimals else msgspec.structs.replace(a, decimals=-1)
        case TextContract(), TextContract():
            return TextContract(json=a.json and b.json)
        case _:
            return None


def _affixes(contract: NumberContract) -> tuple[str, str, bool]:
    return contract.prefix, contract.suffix, contract.reasoned


def _join_fields(a: FieldsContract, b: FieldsContract) -> FieldsContract | None:
    theirs = {field.name: field for field in b.fields}
    ours = {field.name for field in a.fields}
    if not ours & theirs.keys():
        return None
    fields = [_join_field(field, theirs.get(field.name)) for field in a.fields]
    new = [msgspec.structs.replace(f, optional=True) for f in b.fields if f.name not in ours]
    return msgspec.structs.replace(a, fields=(*fields, *new))


def _join_field(a: Field, b: Field | None) -> Field:
    if b is None:
        return msgspec.structs.replace(a, optional=True)
    kind = _joined_kind(a, b)
    return msgspec.structs.replace(
        a,
        kind=kind,
        labels=_joined(a.labels, b.labels) if kind == a.kind else b.labels,
        optional=a.optional or b.optional,
        nullable=a.nullable or b.nullable,
    )


def _joined_kind(a: Field, b: Field) -> Kind:
    """The kind that holds the values of both; a label without labels never had a value."""
    if a.kind == b.kind or (b.kind == "label" and not b.labels):
        return a.kind
    if a.kind == "label" and not a.labels:
        return b.kind
    if (a.kind, b.kind) == ("span", "date"):
        return "span"  # days that the input has as they are: known so before there was a kind
    return "text" if {a.kind, b.kind} <= {"label", "date", "span", "text"} else "json"


def _joined(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    known = set(a)
    return (*a, *(label for label in b if label not in known))


def _usable(answer: Answer) -> bool:
    cut = not answer.complete or answer.finish_reason == "length"
    return not (cut or answer.refusal) and bool(answer.tool_calls or answer.text.strip())


def _infer_text(pairs: Sequence[tuple[str, str]], literals: str) -> Contract:
    texts = [text for _, text in pairs]
    objects = [(given, found) for given, text in pairs if (found := read_object(text)) is not None]
    if len(objects) >= SAME_FORM * len(texts):
        fields = infer_fields(objects, literals)
        style = Counter(style_of(text) for text in texts[:STYLE_SAMPLE] if read_object(text))
        return FieldsContract(fields, _commonest(style)) if fields else TextContract(json=True)
    if sum(map(_is_array, texts)) >= SAME_FORM * len(texts):
        return _infer_labels(texts, literals, separated=False) or TextContract(json=True)
    numbers = _infer_number(texts)
    if numbers and _many(texts):
        return numbers
    several = _infer_labels(texts, literals, separated=True)
    one = _infer_label(texts, literals)
    return several or one or numbers or _infer_reasoned(texts, literals) or TextContract()


def _infer_reasoned(texts: Sequence[str], literals: str) -> Contract | None:
    """A label or a number at the end of reasoning."""
    cue = common_cue(texts)
    found = conclusions(texts, cue) if cue else []
    if len(found) < SAME_CUE * len(texts):
        return None
    numbers = [number for text in found if (number := number_in(bare(text))) is not None]
    if len(numbers) >= SAME_FORM * len(found) and _many(found):
        return NumberContract(cue, closing(cue), reasoned=True)
    labels = closed_labels([bare(text) for text in found], literals)
    return LabelContract(labels, cue, reasoned=True) if labels else None


def _commonest(counts: Counter[T]) -> T:
    return min(counts.items(), key=lambda item: (-item[1], repr(item[0])))[0]


def _is_array(text: str) -> bool:
    inner = unfenced(text)[1].strip()
    if not inner.startswith("["):
        return False
    try:
        msgspec.json.decode(inner, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _many(texts: Sequence[str]) -> bool:
    return len({bare(text) for text in texts}) > MAX_NUMBER_LABELS


def _infer_number(texts: Sequence[str]) -> NumberContract | None:
    """All numbers, with one pair of affixes in nearly all."""
    matches = [m for text in texts if (m := _AFFIXED.fullmatch(bare(text)))]
    matches = [match for match in matches if number_in(match[2]) is not None]
    if len(matches) < SAME_FORM * len(texts):
        return None
    affixes = Counter((match[1], match[3]) for match in matches)
    prefix, suffix = _commonest(affixes)
    if affixes[prefix, suffix] < SAME_AFFIX * len(texts):
        return None
    decimals = {len(match[2].partition(".")[2]) for match in matches}
    return NumberContract(prefix, suffix, decimals.pop() if len(decimals) == 1 else -1)


def _infer_label(texts: Sequence[str], literals: str) -> LabelContract | None:
    """A label, after the text that stands before every label ("Intent: ") is taken off."""
    prefix = _common_prefix(texts)
    labels = closed_labels([text.strip().removeprefix(prefix) for text in texts], literals)
    return LabelContract(labels, prefix) if labels else None


def _infer_labels(texts: Sequence[str], literals: str, separated: bool) -> LabelsContract | None:
    """Any number of labels, as a JSON array or with a sign between them."""
    prefix = _common_prefix(texts) if separated else ""
    bodies = [text.strip().removeprefix(prefix) for text in texts]
    found = separated_labels(bodies, literals) if separated else array_labels(bodies, literals)
    style = JsonStyle() if separated else _commonest(Counter(map(list_style, texts[:STYLE_SAMPLE])))
    if found is None:
        return None
    return LabelsContract(found.labels, found.separator, found.none, prefix, style)


def _common_prefix(texts: Sequence[str]) -> str:
    """The "Name: " that nearly all texts begin with, else ""."""
    found = Counter(m[0] for text in texts if (m := _LABEL_PREFIX.match(text.strip())))
    if not found:
        return ""
    prefix = _commonest(found)
    return prefix if found[prefix] >= SAME_FORM * len(texts) else ""
