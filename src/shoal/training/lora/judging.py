"""How often a tuned model's answers are those of the reference, by the task's own comparator."""

from collections.abc import Sequence
from pathlib import Path

import torch
from msgspec import Struct

from shoal.chat import Answer
from shoal.tasks import Contract, same
from shoal.training.lora.chat_examples import ChatExample, after_thinking, as_asked
from shoal.training.lora.chat_tokens import ChatTokens
from shoal.training.lora.hardware import Hardware
from shoal.training.lora.loading import model_of, tokenizer_of


class Judged(Struct, frozen=True):
    """Of ``count`` answers so many were the ``same``; ``cut`` did not come to their end."""

    count: int
    same: int
    cut: int

    @property
    def share(self) -> float:
        """Of the same among all."""
        return self.same / self.count if self.count else 0.0


class Written(Struct, frozen=True):
    """What the model wrote, and whether it ended by itself."""

    text: str
    complete: bool


def write(
    base: Path,
    adapter: Path | None,
    examples: Sequence[ChatExample],
    tokens: int = 256,
    batch: int = 8,
) -> list[Written]:
    """Greedy answers (n,) of the model, with the adapter if there is one, by transformers."""
    tokenizer, hardware = tokenizer_of(base), Hardware.found()
    tokenizer.padding_side = "left"
    model = model_of(base, hardware)
    if adapter is not None:
        import peft

        model = peft.PeftModel.from_pretrained(model, str(adapter))
    model.eval()
    chat = ChatTokens(tokenizer)
    prompts = [chat.prompt(as_asked(example)[0]) for example in examples]
    found: list[Written] = []
    for first in range(0, len(prompts), batch):
        asked = tokenizer(
            prompts[first : first + batch],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
            return_token_type_ids=False,
        ).to(hardware.device)
        with torch.inference_mode():
            ids = model.generate(
                **asked,
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        for row in ids[:, asked["input_ids"].shape[1] :]:
            text = tokenizer.decode(row, skip_special_tokens=True)
            found.append(Written(text, tokenizer.eos_token_id in row.tolist()))
    return found


def judge(
    contract: Contract, examples: Sequence[ChatExample], written: Sequence[Written]
) -> Judged:
    """Compare what was written with the examples' own answers. What a model thought is left out,
    and an answer that was cut off is never the same."""
    agreed = [
        told.complete and same(contract, example.answer, Answer(text=after_thinking(told.text)))
        for example, told in zip(examples, written, strict=True)
    ]
    return Judged(len(agreed), sum(agreed), sum(not told.complete for told in written))
