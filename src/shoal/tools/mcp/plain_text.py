"""Text that a server wrote, made safe to show and to put before a model: bounded, no controls."""

import unicodedata

_KEPT = frozenset("\n\t")
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))  # direction marks, tags, surrogates …


def plain_text(text: str, most: int) -> str:
    """The text without what cannot be seen, at most ``most`` characters of it.

    >>> plain_text("a\\x1b[31mb\\u202ec", 100), plain_text("abcdef", 4)
    ('a[31mbc', 'abc…')
    """
    looked_at = text[: 4 * most]  # of megabytes nobody reads the end
    seen = "".join(
        one for one in looked_at if one in _KEPT or unicodedata.category(one) not in _UNSEEN
    )
    seen = seen.strip()
    return seen if len(seen) <= most and len(looked_at) == len(text) else f"{seen[: most - 1]}…"
