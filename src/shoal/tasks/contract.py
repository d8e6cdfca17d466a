"""Contracts: what the output of a task looks like, how to read it and how to write it.

``read`` and ``parse`` turn an answer into its canonical output, ``written`` and ``render`` turn an
output into the answer, or its text, that the LLM would have sent. What this module does not know:
how a contract is inferred (``inference``), and when two outputs are the same (``comparator``).
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from shoal.chat import Answer, ToolCall
from shoal.tasks.dates import is_iso_date
from shoal.tasks.json_style import JsonStyle, read_object
from shoal.tasks.label_sets import split_labels
from shoal.tasks.wording import bare, closing, concluded, find_label, number_in, simplified

Kind = Literal["label", "boolean", "number", "date", "span", "spans", "text", "json"]
"""What a field holds: "span" is copied from the input, "spans" a list of what is, "date" a day as
"2026-11-30", "json" a list or an object of its own."""

Missing = Literal["absent", "null", "blank"]
"""How the LLM writes a field without a value: key left out, ``null`` or ``""``."""

Scalar = str | float | bool | None
Output = str | float | dict[str, Scalar] | tuple[ToolCall, ...] | tuple[str, ...]

COPIED_KINDS = frozenset({"number", "date", "span", "spans"})
"""Kinds whose values the input states, as it has them or written otherwise."""
CLOSED_KINDS = COPIED_KINDS | {"label", "boolean"}


class Compared(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every contract has: the name of the task's own ``comparator``, "" for what the contract
    itself means by the same answer."""

    comparator: str = ""


class LabelContract(Compared, frozen=True, tag="label", omit_defaults=True):
    """One of a closed set of labels, yes or no included. ``prefix`` stands before every label.

    ``reasoned``: the LLM may reason around it; the label stands behind the last prefix.
    """

    labels: tuple[str, ...]
    prefix: str = ""
    reasoned: bool = False


class LabelsContract(Compared, frozen=True, tag="labels", omit_defaults=True):
    """Any number of a closed set of labels, in any order.

    ``separator`` stands between them ("": they are a JSON array in this ``style``), ``none`` in
    place of no label at all ("": never seen without one), ``prefix`` before them all.
    """

    labels: tuple[str, ...]
    separator: str = ""
    none: str = ""
    prefix: str = ""
    style: JsonStyle = JsonStyle()


class Field(Struct, frozen=True, omit_defaults=True):
    """One field of a JSON object.

    ``optional``: the key may be absent. ``nullable``: the value may be ``null`` or ``""``.
    ``missing`` is the way of saying "no value" that ``render`` uses.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    optional: bool = False
    nullable: bool = False
    missing: Missing = "absent"

    @property
    def may_miss(self) -> bool:
        """Whether there may be no value."""
        return self.optional or self.nullable


class FieldsContract(Compared, frozen=True, tag="fields", omit_defaults=True):
    """A JSON object with these fields, in this order."""

    fields: tuple[Field, ...]
    style: JsonStyle = JsonStyle()


class NumberContract(Compared, frozen=True, tag="number", omit_defaults=True):
    """One number, what stands around it ("$", " %") and its decimals (-1: as many as needed).

    ``reasoned`` as for labels.

    Two numbers are the same if they differ by at most ``absolute``, or by at most the share
    ``relative`` of the lesser of the two; by default if they are equal.
    """

    prefix: str = ""
    suffix: str = ""
    decimals: int = -1
    reasoned: bool = False
    absolute: float = 0.0
    relative: float = 0.0


class CallContract(Compared, frozen=True, tag="call", omit_defaults=True):
    """Calls of these tools, by name.

    ``says``: texts, word for word, with which the LLM ends a loop or hands it over, instead of a
    call. ``talks``: in some steps it answers in other text, as an agent does. Such a step keeps no
    contract that a specialist could: it is an example of where to decline.
    """

    tools: tuple[str, ...]
    talks: bool = False
    says: tuple[str, ...] = ()


class TextContract(Compared, frozen=True, tag="text", omit_defaults=True):
    """Text without a form of its own; ``json`` if it is always JSON of varying keys."""

    json: bool = False


Contract = (
    LabelContract | LabelsContract | FieldsContract | NumberContract | CallContract | TextContract
)


def is_closed(contract: Contract) -> bool:
    """Whether it can be learned without generating text: labels, numbers, calls of tools, or fields
    of such kinds. (Of a call's arguments those that are stated nowhere are declined.)"""
    match contract:
        case LabelContract() | LabelsContract() | NumberContract() | CallContract():
            return True
        case FieldsContract(fields=fields):
            return all(field.kind in CLOSED_KINDS for field in fields)
        case _:
            return False


def read(contract: Contract, answer: Answer) -> Output | None:
    """The canonical output; None if the answer is cut short, refused or breaks the contract."""
    if not answer.complete or answer.refusal or answer.finish_reason == "length":
        return None
    if isinstance(contract, CallContract):
        if not answer.tool_calls:
            return text if (text := answer.text.strip()) in contract.says else None
        named = all(call.name in contract.tools for call in answer.tool_calls)
        return answer.tool_calls if named else None
    return None if answer.tool_calls else parse(contract, answer.text)


def parse(contract: Contract, text: str) -> Output | None:
    """The canonical output of an answer's text, None if the text does not keep the contract.

    A label comes back in the contract's spelling, labels in its order and once each, fields as a
    dict of every name (None where there is no value), a number as float, other text stripped. Tool
    calls are no text: see ``read``.
    """
    match contract:
        case LabelContract(labels=labels, prefix=prefix, reasoned=True):
            return find_label(concluded(text, prefix), labels)
        case NumberContract(prefix=prefix, suffix=suffix, reasoned=True):
            return number_in(bare(concluded(text, prefix)).removesuffix(suffix))
        case LabelContract(labels=labels, prefix=prefix):
            return find_label(text.strip().removeprefix(prefix), labels)
        case LabelsContract():
            return _parse_labels(contract, text)
        case FieldsContract():
            return _parse_fields(contract, text)
        case NumberContract(prefix=prefix, suffix=suffix):
            return number_in(bare(text).removeprefix(prefix).removesuffix(suffix))
        case CallContract():
            return None
        case TextContract():
            return text.strip()


def render(contract: Contract, output: Output) -> str:
    """The text of an output in the LLM's usual spelling: ``parse(contract, text)`` gives it back.

    Raises:
        ValueError: the output does not fit the contract.
    """
    match contract, output:
        case LabelContract(), str() if output in contract.labels:
            end = closing(contract.prefix) if contract.reasoned else ""
            return contract.prefix + output + end
        case LabelsContract(labels=labels), tuple() if all(item in labels for item in output):
            return _written_labels(contract, output)
        case FieldsContract(), dict():
            return contract.style.write(_present(contract, output))
        case NumberContract(), int() | float():
            return f"{contract.prefix}{_digits(output, contract.decimals)}{contract.suffix}"
        case TextContract(), str():
            return output
        case _:
            raise ValueError(f"{output!r} does not fit {type(contract).__name__}")


def written(contract: Contract, output: Output) -> Answer:
    """The answer that the LLM would have given: ``read(contract, answer)`` gives ``output`` back.

    Raises:
        ValueError: the output does not fit the contract.
    """
    if not isinstance(contract, CallContract):
        return Answer(text=render(contract, output))
    if output in contract.says:
        return Answer(text=str(output), finish_reason="stop")
    calls = output if isinstance(output, tuple) else ()
    named = [c for c in calls if isinstance(c, ToolCall) and c.name in contract.tools]
    if not isinstance(output, tuple) or len(named) < len(output):
        raise ValueError(f"{output!r} does not fit {type(contract).__name__}")
    return Answer(tool_calls=tuple(named), finish_reason="tool_calls")


def _parse_labels(contract: LabelsContract, text: str) -> tuple[str, ...] | None:
    said = text.strip().removeprefix(contract.prefix)
    if contract.none and simplified(said) == simplified(contract.none):
        return ()
    items = split_labels(said, contract.separator)
    found = [find_label(item, contract.labels) for item in items or ()]
    if items is None or None in found or (not items and contract.separator):
        return None
    return tuple(label for label in contract.labels if label in found)


def _written_labels(contract: LabelsContract, output: tuple[object, ...]) -> str:
    """Raises ValueError for no label where the LLM was never seen to write that."""
    if not contract.separator:
        return contract.prefix + contract.style.write(list(output))
    if not output and not contract.none:
        raise ValueError("no label at all: the contract has no word for that")
    return contract.prefix + (contract.separator.join(map(str, output)) or contract.none)


def written_list(items: Sequence[str]) -> str:
    """The canonical value of a list of spans: its JSON text."""
    return JsonStyle().write(list(items))


def listed(value: str) -> list[str]:
    """The spans of the canonical value of a list. Raises ValueError if it is none."""
    items = JsonStyle.read(value)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"{value!r} is no list of strings")
    return items


