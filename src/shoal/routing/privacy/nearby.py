"""Numbers that only the word before them tells apart from any other: "phone 5550132", "BSN …"."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import count

from shoal.routing.privacy.cards import is_card
from shoal.routing.privacy.identities import MOST_PROOFS, NATIONAL_IDS
from shoal.routing.privacy.kinds import Finding, Kind
from shoal.routing.privacy.phones import digits_of, is_dialled

_PHONE_WORDS = """
    phone telephone tel mobile cell cellphone fax whatsapp handy telefon telefonnummer mobil
    téléphone telephoneno portable teléfono telefono móvil celular cellulare telefoon gsm
    telefone telemóvel tlf puh 电话 手机
"""
_CARD_WORDS = ("card", "visa", "mastercard", "kreditkarte", "carte", "tarjeta", "cartão")

Value = tuple[Kind, re.Pattern[str], Callable[[str], bool]]
_PHONE = re.compile(r"\(?\+?\(?[0-9](?:[ .\-/()]{0,2}[0-9]){6,14}(?![\w@]|[-./:][0-9])")
_CARD = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}(?![\w]|[-.][0-9])")


def _spaced(bare: str) -> re.Pattern[str]:
    """The characters of ``bare`` with single separators between them."""
    one_by_one = re.sub(
        r"(\[[^]]+\])\{(\d+)\}", lambda m: r"[ .\-/]?".join([m[1]] * int(m[2])), bare
    )
    joined = one_by_one.replace("][", r"][ .\-/]?[")
    return re.compile(rf"{joined}(?![\w@]|[-./][0-9])", re.IGNORECASE)


def _values() -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = defaultdict(list)
    for word in _PHONE_WORDS.split():
        found[word].append(("phone", _PHONE, is_dialled))
    for word in _CARD_WORDS:
        found[word].append(("card", _CARD, lambda number: is_card(digits_of(number))))
    for number in NATIONAL_IDS:
        for word in number.words:
            found[word].append(("national_id", _spaced(number.bare), number.check))
    return dict(found)


_VALUES = _values()
_TELLING = frozenset(max(re.split(r"[ -]", word), key=len) for word in _VALUES)
_FORMS = r"(?:[-_ ]?(?:number|num|no|nr|nummer|id|code)s?)?"
_GAP = r"[\s:#=.\"'(\[*>_-]{1,8}"
_BETWEEN = (
    rf"{_GAP}(?:(?:number|num|no|nr|nummer|numéro|número|numero|is|ist|lautet|est|es|at|on|under|"
    rf"unter|my|your|the|of|customer|caller)\b{_GAP}){{0,3}}"
)
_WORD = re.compile(
    rf"(?<![^\W_])({'|'.join(sorted(map(re.escape, _VALUES), key=len, reverse=True))})"
    rf"{_FORMS}{_BETWEEN}[+(]{{0,2}}\Z"
)
_LETTERS = re.compile(r"[a-z\xaa-\uffff]+")  # more than letters, and quicker than those alone
_NUMBER = re.compile(r"[0-9](?<![\w.][0-9])(?:[ .\-/()]{0,2}+[0-9]){5,}+")
_BEFORE = 48  # characters looked back at
_WORDS_BEFORE = 5


def nearby(text: str, lowered: str, kinds: Collection[Kind]) -> Iterator[Finding]:
    """Numbers behind a word that says what they are; ``lowered`` is the text in lower case."""
    proofs = count()
    said: bool | None = None  # whether the text has such a word at all, once a number asks
    for number in _NUMBER.finditer(text):
        if said is None:
            said = not _TELLING.isdisjoint(_LETTERS.findall(lowered))
        if not said:
            return
        start = number.start()
        before = lowered[max(0, start - _BEFORE) : start]
        if _TELLING.isdisjoint(_LETTERS.findall(before)[-_WORDS_BEFORE:]):
            continue
        word = _WORD.search(before)
        if word:
            start -= len(before) - len(before.rstrip("+("))
            yield from _values_behind(word[1], text, start, kinds, proofs)


def _values_behind(
    word: str, text: str, start: int, kinds: Collection[Kind], proofs: Iterator[int]
) -> Iterator[Finding]:
    for kind, pattern, check in _VALUES[word]:
        match = pattern.match(text, start) if kind in kinds else None
        if match and (next(proofs) >= MOST_PROOFS or check(match[0])):
            yield Finding(kind, start, match.end())
            return
