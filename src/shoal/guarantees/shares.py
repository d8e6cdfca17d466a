"""Shares as a person reads them."""

_MOST_DIGITS = 15


def percent(share: float) -> str:
    """A share in percent, with three digits; with more where three would make all of less than all.

    >>> percent(0.0267), percent(0.996), percent(0.9996), percent(1)
    ('2.67 %', '99.6 %', '99.96 %', '100 %')
    """
    digits = 3
    while share < 1 <= float(f"{share:.{digits}g}") and digits < _MOST_DIGITS:
        digits += 1
    return f"{100.0 * share:.{digits}g} %"
