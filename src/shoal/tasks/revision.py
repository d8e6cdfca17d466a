"""Known tasks in the light of new calls: templates that proved too narrow, contracts that grew."""

from collections.abc import Sequence

import msgspec

from shoal.tasks.alignment import pattern_of
from shoal.tasks.candidates import Candidate
from shoal.tasks.inference import join
from shoal.tasks.slot_names import name_slots
from shoal.tasks.task import Task
from shoal.tasks.template import Pattern, Template
from shoal.tasks.units import clauses, masked

PLACEHOLDER = "value"
BALANCE = 50


def generalised(task: Task, candidate: Candidate) -> Task | None:
    """The task with a template that also recognises the candidate's calls; None if it is another.

    It is the same task if the candidate's template already includes the task's (a literal was too
    long), or if the constant texts of both are equal up to dates, numbers and names.
    """
    if task.pinned or task.ignored or task.conditions or not _joinable(task, candidate):
        return None
    for place, template in enumerate(task.templates):
        wider = _wider(template, candidate)
        if wider:
            templates = list(task.templates)
            templates[place] = wider
            contract = join(task.contract, candidate.contract) or task.contract
            return msgspec.structs.replace(task, templates=tuple(templates), contract=contract)
    return None


def _joinable(task: Task, candidate: Candidate) -> bool:
    return join(task.contract, candidate.contract) is not None


def _wider(known: Template, candidate: Candidate) -> Template | None:
    found = candidate.template
    if known.skeleton != found.skeleton or len(known.patterns) != len(found.patterns):
        return None
    filled = [pattern.fill([PLACEHOLDER] * pattern.slots) for pattern in known.patterns]
    if candidate.matches(filled):
        return found
    if _outline(known) != _outline(found):
        return None
    documents = [candidate.pool.documents[i] for i in candidate.members[:BALANCE]]
    patterns = tuple(
        _aligned(pattern, [document[place] for document in documents], found.patterns[place])
        for place, pattern in enumerate(known.patterns)
    )
    names = name_slots(patterns, (), continues=known.continues)
    return Template(known.skeleton, patterns, names, known.continues)


def _outline(template: Template) -> list[list[str]]:
    """The constant clauses of each message with dates, numbers and names masked."""
    return [
        [masked(clause) for literal in pattern.literals for clause in clauses(literal)]
        for pattern in template.patterns
    ]


def _aligned(known: Pattern, texts: Sequence[str], found: Pattern) -> Pattern:
    """The pattern of texts of both kinds, in equal numbers."""
    if known == found:
        return known
    values = [found.match(text) for text in texts]
    same_slots = [known.fill(v) for v in values if v is not None and len(v) == known.slots]
    return pattern_of(known.role, [*texts[: len(same_slots)], *same_slots])
