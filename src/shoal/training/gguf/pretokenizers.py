"""How a byte-level tokenizer cuts text before it merges, by the name llama.cpp has for it.

llama.cpp has each of these written by hand; its own converter tells them by a digest of how a
tokenizer cuts a sample. Here it is told by the rule itself, as ``tokenizer.json`` has it.
"""

from typing import Any

from shoal.errors import ArtifactError

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_TEKKEN = rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}|{_ENDS}"
_GPT4O = (
    rf"{_BEFORE}{_UPPER}*{_LOWER}+{_ENGLISH}|{_BEFORE}{_UPPER}+{_LOWER}*{_ENGLISH}|"
    rf"\p{{N}}{{1,3}}|{_ENDS}"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

_NAMES: dict[tuple[tuple[str, ...], bool], str] = {
    (("gpt2",), False): "gpt-2",
    (("digits", "gpt2"), False): "starcoder",
    ((_LLAMA3,), True): "llama-bpe",
    ((_LLAMA3,), False): "dbrx",
    ((_TEKKEN,), True): "tekken",
    ((_GPT4O,), False): "gpt-4o",
    ((_QWEN2,), False): "qwen2",
}
"""By the cuts in their order, and whether a word that is a token is one whatever the merges say."""

_NORMALIZERS = ("", "NFC")  # NFC leaves almost all text as it is; llama.cpp does without


def name_of(tokenizer: dict[str, Any], where: object) -> str:
    """llama.cpp's name for how this ``tokenizer.json`` cuts.

    Raises:
        ArtifactError: it has none.
    """
    whole = tokenizer.get("pre_tokenizer") or {}
    cuts = tuple(cut for step in whole.get("pretokenizers", [whole]) for cut in _cuts(step, where))
    normalizer = (tokenizer.get("normalizer") or {}).get("type", "")
    name = _NAMES.get((cuts, bool(tokenizer["model"].get("ignore_merges"))))
    if name is None or normalizer not in _NORMALIZERS:
        raise ArtifactError(
            f"{where}: cuts text in a way that llama.cpp has no name for; known are "
            f"{', '.join(_NAMES.values())}"
        )
    return name


def _cuts(step: dict[str, Any], where: object) -> list[str]:
    match step.get("type"):
        case "Split":
            return [str(step["pattern"].get("Regex", ""))]
        case "Digits" if step.get("individual_digits"):
            return ["digits"]
        case "ByteLevel" if step.get("add_prefix_space"):
            raise ArtifactError(f"{where}: puts a space before each text, as llama.cpp does not")
        case "ByteLevel":
            return ["gpt2"] if step.get("use_regex", True) else []
        case other:
            return [str(other)]
