"""What a plan can come to before it runs: at least, and at most.

    most of a list    at_most x its steps       least   0
    most of a round   at_most x its steps       least   its steps once
    most of a branch  the dearest of its arms   least   the cheapest, 0 where there is no else
    most of a leaf    (1 + retries) x (1 + escalations), and its fallback's

Time runs along the longest chain of steps that wait for each other; what limits how many calls run
at a time is not counted in. At most a prompt has a token for each byte of UTF-8 (no tokenizer of
bytes has more), and four bytes for each character that a run lets it have where it names results.
At least an ask costs nothing where a certified specialist, or the cache, may answer in the model's
place. Beside the two stands what is ``usual``: every step tried once, lists and rounds as long as
they may be, a token for four characters, and 2,000 characters for each result that a prompt names.
"""

import math
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.planning.catalogue import Catalogue, ModelOffer
from shoal.planning.limits import Limits
from shoal.planning.plan import Ask, Branch, Map, Repeat, Retrieve, Step, Use
from shoal.planning.references import paths_in
from shoal.planning.shape import arms, needs, ordered

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_CHARACTERS_PER_TOKEN = 4
_BYTES_PER_CHARACTER = 4  # of UTF-8, at most
_NAMED_CHARACTERS = 2_000  # of a result that a prompt names, usually
_FRAME_TOKENS = 200  # around messages and the schema of an answer: more than providers put there


class Estimate(Struct, frozen=True):
    """Steps, tokens, USD and seconds; infinite USD where nobody knows a price."""

    steps: float = 0
    tokens: float = 0
    usd: float = 0.0
    seconds: float = 0.0

    def and_then(self, other: "Estimate") -> "Estimate":
        """Both, one after the other."""
        return Estimate(
            self.steps + other.steps,
            self.tokens + other.tokens,
            self.usd + other.usd,
            self.seconds + other.seconds,
        )

    def times(self, count: int, at_a_time: int = 1) -> "Estimate":
        """It ``count`` times, ``at_a_time`` beside each other."""
        if not count:
            return Estimate()
        rounds = math.ceil(count / at_a_time)
        return Estimate(
            self.steps * count, self.tokens * count, self.usd * count, self.seconds * rounds
        )


