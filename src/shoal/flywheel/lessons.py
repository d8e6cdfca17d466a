"""Lessons: a task's examples as a specialist learns them, curated from what was recorded."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.routing.privacy import Kind, scrub_call
from shoal.routing.rung import Limits, beyond
from shoal.specialists.card import TokenRates
from shoal.specialists.conversations import left_out_together
from shoal.storage import Example
from shoal.tasks import CallContract, Input, Matcher, Output, Task, read, same
from shoal.training.augmentation import Augmented

_PAIRS = 20  # of equal inputs: fewer say too little about the reference's agreement with itself


class Lesson(Struct, frozen=True):
    """One example: the input, what to learn, what the LLM said, and what a person said.

    ``output`` is None if the reference breaks the contract. ``llm`` is None if the LLM was never
    asked, ``people`` if no person said what is right, ``refuted`` if none said what is wrong. An
    answer has to keep the ``limits``. ``sampled``: it may judge.
    """

    call_id: str
    input: Input
    output: Output | None
    llm: Answer | None
    people: Answer | None
    sampled: bool
    refuted: Answer | None = None
    at: float = 0.0
    limits: Limits = Limits()
    episode: str = ""

    def said(self, by_people: bool) -> Answer | None:
        """What the reference said, people or the LLM. None of an answer that people only called
        wrong: whatever is predicted counts as wrong there, for nothing is known to be right."""
        return self.people if by_people else self.llm

    @property
    def text(self) -> str:
        """The input's text: of lessons with the same text the input is the same."""
        return self.input.text


class Lessons(Struct, frozen=True):
    """The lessons of one task, oldest first; ``model`` gave the LLM's answers. ``at`` is when they
    were read (unix seconds): what happened to the task since, they do not know. ``monotone`` are
    the directions of columns, for tables. ``state`` is the folder in which a long training of these
    lessons keeps how far it came, ``made_up`` what an LLM made up to train on beside them.
    ``by_people``: those judge that people reviewed."""

    task: Task
    model: str
    lessons: tuple[Lesson, ...]
    rates: TokenRates | None
    at: float = 0.0
    monotone: Mapping[str, str] = MappingProxyType({})
    state: Path | None = None
    made_up: Augmented | None = None
    by_people: bool = False

    @property
    def size(self) -> int:
        """How many an attempt at a certificate rests on: all, or those that people reviewed."""
        if not self.by_people:
            return len(self.lessons)
        return sum(lesson.sampled for lesson in self.lessons)

    @property
    def inputs(self) -> list[Input]:
        """What was asked."""
        return [lesson.input for lesson in self.lessons]

    @property
    def outputs(self) -> list[Output | None]:
        """What to learn."""
        return [lesson.output for lesson in self.lessons]

    @property
    def digest(self) -> str:
        """SHA-256 over ids, inputs and references: which data a certificate rests on."""
        return digest_of(
            (lesson.call_id, lesson.text, repr(lesson.output)) for lesson in self.lessons
        )

    def self_agreement(self) -> float | None:
        """Share of pairs of equal inputs that the LLM answered the same; None for too few."""
        answers: dict[str, list[Answer]] = defaultdict(list)
        for lesson in self.lessons:
            if lesson.llm is not None:
                answers[lesson.text].append(lesson.llm)
        pairs = [
            same(self.task.contract, first, second)
            for given in answers.values()
            for first, second in zip(given[::2], given[1::2], strict=False)
        ]
        return sum(pairs) / len(pairs) if len(pairs) >= _PAIRS else None


def first_of(texts: Sequence[str]) -> list[bool]:
    """Of each of n inputs whether it is the first of its like."""
    at = {text: row for row, text in reversed([*enumerate(texts)])}
    return [at[text] == row for row, text in enumerate(texts)]


def together_in(lessons: Sequence[Lesson]) -> list[str]:
    """Of each lesson the name of what it belongs together with: its episode, or, of a call that was
    linked with no other, all calls with the same input, or with a conversation that begins so."""
    return together_by([one.episode for one in lessons], [one.input for one in lessons])


