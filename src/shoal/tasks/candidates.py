"""Candidate tasks: a group of calls with its template and contract, before it has a name."""

import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from shoal.tasks.alignment import pattern_of
from shoal.tasks.contract import Contract, LabelContract, TextContract
from shoal.tasks.grouping import COVER, Grouper, Parts
from shoal.tasks.inference import infer, join
from shoal.tasks.pools import ObservedCall, Pool
from shoal.tasks.slot_names import name_slots
from shoal.tasks.template import LEADING_ROLES, Pattern, Template, opening_skeleton_of, skeleton_of
from shoal.tasks.units import clauses, is_persona, word_count

CONTINUING = 0.05
"""Share of the calls of a group that must go on after the opening for it to be a conversation."""
MIN_MATCHED = 0.8
"""Share of the documents of a group that its template must match."""
MIN_WORDS_OF_TEXT = 8
MIN_WORDS_SENTENCE = 5
MIN_WORDS_LABELLED = 3
MAX_UNLIKE = 0.2
"""Share of a group whose outputs may be of another form than the others' by accident."""
PEEK = 100
"""Answers looked at to tell the forms of two groups' outputs apart."""


class Candidate(Struct, frozen=True):
    """A group of documents of a pool, what they have in common and what their answers are."""

    pool: Pool
    members: tuple[int, ...]
    template: Template
    contract: Contract

    def calls(self) -> Iterator[ObservedCall]:
        """The calls of the group, in the order of the documents."""
        for index in self.members:
            yield from self.pool.calls[index]

    @property
    def context(self) -> str:
        """Constant text and response format: where labels, keys and names are found."""
        first = next(self.calls()).request
        return "\n\n".join((self.template.literal_text, first.response_format))

    def matches(self, document: Sequence[str]) -> bool:
        """Whether a document of the pool fits the template."""
        pairs = zip(self.template.patterns, document, strict=True)
        return all(pattern.match(text) is not None for pattern, text in pairs)


def candidates_of(pool: Pool, min_calls: int, max_answers: int) -> list[Candidate]:
    """The candidate tasks of a pool, those of the most specific templates first."""

    def differ(parts: Parts) -> bool:
        contracts = [_contract(pool, part, None, PEEK) for part in parts]
        largest = contracts[max(range(len(parts)), key=lambda i: len(parts[i]))]
        unlike = (len(p) for p, c in zip(parts, contracts, strict=True) if _unlike(largest, c))
        return sum(unlike) > MAX_UNLIKE * sum(map(len, parts))

    groups = Grouper(pool.documents, min_calls, differ).groups()
    enough = [group for group in groups if len(group) >= min_calls]
    found = [c for group in enough if (c := _candidate(pool, group, min_calls, max_answers))]
    found.sort(key=lambda c: (-c.template.weight, repr(c.template)))
    return _folded(found, max_answers)


def _candidate(
    pool: Pool, group: Sequence[int], min_calls: int, max_answers: int
) -> Candidate | None:
    template = _template(pool, group)
    fitting = [index for index in group if _fits(template, pool.documents[index])]
    if len(fitting) < max(min_calls, MIN_MATCHED * len(group)):
        return None
    contract = _contract(pool, fitting, template, max_answers)
    candidate = Candidate(pool, tuple(fitting), template, contract)
    return candidate if _is_specific(candidate) else None


def _fits(template: Template, document: Sequence[str]) -> bool:
    pairs = zip(template.patterns, document, strict=True)
    return all(pattern.match(text) is not None for pattern, text in pairs)


def _template(pool: Pool, group: Sequence[int]) -> Template:
    columns = zip(*(pool.documents[index] for index in group), strict=True)
    patterns = tuple(
        pattern_of(role, column) for role, column in zip(pool.roles, columns, strict=True)
    )
    calls = [call for index in group for call in pool.calls[index]]
    further = sum(pool.continues(call) for call in calls)
    continues = pool.opening and further > CONTINUING * len(calls)
    request = next(c.request for c in calls if continues or not pool.continues(c))
    skeleton = opening_skeleton_of(request) if continues else skeleton_of(request)
    names = name_slots(patterns, _samples(pool, group, patterns), continues=continues)
    return Template(skeleton, patterns, names, continues)


def _samples(
    pool: Pool, group: Sequence[int], patterns: Sequence[Pattern]
) -> list[tuple[str, ...]]:
    """Values of each slot, from a few documents."""
    rows = []
    for index in group[:20]:
        matches = [p.match(t) for p, t in zip(patterns, pool.documents[index], strict=True)]
        if all(values is not None for values in matches):
            rows.append([value for values in matches if values for value in values])
    return list(zip(*rows, strict=True))


