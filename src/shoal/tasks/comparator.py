"""What "the same answer" means for each contract."""

import math
import unicodedata

import msgspec

from shoal.chat import Answer, ToolCall
from shoal.tasks.comparators import registered
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    LabelsContract,
    NumberContract,
    Scalar,
    TextContract,
    listed,
    read,
)
from shoal.tasks.wording import flattened


def same(contract: Contract, a: Answer, b: Answer) -> bool:
    """Whether two answers of a task are the same answer.

    - label: the same label once case, surrounding whitespace, quotes and a closing period are gone;
    - labels: the same set of labels, in whatever order;
    - fields: field by field: absent, ``null`` and ``""`` are equal where a value may be missing,
      labels as above, numbers, dates and booleans by value, spans and lists of them (in order)
      after folding case and whitespace, text as below, nested JSON by value;
    - number: equal by value (1.0 is 1, "1,000" is 1000), or within the contract's tolerance;
    - call: the same tools in the same order with arguments equal as JSON, or the same fixed text;
    - text: equal after NFKC, case folding, whitespace folded, closing punctuation dropped (if the
      text is always JSON: equal by value).

    An answer that breaks the contract, is cut short or refused equals only another such answer
    with the same text and calls, so a promise about agreement never counts it as agreement with a
    kept contract.

    A task's own comparator, which its contract names, decides alone where both answers keep the
    contract.

    Raises:
        ConfigError: no comparator of that name is registered.
    """
    first, second = read(contract, a), read(contract, b)
    if first is None or second is None:
        return first is second and _plain(a.text) == _plain(b.text) and _same_calls(a, b)
    if contract.comparator:
        return registered(contract.comparator)(a, b)
    if isinstance(contract, FieldsContract):
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        return all(same_value(f, first[f.name], second[f.name]) for f in contract.fields)
    if isinstance(contract, NumberContract):
        assert isinstance(first, float)
        assert isinstance(second, float)
        return same_number(contract, first, second)
    if isinstance(contract, CallContract):
        if isinstance(first, str) or isinstance(second, str):
            return first == second
        return _same_calls(a, b)
    if isinstance(contract, TextContract):
        return _same_text(contract, str(first), str(second))
    return first == second


def comparator_name(contract: Contract) -> str:
    """The comparator as certificates name it."""
    if contract.comparator:
        return contract.comparator
    match contract:
        case LabelContract():
            return "equal label"
        case LabelsContract():
            return "equal set of labels"
        case FieldsContract():
            return "equal JSON per field"
        case NumberContract(absolute=0, relative=0):
            return "equal number"
        case NumberContract(absolute=absolute, relative=relative):
            within = [f"{absolute:g}"] if absolute else []
            within += [f"{100 * relative:g} %"] if relative else []
            return f"equal within {' or '.join(within)}"
        case CallContract():
            return "equal call"
        case TextContract(json=True):
            return "equal JSON"
        case TextContract():
            return "same text after normalising"


def same_number(contract: NumberContract, a: float, b: float) -> bool:
    """Whether two numbers are the same within the contract's tolerance, whichever comes first."""
    if a == b or not (math.isfinite(a) and math.isfinite(b)):
        return a == b
    gap = abs(a - b)
    allowed = max(contract.absolute, contract.relative * min(abs(a), abs(b)))
    return gap <= allowed or math.isclose(gap, allowed, rel_tol=1e-9)


def same_value(field: Field, a: Scalar, b: Scalar) -> bool:
    """Whether two canonical values of one field are the same value."""
    if a is None or b is None:
        return a is b
    match field.kind:
        case "span":
            return flattened(str(a)) == flattened(str(b))
        case "spans":
            return [*map(flattened, listed(str(a)))] == [*map(flattened, listed(str(b)))]
        case "text":
            return _plain(str(a)) == _plain(str(b))
        case "json":
            return _json(str(a)) == _json(str(b))
        case _:
            return a == b


def _same_text(contract: TextContract, a: str, b: str) -> bool:
    return _plain(a) == _plain(b) or (contract.json and _json(a) == _json(b))


def _same_calls(a: Answer, b: Answer) -> bool:
    return [*map(_call, a.tool_calls)] == [*map(_call, b.tool_calls)]


def _call(call: ToolCall) -> tuple[str, object]:
    return call.name, _json(call.arguments or "{}")


def _json(text: str) -> object:
    """JSON as a value in which numbers and booleans stay apart; the text itself if it is none."""
    try:
        return _tagged(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def _tagged(value: object) -> object:
    """``True == 1`` in Python, but not in JSON."""
    match value:
        case bool():
            return ("bool", value)
        case list():
            return [_tagged(item) for item in value]
        case dict():
            return {key: _tagged(item) for key, item in value.items()}
        case _:
            return value


def _plain(text: str) -> str:
    folded = flattened(text)
    while folded and unicodedata.category(folded[-1]).startswith("P"):
        folded = folded[:-1].rstrip()
    return folded
