"""The label of an output: what a promise for each label goes by."""

from shoal.chat import ToolCall
from shoal.tasks.contract import CallContract, Contract, LabelContract, Output


def has_labels(contract: Contract) -> bool:
    """Whether each of its outputs has a label."""
    return isinstance(contract, LabelContract | CallContract)


def label_of(contract: Contract, output: Output | None) -> str | None:
    """The label itself, the names of the tools called, or what is said in place of a call; None
    where there is no such thing."""
    match contract, output:
        case LabelContract() | CallContract(), str():
            return output
        case CallContract(), tuple():
            return " + ".join(call.name for call in output if isinstance(call, ToolCall))
        case _:
            return None
