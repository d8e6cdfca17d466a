"""Conclusions: the answer proper within an answer that reasons.

Chain-of-thought prompts make the LLM reason, and say what it came to in a set phrase ("So the
answer is (B)."). That phrase is the cue; what stands behind its last occurrence is the output.
"""

import re
from collections import Counter
from collections.abc import Sequence

from shoal.tasks.wording import closing, concluded

SAME_CUE = 0.9
"""Share of the answers that must conclude with one cue."""
_CUE = re.compile(
    r"(?:\b(?:so|therefore|thus|hence),? )?(?:\bamong [^,.\n]{1,30}, )?"
    r"\b(?:the |my )?(?:final )?answer\b(?: ?\([^()\n]{1,30}\))?(?: is\b:?|:)"
    r"|\b(?:final )?answer:|####|\\boxed\{",
    re.IGNORECASE,
)


def common_cue(texts: Sequence[str]) -> str:
    """The cue that nearly all of these texts conclude with, a space behind it; "" if none."""
    cues = Counter(found[-1] for text in texts if (found := _CUE.findall(text)))
    if not cues:
        return ""
    cue = min(cues, key=lambda cue: (-cues[cue], cue)).removesuffix(":")
    held = sum(cue in text for text in texts)
    if held < SAME_CUE * len(texts):
        return ""
    return cue if closing(cue) else f"{cue} "


def conclusions(texts: Sequence[str], cue: str) -> list[str]:
    """What stands behind the cue, of the texts that hold it."""
    found = (concluded(text, cue) for text in texts if cue.rstrip() in text)
    return [conclusion for conclusion in found if conclusion]
