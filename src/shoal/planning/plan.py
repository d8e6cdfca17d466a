"""A plan: a typed graph of steps as JSON, which a person can read and a model can write.

A step names what it needs of others by paths, ``${order.rows[0].price}``: a value that is nothing
but a path is what stands there, with its type; a path within a longer text is written into it.
``$${`` writes ``${``. Nothing of a result is ever read as a path, let alone as code. Steps run as
soon as what they name is there, in parallel; ``after`` names more to wait for.

    {"version": 1, "name": "triage", "input": {"type": "object", "properties": {...}},
     "steps": [{"do": "ask", "id": "kind", "task": "intent", "slots": {"text": "${input.text}"}},
               {"do": "tool", "id": "order", "tool": "orders", "arguments": {"id": "${input.id}"}},
               {"do": "answer", "id": "end", "value": {"kind": "${kind}", "order": "${order}"}}]}

What this module does not know: whether a plan can be run (``checker``), and how (``executor``).
"""

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shoal.errors import MalformedRequest
from shoal.tools.plain import NotPlain, TooLarge, weigh
from shoal.tools.tool import Json

VERSION = 1
LARGEST = 4_000_000
"""Bytes, about, that the JSON of a plan may have."""
INPUT = "input"
"""The root of paths into what the plan was given."""
ERROR = "error"
"""The root of paths into what went wrong, for what stands in place of a step that failed: an object
with ``step``, ``message`` and ``hint``."""

Operator = Literal[
    "equals", "differs", "in", "over", "under", "at least", "at most", "contains", "is empty"
]


