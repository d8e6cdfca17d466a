"""Runs of plans and agents on the wire: what may be asked, and what is told."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from shoal.errors import MalformedRequest

PATH = "/shoal/runs"
MOST_RUNS, USUAL_RUNS = 200, 20
MOST_RECORDS, USUAL_RECORDS = 1_000, 200

State = Literal["running", "waiting", "stuck", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Goal = Annotated[str, Meta(max_length=1_000_000)]
_Note = Annotated[str, Meta(max_length=10_000)]
_Step = Annotated[str, Meta(min_length=1, max_length=10_000)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Amount = Annotated[float, Meta(ge=0)]


class RunBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run may use at most; 0 for the limits of any run."""

    steps: _Count = 0
    tokens: _Count = 0
    usd: _Amount = 0.0
    seconds: _Amount = 0.0


class NewRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run to begin: of a ``plan`` with its ``input``, or of an ``agent`` with a ``goal``.
    ``dry_run`` tells what it would call, and begins nothing; ``wait`` replies when it has ended or
    waits for a person; ``stream`` sends what happens as it happens. ``episode`` joins its calls to
    others."""

    plan: dict[str, Any] | None = None
    agent: _Name | None = None
    goal: _Goal = ""
    input: dict[str, Any] = {}
    budget: RunBudget = RunBudget()
    episode: Annotated[str, Meta(max_length=200)] = ""
    dry_run: bool = False
    stream: bool = False
    wait: bool = False


class Word(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says to the question that a run waits with at ``step``."""

    step: _Step
    approved: bool
    note: _Note = ""


class Resumption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``budget``: the run's from here on; what it has used counts."""

    budget: RunBudget | None = None


class Settlement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says of the ``step`` at which a run is stuck: the ``value`` that it gave, or
    that it was not done and is to be done ``again``."""

    step: _Step
    value: Any | UnsetType = UNSET
    again: bool = False


class RunView(Struct, frozen=True, kw_only=True):
    """A run as it is listed; ``started_at`` and ``updated_at`` are unix seconds, ``cost`` USD."""

    id: str
    object: Literal["run"] = "run"
    name: str
    goal: str
    agent: str
    episode: str
    state: State
    started_at: float
    updated_at: float
    cost: float
    tokens: int
    records: int


class RunList(Struct, frozen=True, kw_only=True):
    """Runs, newest first; older ones are asked for with ``before`` as ``last_id``."""

    object: Literal["list"] = "list"
    data: list[RunView]
    last_id: str | None
    has_more: bool


class Question(Struct, frozen=True, kw_only=True):
    """What a run waits with, for a person's word."""

    step: str
    question: str
    show: Any = None


class RunDetail(Struct, frozen=True, kw_only=True):
    """A run with a page of its records. ``plan`` is null until one is written, ``questions`` wait
    for a word, and of the calls at the steps ``unsettled`` nobody knows whether they were made, or
    they are under way. Later records are asked for with ``after`` as ``last_seq``."""

    run: RunView
    plan: dict[str, Any] | None
    input: dict[str, Any]
    questions: list[Question]
    unsettled: list[str]
    outcome: dict[str, Any] | None
    records: list[dict[str, Any]]
    last_seq: int
    has_more: bool


class Begun(Struct, frozen=True, kw_only=True):
    """A run that has begun, or goes on."""

    run: str
    state: Literal["running"] = "running"


class Outline(Struct, frozen=True, kw_only=True):
    """What a run would call, and what it comes to at least, usually and at most: null for what
    nobody knows."""

    calls: list[dict[str, Any]]
    least: dict[str, float | None]
    usual: dict[str, float | None]
    most: dict[str, float | None]
    warnings: list[str]


class RunsAsked(Struct, frozen=True, kw_only=True):
    """Which runs are asked for."""

    state: State | None = None
    agent: str | None = None
    before: str | None = None
    limit: int = USUAL_RUNS


def runs_asked(query: Mapping[str, str]) -> RunsAsked:
    """Which runs a query asks for.

    Raises:
        MalformedRequest: a parameter is unknown, or not as expected.
    """
    _only(query, ("state", "agent", "before", "limit"))
    state = query.get("state")
    if state is not None and state not in STATES:
        raise MalformedRequest(
            f"state: expected one of {', '.join(STATES)}, found {state[:40]!r}", "state"
        )
    limit = _number(query, "limit", USUAL_RUNS, 1, MOST_RUNS)
    return RunsAsked(
        state=state,
        agent=query.get("agent"),
        before=query.get("before"),
        limit=limit,
    )


def records_asked(query: Mapping[str, str]) -> tuple[int, int]:
    """After which record a query asks for more, -1 from the first on, and for how many.

    Raises:
        MalformedRequest: a parameter is unknown, or not as expected.
    """
    _only(query, ("after", "limit"))
    after = _number(query, "after", -1, -1, 2**53)
    return after, _number(query, "limit", USUAL_RECORDS, 1, MOST_RECORDS)


def _only(query: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in query:
        if name not in names:
            raise MalformedRequest(f"{name[:40]}: expected only {', '.join(names)}", name[:40])


def _number(query: Mapping[str, str], name: str, usual: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return usual
    try:
        found = int(text) if len(text) < 20 else most + 1
    except ValueError:
        found = most + 1
    if not least <= found <= most:
        raise MalformedRequest(
            f"{name}: expected a number from {least} to {most:,}, found {text[:40]!r}", name
        )
    return found
