"""Real texts of many kinds, and real questions, for measuring vector search.

Each text is cut at 240 characters, about 64 tokens, so that encoding 100,000 takes minutes. Equal
texts are taken once, and what is a question for searching is left out of the texts.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import DATA, lines

MOST_CHARACTERS = 240
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def questions() -> list[str]:
    """Real questions, none of which is among ``texts``: of readers, and of an assistant's users."""
    found = [row["question"] for name in _QUESTIONS for row in lines(name)]
    spoken = [row["text"] for row in lines("intents/clinc150.jsonl.gz") if "test" in row["split"]]
    return list(dict.fromkeys(found + spoken))


_QUESTIONS = (
    "retrieval/xquad_questions.jsonl.gz",
    "retrieval/pubmedqa_questions.jsonl.gz",
    "retrieval/long_documents/questions.jsonl.gz",
)


def texts() -> list[str]:
    """Distinct texts in a fixed shuffled order, so that any first part of them is a fair sample."""
    left_out = set(questions())
    cut = (" ".join(text.split())[:MOST_CHARACTERS] for text in _texts())
    kept = [text for text in dict.fromkeys(cut) if len(text) >= 12 and text not in left_out]
    order: NDArray[np.int64] = np.random.default_rng(7).permutation(len(kept))
    return [kept[index] for index in order]


def _texts() -> Iterator[str]:
    yield from _messages()
    yield from _products()
    yield from _documents()
    yield from _prompts()


def _messages() -> Iterator[str]:
    for name in ("banking77_train", "banking77_test", "clinc150"):
        yield from (row["text"] for row in lines(f"intents/{name}.jsonl.gz"))
    yield from (row["text"] for row in lines("fields/snips.jsonl.gz"))
    for name in ("support_desk", "demo"):
        yield from (row["message"] for row in lines(f"{name}/calls.jsonl.gz"))
    for name in ("atis", "geography"):
        yield from (row["text"] for row in lines(f"text_to_sql/{name}.jsonl.gz"))
    for row in lines("agent_traces/airline_trajectories.jsonl.gz"):
        for message in row["traj"]:
            if isinstance(message.get("content"), str):
                yield message["content"]


def _products() -> Iterator[str]:
    for name in ("abt_buy", "amazon_google"):
        for row in lines(f"product_matching/{name}.jsonl.gz"):
            for side in (row["left"], row["right"]):
                yield side.get("title") or side.get("name") or ""
                yield side.get("description") or ""
    for row in lines("product_matching/responses.jsonl.gz"):
        yield from re.split(r"\.? ?Entity [12]: ", row["prompt"])[1:]


def _documents() -> Iterator[str]:
    names = ("retrieval/pubmedqa_passages", "retrieval/xquad_passages", "intents/medical_abstracts")
    for name in names:
        for row in lines(f"{name}.jsonl.gz"):
            yield from _SENTENCE_END.split(row["text"])
    folder: Path = DATA / "retrieval" / "long_documents"
    for path in sorted(folder.glob("*.md")):
        yield from _SENTENCE_END.split(path.read_text(encoding="utf-8"))


def _prompts() -> Iterator[str]:
    yield from (row["prompt"] for row in lines("routing/routerarena/cached.jsonl.gz"))
    yield from (row["q"] for row in lines("routing/gsm8k_joint_correct.jsonl.gz"))
    for row in lines("function_calling/prompts.jsonl.gz"):
        yield row["question"]
        for function in row["function"]:
            if isinstance(function, dict):
                yield str(function.get("description", ""))
    for name in ("bbh", "zero_shot_cot"):
        for row in lines(f"recurring_calls/{name}/outputs.jsonl.gz"):
            yield row["question"]
            yield from _SENTENCE_END.split(row["output"])
