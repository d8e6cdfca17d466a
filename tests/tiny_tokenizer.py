"""Tokenizers whose tokens can be counted by eye: the bytes of a text, or its words."""

from pathlib import Path

from tokenizers import Tokenizer as Parsed
from tokenizers import models, pre_tokenizers, processors


def bytes_tokenizer() -> Parsed:
    """A token for each byte; ``marked``, a text has two more."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate([*alphabet, "<s>", "</s>"])}
    parsed = Parsed(models.BPE(vocab=vocabulary, merges=[]))
    parsed.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    marks = [(mark, vocabulary[mark]) for mark in ("<s>", "</s>")]
    parsed.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=marks
    )
    return parsed


def words_tokenizer(unknown: str = "<unk>") -> Parsed:
    """A token for each word; without ``unknown`` in its vocabulary it fails at all but "The"."""
    parsed = Parsed(models.WordLevel(vocab={"<unk>": 0, "The": 1}, unk_token=unknown))
    parsed.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return parsed


def write(parsed: Parsed, path: Path) -> Path:
    """The tokenizer in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parsed.save(str(path))
    return path