class Estimator:
    """Estimates for what a catalogue offers, within limits."""

    def __init__(self, catalogue: Catalogue, limits: Limits) -> None:
        self._catalogue, self._limits = catalogue, limits

    def most(self, steps: Sequence[Step]) -> Estimate:
        """What steps that run in parallel as far as they can come to at most."""
        total, ends = Estimate(), dict[str, float]()
        for step in ordered(steps):
            one = self._most_of(step)
            total = total.and_then(one)
            begins = max((ends.get(name, 0.0) for name in needs(step)), default=0.0)
            ends[step.id] = begins + one.seconds
        return Estimate(total.steps, total.tokens, total.usd, max(ends.values(), default=0.0))

    def least(self, steps: Sequence[Step]) -> Estimate:
        """What they come to at least; of time nothing is known."""
        total = Estimate()
        for step in steps:
            total = total.and_then(self._least_of(step))
        return total

    def usual(self, steps: Sequence[Step]) -> Estimate:
        """What they usually come to, each tried once; of time nothing is known."""
        total = Estimate()
        for step in steps:
            total = total.and_then(self._usual_of(step))
        return total

    def filled_usd(self, step: Ask) -> float:
        """What one try of a step costs at most whose prompt is filled in: it has no more tokens
        than bytes. Infinite if nobody knows."""
        return self._usd(step, _most_input(step))

    def filled_tokens(self, step: Ask) -> float:
        """The tokens that one try of a step takes at most whose prompt is filled in; infinite for
        a task, whose request is like those recorded of it."""
        return math.inf if step.task else _most_input(step) + step.max_tokens

    def _upper_input(self, step: Ask) -> float:
        """The tokens of a prompt at most that is not filled in yet."""
        if not any(paths_in([step.system, step.prompt])):
            return _most_input(step)
        own = len(msgspec.json.encode(step.output)) + _FRAME_TOKENS
        return self._limits.prompt_characters * _BYTES_PER_CHARACTER + own

    def _usd(self, step: Ask, input_tokens: float) -> float:
        model = self._catalogue.models.get(step.model)
        if not step.task:
            return _cost(model, input_tokens, step.max_tokens)
        if step.model:  # its request is like those recorded of it, however long these are
            return 0.0 if _cost(model, 1, 1) == 0 else math.inf
        offer = self._catalogue.tasks.get(step.task)
        return math.inf if offer is None or offer.cost is None else offer.cost

    def _most_of(self, step: Step) -> Estimate:
        timeout = step.timeout_s or self._limits.step_timeout_s
        tries = 1 + step.retries
        pauses = sum(map(longest_pause_s, range(step.retries)))
        match step:
            case Ask():
                asked = tries * (1 + len(step.escalate))
                size = self._upper_input(step)
                tokens = math.inf if step.task else size + step.max_tokens
                usd = sum((self._usd(one, size) for one in escalations(step)), 0.0) * tries
                paused = pauses * (1 + len(step.escalate))
                found = Estimate(1, tokens * asked, usd, timeout * asked + paused)
            case Use():
                spec = self._catalogue.tools.get(step.tool)
                if spec is not None:
                    timeout = min(timeout, spec.timeout_s)
                cost = spec.cost if spec else math.inf
                found = Estimate(1, 0, cost * tries, timeout * tries + pauses)
            case Map():
                found = self.most(step.steps).times(_length(step), step.at_once)
            case Repeat():
                found = self.most(step.steps).times(step.at_most)
            case Branch():
                found = _dearest([self.most(arm.steps) for arm in arms(step)])
            case Retrieve():
                found = Estimate(1, 0, 0.0, timeout * tries + pauses)
            case _:  # an answer, or a person, who is not waited for
                found = Estimate(1)
        return found.and_then(self._most_of(step.fallback)) if step.fallback else found

    def _least_of(self, step: Step) -> Estimate:
        match step:
            case Ask():
                model = self._catalogue.models.get(step.model)
                if step.task or model is None or model.spared:
                    return Estimate(1)
                usd = _cost(model, 1, 0)
                return Estimate(1, 1, 0.0 if math.isinf(usd) else usd)
            case Map():
                return Estimate()
            case Repeat():
                return self.least(step.steps)
            case Branch():
                each = [self.least(arm.steps) for arm in arms(step)]
                return _cheapest(each) if step.default else Estimate()
            case _:
                return Estimate(1)

    def _usual_of(self, step: Step) -> Estimate:
        match step:
            case Ask():
                size = _usual_input(step, self._limits)
                offer = self._catalogue.tasks.get(step.task)
                if offer is not None and offer.certified:
                    return Estimate(1)
                return Estimate(1, size + step.max_tokens, self._usd(step, size))
            case Use():
                spec = self._catalogue.tools.get(step.tool)
                return Estimate(1, 0, spec.cost if spec else math.inf)
            case Map():
                return self.usual(step.steps).times(_length(step), step.at_once)
            case Repeat():
                return self.usual(step.steps).times(step.at_most)
            case Branch():
                return _dearest([self.usual(arm.steps) for arm in arms(step)])
            case _:
                return Estimate(1)


def _most_input(step: Ask) -> int:
    texts = (step.system, step.prompt, msgspec.json.encode(step.output).decode())
    return sum(len(one.encode("utf-8", "surrogatepass")) for one in texts) + _FRAME_TOKENS


def _usual_input(step: Ask, limits: Limits) -> float:
    named = sum(1 for _ in paths_in([step.system, step.prompt, dict(step.slots)]))
    written = len(step.system) + len(step.prompt) + len(msgspec.json.encode(step.slots))
    characters = min(written + named * _NAMED_CHARACTERS, limits.prompt_characters)
    return characters / _CHARACTERS_PER_TOKEN


def _length(step: Map) -> int:
    """The items of a list at most."""
    return min(len(step.over), step.at_most) if isinstance(step.over, list) else step.at_most


def longest_pause_s(tries: int) -> float:
    """Seconds at most before the next try, after 1 + ``tries`` of them."""
    return min(_FIRST_PAUSE_S * 2.0**tries, _LONGEST_PAUSE_S)


def escalations(step: Ask) -> list[Ask]:
    """The step as it is asked first, and then of each model that it escalates to."""
    return [step, *(replace(step, model=model, escalate=()) for model in step.escalate)]


def _cost(model: ModelOffer | None, input_tokens: float, output_tokens: float) -> float:
    if model is None or model.input_price is None or model.output_price is None:
        return math.inf
    return model.input_price * input_tokens + model.output_price * output_tokens


def _dearest(each: Sequence[Estimate]) -> Estimate:
    return Estimate(*(max((one[at] for one in map(_fields, each)), default=0) for at in range(4)))


def _cheapest(each: Sequence[Estimate]) -> Estimate:
    return Estimate(*(min((one[at] for one in map(_fields, each)), default=0) for at in range(4)))


def _fields(one: Estimate) -> tuple[float, float, float, float]:
    return one.steps, one.tokens, one.usd, one.seconds
