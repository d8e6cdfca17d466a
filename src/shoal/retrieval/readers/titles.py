"""Headings that plain text tells by signs."""

import re

from shoal.retrieval.documents import Block

_WIKI = re.compile(r" {0,3}(=(?: ?=){0,5})(?!=)[ \t]*(\S.*?)[ \t]*(?<!=)\1[ \t]*$")


def wiki_heading(line: str) -> Block | None:
    if not line.lstrip(" ").startswith("="):
        return None
    found = _WIKI.match(line)
    if not found:
        return None
    return Block("heading", found[2].strip(), found[1].count("="))
