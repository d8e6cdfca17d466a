"""Payment cards: 13 to 19 digits of a known issuer whose Luhn digit is right."""

from bisect import bisect_right

_ISSUERS = (  # first and last prefix padded to six digits, lengths
    (220000, 220499, (16, 17, 18, 19)),  # Mir
    (222100, 272099, (16,)),  # Mastercard
    (300000, 305999, (14,)),  # Diners Club
    (340000, 349999, (15,)),  # American Express
    (352800, 358999, (16, 17, 18, 19)),  # JCB
    (360000, 369999, (14,)),  # Diners Club
    (370000, 379999, (15,)),  # American Express
    (380000, 399999, (14,)),  # Diners Club
    (400000, 499999, (13, 16, 19)),  # Visa
    (501800, 501899, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (502000, 502099, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (503800, 503899, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (508500, 508999, (16,)),  # RuPay
    (510000, 559999, (16,)),  # Mastercard
    (589300, 589399, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (601100, 601199, (16, 17, 18, 19)),  # Discover
    (606985, 607984, (16,)),  # RuPay
    (608001, 608500, (16,)),  # RuPay
    (620000, 629999, (16, 17, 18, 19)),  # UnionPay
    (630400, 630499, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (644000, 659999, (16, 17, 18, 19)),  # Discover, RuPay
    (675900, 676999, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (817200, 820199, (16,)),  # UnionPay, RuPay
)
_FIRST = [issuer[0] for issuer in _ISSUERS]
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_SINGLE = bytes.maketrans(b"0123456789", bytes(range(10)))


def is_card(digits: str) -> bool:
    """Whether the digits are a card's: issuer, length, Luhn digit."""
    prefix = int(digits[:6])
    at = bisect_right(_FIRST, prefix) - 1
    if at < 0 or prefix > _ISSUERS[at][1] or len(digits) not in _ISSUERS[at][2]:
        return False
    return luhn(digits)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right doubled, sum of digits mod 10."""
    backwards = digits.encode()[::-1]
    total = sum(backwards[::2].translate(_SINGLE)) + sum(backwards[1::2].translate(_DOUBLED))
    return total % 10 == 0
