"""Arithmetic that is right to 50 digits, and bounded.

Numbers are decimal, not binary: 0.1 + 0.2 is 0.3. Every result is rounded to 50 significant digits,
half to even; ``round`` rounds half to even too, and ``//`` and ``%`` floor, as in Python. What is
over 10^6000 is an error, which also bounds the work that ``**`` can make. The text is read by
Python's own parser and walked: nothing of it is ever run.
"""

import ast
import decimal
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal

from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse, failed, schema

_MOST_TEXT = 1_000  # characters
_MOST_DEPTH = 60
_DIGITS = 50
_MOST_EXPONENT = 6_000
_PLAIN = 30  # from this power of ten on, ``exact`` is written with an exponent
_TRAPS = [
    decimal.Overflow,
    decimal.InvalidOperation,
    decimal.DivisionByZero,
    decimal.FloatOperation,
]

Value = Decimal | tuple[Decimal, ...]


class _Odd(ValueError):
    """The expression is none that can be worked out; the message says why."""


class Calculator:
    """A tool that works out one expression."""

    def __init__(self, name: str = "calculator") -> None:
        self.spec = ToolSpec(
            name=name,
            description=(
                "Works out an arithmetic expression: + - * / // % ** and brackets, "
                f"{', '.join(_FUNCTIONS)}, pi and e; sum, min and max also take a list [1, 2]. "
                "Decimal, 50 digits."
            ),
            takes=schema(
                {
                    "expression": {
                        "type": "string",
                        "maxLength": _MOST_TEXT,
                        "description": "like round(1234.5 * 1.19, 2)",
                    }
                },
                ["expression"],
            ),
            gives=schema(
                {
                    "value": {"type": "number", "description": "to about 16 digits"},
                    "exact": {"type": "string", "description": "the same, all digits"},
                },
                ["value", "exact"],
            ),
            effects="none",
            timeout_s=5.0,
        )

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Work it out; at most some milliseconds."""
        text = arguments.get("expression")
        if not isinstance(text, str):
            return failed(f"{self.spec.name}: expression: text is expected")
        try:
            found = calculated(text)
            # A number beyond what a float holds is no number in JSON either.
            value = float(found) if found != found.to_integral_value() else _whole(found)
            return ToolResult({"value": value, "exact": _written(found)})
        except (ValueError, OverflowError) as error:
            return failed(f"{self.spec.name}: {error}", "write one arithmetic expression")

    async def aclose(self) -> None:
        """There is nothing to let go of."""


def calculated(text: str) -> Decimal:
    """The value of an expression.

    Raises:
        ValueError: it is none, is too long, or has no value; says why.
    """
    if len(text) > _MOST_TEXT:
        raise _Odd(f"the expression has more than {_MOST_TEXT} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _Odd("this is no expression that can be read") from None
    context = decimal.Context(prec=_DIGITS, Emax=_MOST_EXPONENT, Emin=-_MOST_EXPONENT, traps=_TRAPS)
    try:
        with decimal.localcontext(context):
            found = _Walk(text.strip()).value(tree.body, 0)
    except decimal.DivisionByZero:
        raise _Odd("a division by zero") from None
    except decimal.Overflow:
        raise _Odd(f"a number is over 10^{_MOST_EXPONENT}") from None
    except decimal.InvalidOperation:
        raise _Odd("something has no value, like 0/0, the root or logarithm of a negative number, "
                   "or is too large to be divided or rounded exactly") from None  # fmt: skip
    if isinstance(found, tuple):
        raise _Odd("a list is no number")
    return found


class _Walk:
    """Works out the nodes of a tree that are arithmetic, and refuses all others."""

    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, node: ast.expr, depth: int) -> Value:
        if depth > _MOST_DEPTH:
            raise _Odd(f"it is nested more than {_MOST_DEPTH} deep")
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            left, right = self.one(node.left, depth), self.one(node.right, depth)
            return _BINARY[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = self.one(node.operand, depth)
            return -inner if isinstance(node.op, ast.USub) else +inner
        if isinstance(node, ast.Name) and node.id in _CONSTANTS:
            return +_CONSTANTS[node.id]
        if isinstance(node, ast.List | ast.Tuple):
            return tuple(self.one(each, depth) for each in node.elts)
        if isinstance(node, ast.Call):
            return self._called(node, depth)
        raise _Odd(f"{self._shown(node)!r} is no arithmetic")

    def one(self, node: ast.expr, depth: int) -> Decimal:
        found = self.value(node, depth + 1)
        if isinstance(found, tuple):
            raise _Odd(f"{self._shown(node)!r} is a list, where a number is expected")
        return found

    def _called(self, node: ast.Call, depth: int) -> Decimal:
        if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
            raise _Odd(f"there is no function {self._shown(node.func)!r}; there are "
                       f"{', '.join(_FUNCTIONS)}")  # fmt: skip
        if node.keywords:
            raise _Odd("functions take no named arguments")
        least, most, function = _FUNCTIONS[node.func.id]
        found = [self.value(each, depth + 1) for each in node.args]
        if len(found) == 1 and isinstance(found[0], tuple) and most > 2:
            found = list(found[0])
        given = [each for each in found if isinstance(each, Decimal)]
        if len(given) != len(found):
            raise _Odd(f"{node.func.id} takes numbers, or one list of them if it takes many")
        if not least <= len(given) <= most:
            raise _Odd(f"{node.func.id} takes {_count(least, most)}")
        return function(*given)

    def _number(self, node: ast.Constant) -> Decimal:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise _Odd(f"{self._shown(node)!r} is no number")
        if isinstance(node.value, int):
            return +Decimal(node.value)
        return +Decimal(self._shown(node).replace("_", ""))  # not via binary

    def _shown(self, node: ast.expr) -> str:
        return (ast.get_source_segment(self._text, node) or "?")[:60]


def _remainder(a: Decimal, b: Decimal) -> Decimal:
    found = a % b  # has the sign of a
    return found + b if found and (found < 0) != (b < 0) else found


def _floored(a: Decimal, b: Decimal) -> Decimal:
    found = a // b  # towards zero
    return found - 1 if a % b and (a < 0) != (b < 0) else found


def _power(a: Decimal, b: Decimal) -> Decimal:
    return a**b


def _rounded(a: Decimal, places: Decimal = Decimal(0)) -> Decimal:
    if places != int(places) or abs(places) > _DIGITS:
        raise _Odd(f"round takes a whole number of places up to {_DIGITS}")
    if a.is_zero() or -int(a.as_tuple().exponent) <= places:  # nothing to round
        return a
    return a.quantize(Decimal(1).scaleb(-int(places)), rounding=decimal.ROUND_HALF_EVEN)


def _log(a: Decimal, to: Decimal | None = None) -> Decimal:
    return a.ln() if to is None else a.ln() / to.ln()


def _total(*given: Decimal) -> Decimal:
    return sum(given, Decimal(0))


def _integral(rounding: str) -> Callable[[Decimal], Decimal]:
    return lambda a: a.to_integral_value(rounding=rounding)


_BINARY: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: _floored,
    ast.Mod: _remainder,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Decimal]]] = {  # least and most numbers
    "abs": (1, 1, abs),
    "round": (1, 2, _rounded),
    "floor": (1, 1, _integral(decimal.ROUND_FLOOR)),
    "ceil": (1, 1, _integral(decimal.ROUND_CEILING)),
    "min": (1, 1_000, min),
    "max": (1, 1_000, max),
    "sum": (0, 1_000, _total),
    "sqrt": (1, 1, lambda a: a.sqrt()),
    "exp": (1, 1, lambda a: a.exp()),
    "ln": (1, 1, _log),
    "log": (1, 2, _log),
    "log10": (1, 1, lambda a: a.log10()),
}
_CONSTANTS = {
    "pi": Decimal("3.14159265358979323846264338327950288419716939937510582"),
    "e": Decimal("2.71828182845904523536028747135266249775724709369995957"),
}


def _count(least: int, most: int) -> str:
    if least == most:
        return f"{least} number" + ("s" if least != 1 else "")
    return f"{least} or {most} numbers" if most <= 2 else "numbers"


def _whole(found: Decimal) -> int | float:
    """As JSON can say it: exact while it fits into 64 bits."""
    if found.adjusted() < 18:
        return int(found)
    return _finite(float(found))


def _finite(value: float) -> float:
    if value in (float("inf"), float("-inf")):
        raise _Odd("the result is over 10^308, more than a number in JSON may be")
    return value


def _written(found: Decimal) -> str:
    if not found:
        return "0"
    if abs(found.adjusted()) > _PLAIN:
        return str(found.normalize())
    text = f"{found:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
