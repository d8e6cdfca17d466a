"""Blocks of reasoning as items, both ways.

A provider knows an item of reasoning by its id and its encrypted content, and wants both back; a
``Reasoning`` has one ``signature`` for the two: "ID:CONTENT" for ids that a provider gave, the
content alone for those made here.
"""

import re
from collections.abc import Iterable

from shoal.chat import Reasoning
from shoal.formats.responses.wire_items import WireReasoning, WireText

PARAGRAPH = "\n\n"  # between the parts of one block
_GIVEN = re.compile(r"(?P<id>rs_(?!shoal_)[\w-]+):(?P<content>.+)", re.ASCII | re.DOTALL)


def read_reasoning(item: WireReasoning) -> Reasoning | None:
    """The block, None if it holds nothing."""
    text = PARAGRAPH.join(_texts(item.summary or ()) + _texts(item.content or ()))
    signature = sign(item)
    if not text and not signature:
        return None
    return Reasoning(text, signature, sealed=not text)


def sign(item: WireReasoning) -> str:
    """What the provider wants back, "" if that is nothing."""
    content = item.encrypted_content or ""
    signed = f"{item.id}:{content}"
    return signed if content and _GIVEN.fullmatch(signed) else content


def made_id(answer: str, index: int) -> str:
    """An id for an item of an answer that no provider gave one; ``answer`` is the answer's id."""
    return f"rs_shoal_{answer}_{index}"


def unsign(signature: str, made: str) -> tuple[str, str]:
    """Id and encrypted content of an item; ``made`` is the id where the signature holds none."""
    given = _GIVEN.fullmatch(signature)
    return (given["id"], given["content"]) if given else (made, signature)


def write_reasoning(block: Reasoning, made: str) -> dict[str, object]:
    """The block as an item."""
    item_id, content = unsign(block.signature, made)
    return reasoning_item(item_id, block.text, content)


def reasoning_item(item_id: str, text: str, content: str) -> dict[str, object]:
    """An item of reasoning; ``content`` is encrypted, "" if there is none."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item: dict[str, object] = {"id": item_id, "type": "reasoning", "summary": summary}
    return item | {"encrypted_content": content} if content else item


def _texts(parts: Iterable[WireText]) -> list[str]:
    return [part.text for part in parts if part.text]
