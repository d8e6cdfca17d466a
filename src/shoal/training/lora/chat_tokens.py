"""A conversation as a model reads it: the tokenizer's chat template, and where the answer begins.

The loss is on the answer and on the token that ends it, and on nothing else: a model that is never
taught to stop does not.
"""

import json
from typing import Any, NamedTuple

from shoal.errors import LearningError
from shoal.training.lora.chat_examples import Turn

IGNORED = -100


class Row(NamedTuple):
    """Tokens (n,) and labels (n,): the token where the loss is on it, else -100. ``asked`` are the
    messages before the answer."""

    ids: list[int]
    labels: list[int]
    asked: tuple[dict[str, Any], ...] = ()


class ChatTokens:
    """Makes rows of turns, with a tokenizer of transformers.

    Raises:
        LearningError: it has no chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise LearningError(
                f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template, "
                "so nobody can say how a conversation is written for it. Take the tuned ('instruct'"
                " or 'chat') form of the model, or put a chat_template.jinja into its folder"
            )
        self._tokenizer = tokenizer
        self._ends = {tokenizer.eos_token_id}

    def prompt(self, turn: Turn) -> str:
        """What stands before the answer."""
        return self._render(turn, [*turn.messages], starts=True)

    def row(self, turn: Turn) -> Row:
        """Tokens of prompt and answer.

        Where the answer's first letters would make one token with the prompt's last ones, the
        prompt ends before them, as trl does it.
        """
        prompt = self.prompt(turn)
        whole = self._render(turn, [*turn.messages, turn.reply], starts=False)
        if not whole.startswith(prompt):  # a template that writes past turns in another way
            whole = prompt + turn.reply["content"] + self._tokenizer.eos_token
        before, ids = self._ids(prompt), self._ids(whole)
        start = next(
            (at for at, pair in enumerate(zip(before, ids, strict=False)) if pair[0] != pair[1]),
            min(len(before), len(ids)),
        )
        ids = ids[:start] + self._ended(ids[start:])
        return Row(ids, [IGNORED] * start + ids[start:], turn.messages)

    def _ended(self, answer: list[int]) -> list[int]:
        """Up to the token that ends the answer: what templates write after it is never written by
        the model."""
        last = max((at for at, token in enumerate(answer) if token in self._ends), default=None)
        return answer[: last + 1] if last is not None else [*answer, self._tokenizer.eos_token_id]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, turn: Turn, messages: list[dict[str, Any]], starts: bool) -> str:
        from jinja2 import TemplateError

        tools = json.loads(turn.tools) if turn.tools else None
        try:
            return self._apply(messages, tools, starts)
        except TemplateError as error:
            if messages[0]["role"] != "system" or len(messages) < 2:
                raise LearningError(
                    f"the model's chat template refuses an example: {error}"
                ) from None
        # Gemma's knows no system message; llama.cpp puts it before the user's first words too
        joined = f"{messages[0]['content']}\n{messages[1]['content']}"
        return self._apply([messages[1] | {"content": joined}, *messages[2:]], tools, starts)

    def _apply(self, messages: list[dict[str, Any]], tools: Any, starts: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=starts
            )
        )
