"""Examples → tokens and what of them the loss is on; what cannot be learned from is named."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from shoal.errors import LearningError
from shoal.training.lora.chat_examples import ChatExample, as_asked, step_by_step, thinking
from shoal.training.lora.chat_tokens import ChatTokens, Row
from shoal.training.lora.contamination import Calibration
from shoal.training.lora.options import TuningOptions

_TURNS = {
    "supervised": as_asked,
    "distil": as_asked,
    "step-by-step": step_by_step,
    "reasoning": thinking,
}


class Dropped(Struct, frozen=True):
    """An example that was left out, and why in plain words."""

    key: str
    why: str


class Prepared(NamedTuple):
    """``rows`` to learn from, ``held_out`` to stop by, and what was ``dropped``."""

    rows: list[Row]
    held_out: list[Row]
    dropped: list[Dropped]

    @property
    def reasons(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        return dict(Counter(example.why for example in self.dropped))


def prepare(
    examples: Sequence[ChatExample],
    tokenizer: Any,
    options: TuningOptions,
    calibration: Sequence[str] = (),
) -> Prepared:
    """Tokens of the examples by the tokenizer's chat template, without those that are empty, too
    long, there twice, or calibration examples (``calibration`` are their requests' texts).

    The held-out part is drawn by the digest of a request, so that one request is never on both
    sides, and another run draws the same.

    Raises:
        LearningError: the tokenizer has no chat template, or nothing is left to learn from.
    """
    kept, dropped = sound(examples, options.near, calibration)
    chat = ChatTokens(tokenizer)
    sides: tuple[list[Row], list[Row]] = ([], [])
    for example in kept:
        rows = [chat.row(turn) for turn in _TURNS[options.recipe](example)]
        if why := _refusal(rows, options):
            dropped.append(Dropped(example.key, why))
            continue
        sides[is_held_out(example, options.held_out, options.seed)].extend(rows)
    if not sides[0]:
        raise nothing_left(dropped)
    return Prepared(*sides, dropped)


def text_of(example: ChatExample) -> str:
    """The request as one text, as calibration texts must be given."""
    return "\n".join(message.text for message in example.messages)


def sound(
    examples: Sequence[ChatExample], near: float, calibration: Sequence[str]
) -> tuple[list[ChatExample], list[Dropped]]:
    """Those with an answer, each once and no calibration example (see ``Calibration``); and the
    others."""
    texts = [text_of(example) for example in examples]
    taken = Calibration(calibration, texts, near)
    seen, kept, dropped = set[tuple[str, str]](), list[ChatExample](), list[Dropped]()
    for example, text in zip(examples, texts, strict=True):
        answer = example.answer.text.strip() or str(example.answer.tool_calls or "")
        if not answer:
            why = "its answer is empty"
        elif (text, answer) in seen:
            why = "it is there twice"
        elif how := taken.has(text):
            why = f"it is {how} a calibration example"
        else:
            seen.add((text, answer))
            kept.append(example)
            continue
        dropped.append(Dropped(example.key, why))
    return kept, dropped


def _refusal(rows: Sequence[Row], options: TuningOptions) -> str:
    if not rows:
        return "it has no rationale"
    if max(len(row.ids) for row in rows) > options.max_tokens:
        return f"request and answer are over {options.max_tokens:,} tokens"
    return ""


def is_held_out(example: ChatExample, share: float, seed: int) -> bool:
    """Whether an example is of the held-out share, which its request alone decides."""
    key = seed.to_bytes(8, "little", signed=True)
    drawn = hashlib.blake2b(text_of(example).encode(), digest_size=8, key=key).digest()
    return int.from_bytes(drawn, "little") < share * 2**64


def nothing_left(dropped: list[Dropped]) -> LearningError:
    """Says why every example was dropped."""
    reasons = Prepared([], [], dropped).reasons
    told = "; ".join(f"{count} × {why}" for why, count in reasons.items())
    return LearningError(f"no example is left to learn from: {told or 'there were none'}")