class Budget(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a run may use at most; 0 for what the executor allows anyway. ``steps`` counts each that
    runs, each round and each item of a list included."""

    steps: int = 0
    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    def raised(self, raised: "Budget") -> "Budget":
        """With what another one states in place of its own."""
        return Budget(
            steps=raised.steps or self.steps,
            tokens=raised.tokens or self.tokens,
            usd=raised.usd or self.usd,
            seconds=raised.seconds or self.seconds,
        )


class Condition(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whether ``value`` stands to ``than`` as ``op`` says. Numbers compare with numbers and texts
    with texts only; anything else is no, but for ``differs``."""

    value: Json
    op: Operator
    than: Json = None


class _Step(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What each step has. ``timeout_s`` 0 for the executor's own; ``retries`` are for trouble that
    passes. In place of a step that failed for good there is ``fallback``, another step, or
    ``otherwise``, a value, which both know what went wrong as ``error``; without either the run
    ends there."""

    id: str
    after: tuple[str, ...] = ()
    timeout_s: float = 0.0
    retries: int = 0
    fallback: "Step | None" = None
    otherwise: Json | UnsetType = UNSET


class Ask(_Step, frozen=True, tag_field="do", tag="ask"):
    """Have a ``task`` with these ``slots`` answered by whom Shoal finds good enough, or a ``model``
    a ``prompt``. The result is text, or what ``output`` (a JSON Schema) describes; where the answer
    breaks that, ``escalate`` are the models asked next, in order. With a ``receipt`` the result is
    an object: that ``value``, ``by`` whom and ``why``, and the ``call_id`` of the recorded call."""

    task: str = ""
    slots: dict[str, Json] = {}
    model: str = ""
    system: str = ""
    prompt: str = ""
    output: dict[str, Json] = {}
    escalate: tuple[str, ...] = ()
    max_tokens: int = 1_024
    temperature: float | None = None
    receipt: bool = False


class Retrieve(_Step, frozen=True, tag_field="do", tag="retrieve"):
    """The ``k`` best passages of a ``collection``, those that ``where`` (a filter in the JSON form
    of OpenAI's vector stores) lets through: a list of objects with text, document, headings and
    score."""

    collection: str
    query: Json
    k: int = 5
    where: dict[str, Json] = {}


class Use(_Step, frozen=True, tag_field="do", tag="tool"):
    """Call a ``tool``; the result is what it gives."""

    tool: str
    arguments: dict[str, Json] = {}


class Map(_Step, frozen=True, tag_field="do", tag="map", rename={"name": "as"}):
    """``steps`` for each item of the list ``over``, which they know as ``as``, ``at_once`` at a
    time; a list of more than ``at_most`` is refused. The result is the list of what ``result`` is
    of each, in order; null for one that failed where ``skip`` allows that."""

    over: Json
    steps: tuple["Step", ...]
    result: Json
    name: str = "item"
    at_most: int = 100
    at_once: int = 8
    skip: bool = False


class Arm(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way of a branch: taken if all of ``when`` holds; ``else`` has none."""

    when: tuple[Condition, ...] = ()
    steps: tuple["Step", ...] = ()
    result: Json = None


class Branch(_Step, frozen=True, tag_field="do", tag="branch", rename={"default": "else"}):
    """The first arm whose conditions hold, or ``else``; its ``result`` is the step's, null if no
    arm holds."""

    arms: tuple[Arm, ...]
    default: Arm | None = None


class Repeat(_Step, frozen=True, tag_field="do", tag="repeat", rename={"name": "as"}):
    """``steps`` again and again, ``at_most`` times, until all of ``until`` holds. They know the
    ``result`` of the round before, or ``start`` in the first, as ``as``; the last one's is the
    step's."""

    steps: tuple["Step", ...]
    result: Json
    at_most: int
    until: tuple[Condition, ...]
    start: Json = None
    name: str = "last"


class Approve(_Step, frozen=True, tag_field="do", tag="approve"):
    """Wait until a person has said yes or no to ``question``, shown ``show``. The result is an
    object with ``approved``, ``by`` and ``note``; a no ends the run unless ``go_on``."""

    question: str
    show: Json = None
    go_on: bool = False


class Say(_Step, frozen=True, tag_field="do", tag="answer"):
    """What the plan comes to. A plan ends when nothing is left to run; of several answers the first
    reached holds."""

    value: Json


Step = Ask | Retrieve | Use | Map | Branch | Repeat | Approve | Say


class Plan(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Steps under a name. ``input`` is the JSON Schema of what it is given, an object; ``goal``
    says in words what it is for."""

    name: str
    steps: tuple[Step, ...]
    goal: str = ""
    input: dict[str, Json] = {}
    budget: Budget = Budget()
    version: int = VERSION


KINDS = "ask, retrieve, tool, map, branch, repeat, approve, answer"
_PLANS = msgspec.json.Decoder(Plan)
_STEPS: msgspec.json.Decoder[Step] = msgspec.json.Decoder(Step)


def read_plan(text: bytes | str) -> Plan:
    """A plan from its JSON.

    Raises:
        MalformedRequest: it is none; says where.
    """
    try:
        return _PLANS.decode(_bounded(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        told = str(error)
        kinds = f"; steps do {KINDS}" if told.endswith(".do`") or "field `do`" in told else ""
        raise MalformedRequest(f"no plan: {told}{kinds}") from None


def read_step(text: bytes | str) -> Step:
    """One step from its JSON.

    Raises:
        MalformedRequest: it is none; says where.
    """
    try:
        return _STEPS.decode(_bounded(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedRequest(f"no step: {error}") from None


def _bounded(text: bytes | str) -> bytes | str:
    """The text, if it is not too large and its values not nested too deeply for who walks them."""
    try:
        weigh(msgspec.json.decode(text), LARGEST)
    except (NotPlain, TooLarge) as error:
        raise MalformedRequest(f"no plan: {error}") from None
    return text


def written(plan: Plan) -> bytes:
    """The JSON of a plan, as a person would lay it out."""
    told = {"version": plan.version, **msgspec.to_builtins(plan)}
    return msgspec.json.format(msgspec.json.encode(told), indent=2)
