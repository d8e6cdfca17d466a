"""Candidate tasks: a group of calls with its template and contract, before it has a name."""

import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from shoal.tasks.alignment import pattern_of
from shoal.tasks.contract import Contract, LabelContract, TextContract, is_closed, read
from shoal.tasks.grouping import (
    COVER,
    ENOUGH_WORDS,
    MANY_PARTS,
    SPECIFIC_WORDS,
    Grouper,
    Parts,
)
from shoal.tasks.inference import STILL_KEPT, infer, join
from shoal.tasks.pools import ObservedCall, Pool
from shoal.tasks.slot_names import name_slots
from shoal.tasks.template import LEADING_ROLES, Pattern, Template, opening_skeleton_of, skeleton_of
from shoal.tasks.units import clauses, is_framing, is_persona, word_count

CONTINUING = 0.05
"""Share of the calls of a group that must go on after the opening for it to be a conversation."""
MIN_MATCHED = 0.8
"""Share of the documents of a group that its template must match."""
MIN_WORDS_OF_TEXT = 8
MIN_WORDS_SENTENCE = 5
MIN_WORDS_LABELLED = 3
MAX_UNLIKE = 0.2
"""Share of a group whose outputs may be of another form than the others' by accident."""
MIN_SHARE = 0.02
"""Share of the calls of a template without instruction that a part of it needs."""
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
        return _differ(pool, parts)

    groups = Grouper(pool.documents, min_calls, differ).groups()
    enough = [group for group in groups if len(group) >= min_calls]
    found = [c for group in enough if (c := _candidate(pool, group, min_calls, max_answers))]
    found.sort(key=lambda c: (-c.template.weight, repr(c.template)))
    return _folded(found, max_answers)


def _differ(pool: Pool, parts: Parts) -> bool:
    """Whether the outputs of parts are of different form, or of labels that have none in common."""
    samples = [_sample_of_calls(pool, part, PEEK) for part in parts]
    largest = max(range(len(parts)), key=lambda i: len(parts[i]))
    whole = infer([("", call.answer) for calls in samples for call in calls])
    if isinstance(whole, LabelContract):
        said = [{read(whole, call.answer) for call in calls} - {None} for calls in samples]
        unlike = [not found & said[largest] for found in said]
    else:
        contracts = [infer([("", call.answer) for call in calls]) for calls in samples]
        unlike = [_unlike(contracts[largest], contract) for contract in contracts]
    odd = sum(len(part) for part, is_odd in zip(parts, unlike, strict=True) if is_odd)
    return odd > MAX_UNLIKE * sum(map(len, parts))


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


def _sample_of_calls(pool: Pool, members: Sequence[int], limit: int) -> list[ObservedCall]:
    """At most about ``limit`` calls of some documents, evenly spread."""
    calls = [call for index in members for call in pool.calls[index]]
    return calls[:: max(1, -(-len(calls) // limit))]


def _contract(
    pool: Pool, members: Sequence[int], template: Template | None, limit: int
) -> Contract:
    """The contract of some documents' answers, of evenly spread calls if there are many."""
    calls = _sample_of_calls(pool, members, limit)
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
        return a.prefix != b.prefix or not set(a.labels) & set(b.labels)
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
    """Without candidates that only repeat what some inputs of a more general one share."""
    kept = list(found)
    for general in reversed(found):
        special = [c for c in kept if c is not general and _includes(general, c)]
        if general in kept and special:
            folding = _repeating(general, special)
            if folding:
                wider = _with(general, folding, max_answers)
                kept = [wider if c is general else c for c in kept if c not in folding]
    return kept


def _repeating(general: Candidate, special: list[Candidate]) -> list[Candidate]:
    """Which of the candidates that a general one includes are its values rather than tasks.

    Where the general template is mere framing: those with neither words nor slots of their own, and
    those of few calls.
    Where it has an instruction: all, unless they cover nearly all it matches (then they are the
    tasks, and it is what is left); many with few words are values even so.
    """
    size = len(general.members) + sum(len(c.members) for c in special)
    if _is_framing(general.template):
        least = MIN_SHARE * size
        return [c for c in special if not _has_own(general, c) or len(c.members) < least]
    if size - len(general.members) < COVER * size:
        return special
    few = [c for c in special if _own_words(general, c) < ENOUGH_WORDS]
    return few if len(few) > MANY_PARTS else []


def _has_own(general: Candidate, special: Candidate) -> bool:
    """Whether it says something that the general template does not, or asks for more."""
    more = len(special.template.slots) > len(general.template.slots)
    return more or _own_words(general, special) >= MIN_WORDS_OF_TEXT


def _own_words(general: Candidate, special: Candidate) -> int:
    """Words of constant text that the general template lacks."""
    return word_count(special.template.literal_text) - word_count(general.template.literal_text)


def _is_framing(template: Template) -> bool:
    """Whether the constant text says how to answer, but not what is asked."""
    literals = [text for pattern in template.patterns for text in pattern.literals]
    pieces = [piece for literal in literals for piece in clauses(literal)]
    return sum(word_count(piece) for piece in pieces if not is_framing(piece)) < SPECIFIC_WORDS


def _with(general: Candidate, special: Sequence[Candidate], max_answers: int) -> Candidate:
    """The general candidate with the calls of those that are its values."""
    members = sorted(
        {
            index
            for candidate in (general, *special)
            for index in candidate.members
            if _fits(general.template, candidate.pool.documents[index])
        }
    )
    contract = _contract(general.pool, members, general.template, max_answers)
    return msgspec.structs.replace(general, members=tuple(members), contract=contract)


def _includes(general: Candidate, special: Candidate) -> bool:
    """Whether one's template matches the other's calls, and the answers are of the same form."""
    sample = special.members[:: max(1, len(special.members) // 20)]
    fitting = sum(general.matches(special.pool.documents[index]) for index in sample)
    return fitting >= 0.95 * len(sample) and _answered_alike(general, special)


def _answered_alike(general: Candidate, special: Candidate) -> bool:
    if not _unlike(general.contract, special.contract):
        return True
    if not is_closed(general.contract):
        return False
    calls = _sample_of_calls(special.pool, special.members, PEEK)
    kept = sum(read(general.contract, call.answer) is not None for call in calls)
    return kept >= STILL_KEPT * len(calls)
