"""Blocks of reasoning, as servers of Chat Completions have come to write them.

The format itself has none. ``reasoning_content`` (DeepSeek, vLLM, Mistral's and others' servers) or
``reasoning`` (OpenRouter, Ollama) is their text; ``reasoning_details`` (OpenRouter) holds blocks
with what a provider wants back.
"""

from collections.abc import Sequence

from msgspec import Struct

from shoal.chat import Reasoning

_TEXT, _SEALED = "reasoning.text", "reasoning.encrypted"


class ReasoningDetail(Struct):
    """One block."""

    type: str = _TEXT
    text: str | None = None
    signature: str | None = None
    data: str | None = None


def read_reasoning(
    text: str | None, details: Sequence[ReasoningDetail] | None
) -> tuple[Reasoning, ...]:
    """The blocks of a message: the details where there are any, else the text as one block."""
    if details:
        return tuple(_block(detail) for detail in details)
    return (Reasoning(text),) if text else ()


def write_reasoning(blocks: Sequence[Reasoning]) -> dict[str, object]:
    """The members that a message gets; none if nothing was thought."""
    members: dict[str, object] = {}
    if text := "".join(block.text for block in blocks):
        members["reasoning_content"] = text
    if any(block.signature for block in blocks):
        members["reasoning_details"] = [_detail(block) for block in blocks]
    return members


def _block(detail: ReasoningDetail) -> Reasoning:
    if detail.type == _SEALED:
        return Reasoning(signature=detail.data or "", sealed=True)
    return Reasoning(detail.text or "", detail.signature or "")


def _detail(block: Reasoning) -> dict[str, str]:
    if block.sealed:
        return {"type": _SEALED, "data": block.signature}
    return {"type": _TEXT, "text": block.text, "signature": block.signature}