def together_by(episodes: Sequence[str], inputs: Sequence[Input]) -> list[str]:
    """The same, of calls (n,) by their episodes and inputs."""
    sizes, alone = Counter(episodes), left_out_together(inputs)
    return [
        f"episode {episode}" if episode and sizes[episode] > 1 else name
        for episode, name in zip(episodes, alone, strict=True)
    ]


def digest_of(rows: Iterable[Sequence[str]]) -> str:
    """SHA-256 over rows of texts, as certificates name their data."""
    found = hashlib.sha256()
    for row in rows:
        found.update("\0".join(row).encode("utf-8", "surrogatepass") + b"\n")
    return f"sha256:{found.hexdigest()}"


def curate(
    task: Task,
    examples: Iterable[Example],
    since: float = 0.0,
    redrawn: float = 0.0,
    changed: float = 0.0,
    reviewed: Collection[str] | None = None,
) -> Lessons:
    """Make lessons of examples recorded since that moment, for the model that answered most.

    ``redrawn`` is when the task was last merged, split or widened. If some calls before that were
    sampled and others not, its parts were sampled at different rates, and together they are no fair
    sample: then only calls since judge, the older ones only train. The same holds of calls up to
    ``changed``, when the LLM's answers became of another kind. A call that no specialist would be
    asked about, for what its caller wants beside the answer, does not judge either. Where people
    are the reference, only the calls ``reviewed`` judge, by id, whatever else people said.
    """
    recent = [example for example in examples if example.at >= since]
    uneven = any(not example.sampled for example in recent if example.at <= redrawn)
    models = Counter(example.request.model for example in recent)
    model = max(models, key=lambda name: (models[name], name), default="")
    matcher = Matcher([task])
    lessons = []
    for example in sorted(recent, key=lambda example: (example.at, example.call_id)):
        match = matcher.find(example.request)
        if match is None or example.request.model != model:
            continue
        judges = example.sampled and not (uneven and example.at <= redrawn)
        judges = judges and not beyond(example.request, isinstance(task.contract, CallContract))
        judges = judges and (
            example.at > changed if reviewed is None else example.call_id in reviewed
        )
        lessons.append(_lesson(task, example, match.input_of(example.request), judges))
    rates = token_rates([example for example in recent if example.request.model == model])
    return Lessons(task, model, tuple(lessons), rates, by_people=reviewed is not None)


def scrubbed(example: Example, kinds: Collection[Kind]) -> Example:
    """The example without what is personal in it, as its specialist will be asked."""
    request, reference = scrub_call(example.request, example.reference, kinds)
    said, refuted = example.llm_answer, example.refuted
    return replace(
        example,
        request=request,
        reference=reference,
        llm_answer=None if said is None else scrub_call(example.request, said, kinds)[1],
        refuted=None if refuted is None else scrub_call(example.request, refuted, kinds)[1],
    )


def _lesson(task: Task, example: Example, given: Input, judges: bool) -> Lesson:
    by_people, unknown = example.by == "people", example.refuted is not None
    return Lesson(
        call_id=example.call_id,
        input=given,
        output=None if by_people and unknown else read(task.contract, example.reference),
        llm=example.llm_answer,
        people=example.reference if by_people and not unknown else None,
        sampled=judges,
        refuted=example.refuted,
        at=example.at,
        limits=Limits.of(example.request),
        episode=example.episode,
    )


def token_rates(examples: Sequence[Example]) -> TokenRates | None:
    """Tokens by the LLM's own count, over the calls whose usage is known."""
    characters = inputs = outputs = counted = 0
    for example in examples:
        usage = example.llm_answer.usage if example.llm_answer else None
        if usage is None or usage.estimated or not usage.input_tokens:
            continue
        characters += sum(len(message.text) for message in example.request.messages)
        inputs += usage.input_tokens
        outputs += usage.output_tokens
        counted += 1
    return TokenRates(inputs / characters, outputs / counted) if characters else None
