"""What recurs in the traffic: templates, contracts, their discovery and the matching of calls."""

from shoal.tasks.comparator import comparator_name, same
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    LabelsContract,
    NumberContract,
    Output,
    TextContract,
    is_closed,
    parse,
    read,
    render,
    written,
)
from shoal.tasks.discovery import Discovery, DiscoveryOptions, ObservedCall, discover
from shoal.tasks.input import Input
from shoal.tasks.matcher import Match, Matcher
from shoal.tasks.task import Condition, Task
from shoal.tasks.template import Pattern, Template

__all__ = [
    "CallContract",
    "Condition",
    "Contract",
    "Discovery",
    "DiscoveryOptions",
    "Field",
    "FieldsContract",
    "Input",
    "LabelContract",
    "LabelsContract",
    "Match",
    "Matcher",
    "NumberContract",
    "ObservedCall",
    "Output",
    "Pattern",
    "Task",
    "Template",
    "TextContract",
    "comparator_name",
    "discover",
    "is_closed",
    "parse",
    "read",
    "render",
    "same",
    "written",
]