def _parse_fields(contract: FieldsContract, text: str) -> dict[str, Scalar] | None:
    found = read_object(text)
    if found is None or not found.keys() <= {field.name for field in contract.fields}:
        return None
    output: dict[str, Scalar] = {}
    for field in contract.fields:
        raw = found.get(field.name)
        if raw is None or (raw == "" and field.may_miss):
            if not field.may_miss:
                return None
            output[field.name] = None
            continue
        value = _value(field, raw)
        if value is None:
            return None
        output[field.name] = value
    return output


def _value(field: Field, raw: object) -> Scalar:
    """The canonical value of a field; None if it breaks the contract."""
    match field.kind, raw:
        case "boolean", bool():
            return raw
        case "number", int() | float() if not isinstance(raw, bool):
            return float(raw)
        case "label", str():
            return find_label(raw, field.labels)
        case "span" | "text", str():
            return raw
        case "date", str():
            return raw if is_iso_date(raw) else None
        case "spans", list():
            return written_list(raw) if all(isinstance(item, str) for item in raw) else None
        case "json", _:
            return JsonStyle().write(raw)
        case _:
            return None


def _present(contract: FieldsContract, output: dict[str, Scalar]) -> dict[str, object]:
    """The object to write: fields in order, missing ones in the LLM's way."""
    unknown = output.keys() - {field.name for field in contract.fields}
    if unknown:
        raise ValueError(f"no such field: {', '.join(sorted(unknown))}")
    written: dict[str, object] = {}
    for field in contract.fields:
        value = output.get(field.name)
        if value is not None:
            written[field.name] = _writable(field, value)
        elif not field.may_miss:
            raise ValueError(f"field {field.name} needs a value")
        elif field.missing != "absent":
            written[field.name] = None if field.missing == "null" else ""
    return written


def _writable(field: Field, value: Scalar) -> object:
    if field.kind == "spans" and isinstance(value, str):
        return listed(value)
    if _value(field, value) is None:
        raise ValueError(f"{value!r} does not fit field {field.name} ({field.kind})")
    if field.kind == "number" and isinstance(value, float) and value.is_integer():
        return int(value)
    return JsonStyle.read(value) if field.kind == "json" and isinstance(value, str) else value


def _digits(value: float, decimals: int) -> str:
    if decimals >= 0:
        return f"{value:.{decimals}f}"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