def _contract(
    pool: Pool, members: Sequence[int], template: Template | None, limit: int
) -> Contract:
    """The contract of some documents' answers, of evenly spread calls if there are many."""
    calls = [call for index in members for call in pool.calls[index]]
    calls = calls[:: max(1, -(-len(calls) // limit))]
    literals = ""
    if template:
        literals = template.literal_text + "\n\n" + calls[0].request.response_format
    pairs = [(_input(template, call), call.answer) for call in calls]
    return infer(pairs, literals)


def _input(template: Template | None, call: ObservedCall) -> str:
    values = template.match_messages(call.request.messages) if template else None
    return template.input_text(values) if template and values is not None else ""


def _unlike(a: Contract, b: Contract) -> bool:
    """Whether two contracts are of different form, not just of different samples."""
    if isinstance(a, LabelContract) and isinstance(b, LabelContract):
        return not set(a.labels) & set(b.labels)
    return join(a, b) is None


def _is_specific(candidate: Candidate) -> bool:
    """Whether the constant text says what to do, rather than how people talk.

    It does with eight words; with five if whole sentences or in a system prompt; with three if a
    line, a tag or a quote stands beside a slot or the answers are of a closed form; with one if
    that is the label the message begins with ("Summarise: "). A sentence that only says who the
    model is counts only for a closed form.
    """
    if not candidate.template.slots:
        return False
    literals = [text for p in candidate.template.patterns for text in p.literals]
    pieces = [piece for literal in literals for piece in clauses(literal)]
    words = sum(word_count(piece) for piece in pieces)
    telling = sum(word_count(piece) for piece in pieces if not is_persona(piece))
    if candidate.contract != TextContract():
        return words >= MIN_WORDS_LABELLED
    system = [p.literals[0] for p in candidate.template.patterns if p.role in LEADING_ROLES]
    told = (piece for text in system for piece in clauses(text) if not is_persona(piece))
    if sum(map(word_count, told)) >= MIN_WORDS_SENTENCE:
        return True
    return telling >= _words_needed(candidate.template)


def _words_needed(template: Template) -> int:
    """Words of constant text that make a template of free text specific."""
    ends = [p for p in template.patterns if p.slots and p.literals[0] + p.literals[-1]]
    before = [text.rstrip(" ") for p in ends for text in p.literals[:-1]]
    after = [text.lstrip(" ") for p in ends for text in p.literals[1:]]
    if _begins_with_label(template):
        return 1
    if any(text.endswith((":", "\n", ">", '"', "`")) for text in before) or any(
        text.startswith(("\n", "<", '"', "`")) for text in after
    ):
        return MIN_WORDS_LABELLED
    sentence = any(text.endswith((".", "?", "!")) for text in (*before, *after))
    return MIN_WORDS_SENTENCE if sentence else MIN_WORDS_OF_TEXT


def _begins_with_label(template: Template) -> bool:
    """Whether the user's message begins with one word and a colon."""
    slotted = [p.literals[0] for p in template.patterns if p.role == "user" and p.slots]
    return any(re.match(r"[^\W\d_]{2,}:\s", literal) for literal in slotted)


def _folded(found: list[Candidate], max_answers: int) -> list[Candidate]:
    """Without candidates that only repeat what some inputs of a more general one share.

    A template that matches others' calls takes them over, unless they cover nearly all it matches
    (then they are the tasks, and it is what is left) or their outputs are of another form.
    """
    kept = list(found)
    for general in reversed(found):
        special = [c for c in kept if c is not general and _includes(general, c)]
        size = sum(len(c.members) for c in special)
        if general not in kept or not special or size >= COVER * (size + len(general.members)):
            continue
        members = sorted(
            {
                i
                for c in (general, *special)
                for i in c.members
                if _fits(general.template, c.pool.documents[i])
            }
        )
        wider = msgspec.structs.replace(
            general,
            members=tuple(members),
            contract=_contract(general.pool, members, general.template, max_answers),
        )
        kept = [wider if c is general else c for c in kept if c not in special]
    return kept


def _includes(general: Candidate, special: Candidate) -> bool:
    sample = special.members[:: max(1, len(special.members) // 20)]
    fitting = sum(general.matches(special.pool.documents[index]) for index in sample)
    return fitting >= 0.95 * len(sample) and not _unlike(general.contract, special.contract)
