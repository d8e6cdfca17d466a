"""Known tasks in the light of new calls: templates that proved too narrow, contracts that grew."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shoal.chat import Answer
from shoal.tasks.alignment import pattern_of
from shoal.tasks.candidates import Candidate
from shoal.tasks.contract import TextContract
from shoal.tasks.inference import join, revise
from shoal.tasks.matcher import Match, Matcher
from shoal.tasks.pools import ObservedCall
from shoal.tasks.slot_names import name_slots
from shoal.tasks.task import Task
from shoal.tasks.template import Pattern, Template
from shoal.tasks.units import clauses, masked, word_count

PLACEHOLDER = "value"
BALANCE = 50
"""Documents of the candidate that a joint template is aligned over."""
MAX_EXTRA_WORDS = 6
"""Words by which the literals of a task may have been too long; with more it is another task."""


def with_contract_revised(task: Task, calls: Iterable[ObservedCall]) -> Task:
    """The task with its contract in the light of more of its calls.

    Labels and fields are added; text becomes a closed form once one can be told. A pinned or
    ignored task stays as it is. Calls of other tasks are left out.
    """
    matcher = Matcher([task])
    found = ((matcher.find(call.request), call.answer) for call in calls)
    return revised(task, [(match, answer) for match, answer in found if match])


def revised(task: Task, evidence: Sequence[tuple[Match, Answer]]) -> Task:
    """Like ``with_contract_revised`` for calls already matched."""
    if task.pinned or task.ignored:
        return task
    pairs = [(match.input_text, answer) for match, answer in evidence]
    literals = "\n\n".join(template.literal_text for template in task.templates)
    return msgspec.structs.replace(task, contract=revise(task.contract, pairs, literals))


def widened(tasks: Iterable[Task], candidate: Candidate) -> Task | None:
    """The known task whose calls the candidate's are, made to recognise them; None if it is new.

    It is known if the constant texts are equal up to dates, numbers and names, or if the
    candidate's template includes just one task's, whose literals were a few words too long.
    Pinned and ignored tasks and those with conditions are never changed.
    """
    free = [t for t in tasks if not (t.pinned or t.ignored or t.conditions)]
    pairs = [(task, template) for task in free for template in task.templates]
    alike = [pair for pair in pairs if _comparable(pair[1], candidate.template)]
    for task, template in alike:
        joint = _joint(template, candidate)
        if joint:
            return _with_template(task, template, joint, candidate)
    included = [pair for pair in alike if _includes(candidate, *pair)]
    if len(included) == 1 and _extra_words(included[0][1], candidate) <= MAX_EXTRA_WORDS:
        return _with_template(*included[0], candidate.template, candidate)
    return None


def heirs(
    candidates: Iterable[Candidate],
    former: Sequence[Task],
    samples: Mapping[str, Sequence[ObservedCall]],
) -> list[tuple[Candidate, Task | None]]:
    """Each candidate with the former task it goes on from: the one of the same template, else the
    one most of whose sampled calls it holds; each task has one heir."""
    owner = {call.id: task.id for task in former for call in samples[task.id]}
    found = list(candidates)
    claims = []
    for place, candidate in enumerate(found):
        held = Counter(owner[call.id] for call in candidate.calls() if call.id in owner)
        for task in former:
            if held[task.id]:
                same = candidate.template in task.templates
                claims.append((not same, -held[task.id], place, task.id))
    heir: dict[int, str] = {}
    for *_, place, identity in sorted(claims):
        if place not in heir and identity not in heir.values():
            heir[place] = identity
    by_id = {task.id: task for task in former}
    return [(c, by_id[heir[place]] if place in heir else None) for place, c in enumerate(found)]


def inherited(task: Task, candidate: Candidate) -> Task:
    """A task drawn anew as the candidate."""
    same = candidate.template in task.templates
    contract = join(task.contract, candidate.contract) if same else None
    return msgspec.structs.replace(
        task, templates=(candidate.template,), contract=contract or candidate.contract
    )


def _comparable(known: Template, found: Template) -> bool:
    return known.skeleton == found.skeleton and known.continues == found.continues


def _with_template(task: Task, old: Template, new: Template, candidate: Candidate) -> Task:
    templates = tuple(new if template == old else template for template in task.templates)
    unformed = isinstance(task.contract, TextContract)
    otherwise = candidate.contract if unformed else task.contract
    contract = join(task.contract, candidate.contract) or otherwise
    return msgspec.structs.replace(task, templates=templates, contract=contract)


def _includes(candidate: Candidate, task: Task, known: Template) -> bool:
    """Whether the candidate's template matches all that the known one does, with like answers."""
    filled = [pattern.fill([PLACEHOLDER] * pattern.slots) for pattern in known.patterns]
    return candidate.matches(filled) and join(task.contract, candidate.contract) is not None


def _extra_words(known: Template, candidate: Candidate) -> int:
    return word_count(known.literal_text) - word_count(candidate.template.literal_text)


def _joint(known: Template, candidate: Candidate) -> Template | None:
    """A template of both, if their constant texts differ only in dates, numbers and names."""
    found = candidate.template
    if _outline(known) != _outline(found):
        return None
    documents = [candidate.pool.documents[index] for index in candidate.members[:BALANCE]]
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
