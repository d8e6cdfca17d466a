"""What "the same answer" means where votes are counted: as the task's contract says, or, for calls
of no known task, as the answers themselves suggest."""

from collections.abc import Callable

from shoal.chat import Answer
from shoal.tasks import CallContract, Contract, TextContract, read, same

Same = Callable[[Answer, Answer], bool]

_TEXT = TextContract(json=True)


def comparator(contract: Contract | None) -> Same:
    """Whether two answers are the same one. Of no task: calls of tools as calls, whatever is said
    beside them; texts by value if both are JSON, else after normalising."""
    if contract is not None:
        return lambda a, b: same(contract, a, b)
    return _same


def counts(contract: Contract | None, answer: Answer) -> bool:
    """Whether an answer is a vote: it is whole, no refusal, and keeps the contract."""
    if contract is not None:
        talks = isinstance(contract, CallContract) and contract.talks and not answer.tool_calls
        if not talks:
            return read(contract, answer) not in (None, "")
    whole = answer.complete and answer.finish_reason != "length" and not answer.refusal
    return whole and bool(answer.text.strip() or answer.tool_calls)


def _same(a: Answer, b: Answer) -> bool:
    if a.tool_calls or b.tool_calls:
        names = {call.name for call in (*a.tool_calls, *b.tool_calls)}
        return same(CallContract(tuple(sorted(names))), a, b)
    return same(_TEXT, a, b)
