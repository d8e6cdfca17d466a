"""National identity numbers: which ones, how they are written, and what makes one valid.

Where a number has a form that says enough by itself (separators, letters, many check digits) it is
found anywhere; where it is merely digits, only behind one of its ``words``. The proof is always
python-stdnum's (for the United Kingdom's National Insurance number, which it lacks, the published
form); ``quick`` is a cheap necessary condition that keeps the proof off the hot path.
"""

import re
from collections.abc import Callable
from operator import mul

import stdnum.au.tfn
import stdnum.be.nn
import stdnum.br.cpf
import stdnum.ca.sin
import stdnum.ch.ssn
import stdnum.cn.ric
import stdnum.de.idnr
import stdnum.dk.cpr
import stdnum.es.nie
import stdnum.es.nif
import stdnum.fi.hetu
import stdnum.fr.nir
import stdnum.gb.nhs
import stdnum.ie.pps
import stdnum.in_.aadhaar
import stdnum.in_.pan
import stdnum.it.codicefiscale
import stdnum.mx.curp
import stdnum.nl.bsn
import stdnum.no.fodselsnummer
import stdnum.pl.pesel
import stdnum.pt.nif
import stdnum.se.personnummer
import stdnum.us.itin
import stdnum.us.ssn
import stdnum.verhoeff
import stdnum.za.idnr
from msgspec import Struct

from shoal.routing.privacy.cards import luhn

Check = Callable[[str], bool]
MOST_PROOFS = 500
"""Proofs in one text; they take up to 0.3 ms each, so that past these the quick condition and the
form must do. A text full of identity numbers may hold some that are none."""


def _always(number: str) -> bool:
    return True


def _like(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda number: compiled.fullmatch(number) is not None


class NationalId(Struct, frozen=True):
    """One country's number.

    ``check`` proves a number as it is written, ``quick`` sees it without separators. ``shapes`` are
    layouts that say enough by themselves (9 a digit, X a capital), ``lengths`` do so for unbroken
    runs of capitals and digits that begin with a capital. Behind one of ``words`` (lower case) the
    characters of ``bare``, of which the first is a digit, count, too, with or without single
    separators.
    """

    country: str
    check: Check
    quick: Check = _always
    shapes: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    bare: str = ""


_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_AREA = re.compile(r"(?!000|666|9)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}")
_NEVER_ISSUED = frozenset(("078051120", "219099999", "457555462"))
_NINO = re.compile(
    r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:[0-9]{2} ?){3}[A-D]",
    re.IGNORECASE,
)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _is_ssn(number: str) -> bool:
    """Social Security number; stdnum knows no other rule than these."""
    digits = number.replace("-", "").replace(" ", "")
    return _AREA.fullmatch(digits) is not None and digits not in _NEVER_ISSUED


def _is_cpf(digits: str) -> bool:
    values = [int(digit) for digit in digits]
    first = sum(map(mul, values, range(10, 1, -1))) * 10 % 11 % 10
    second = sum(map(mul, values, range(11, 1, -1))) * 10 % 11 % 10
    return values[9:] == [first, second] and len(set(values)) > 1


def _is_nhs(digits: str) -> bool:
    return (
        sum(int(d) * weight for d, weight in zip(digits, range(10, 0, -1), strict=True)) % 11 == 0
    )


def _may_be_idnr(digits: str) -> bool:
    """Of the first ten digits one comes two or three times, and eight or nine others once."""
    return digits[0] != "0" and len(set(digits[:10])) in (8, 9)


def _may_be_dni(number: str) -> bool:
    return number[:8].isdigit() and _DNI_LETTERS[int(number[:8]) % 23] == number[8]


def _may_be_nie(number: str) -> bool:
    return number[0] in "XYZ" and _may_be_dni(str("XYZ".index(number[0])) + number[1:])


def _may_be_nir(number: str) -> bool:
    return number.isdigit() and (97 - int(number[:13]) % 97) == int(number[13:])


def _may_be_ric(number: str) -> bool:
    if not number[:17].isdigit():
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))
    return "10X98765432"[total % 11] == number[17]


_PERSONNUMMER = _like(rf"(?:[0-9]{{2}})?[0-9]{{2}}{_MONTH}(?:{_DAY}|[6-8][0-9]|9[01])[0-9]{{4}}")
_BIRTH_FIRST = _like(rf"{_DAY}{_MONTH}[0-9]{{2}}[A-FU-Y]?[0-9]{{3}}[0-9A-Y]")


def _may_be_personnummer(digits: str) -> bool:
    return bool(_PERSONNUMMER(digits)) and luhn(digits[-10:])


def _may_be_rijksregister(digits: str) -> bool:
    return any(97 - int(born + digits[:9]) % 97 == int(digits[9:]) for born in ("", "2"))


NATIONAL_IDS = (
    NationalId(
        "US",
        _is_ssn,
        shapes=("999-99-9999",),
        words=("ssn", "social security", "soc sec"),
        bare="[0-9]{9}",
    ),
    NationalId(
        "US",
        stdnum.us.itin.is_valid,
        _like(r"9[0-9]{2}(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[0-9]{4}"),
        shapes=("999-99-9999",),
        words=("itin", "taxpayer"),
        bare="[0-9]{9}",
    ),
    NationalId(
        "GB",
        lambda number: _NINO.fullmatch(number) is not None,
        lengths=(9,),
        shapes=("XX 99 99 99 X",),
    ),
    NationalId(
        "GB",
        stdnum.gb.nhs.is_valid,
        _is_nhs,
        shapes=("999 999 9999",),
        words=("nhs",),
        bare="[0-9]{10}",
    ),
    NationalId(
        "DE",
        stdnum.de.idnr.is_valid,
        _may_be_idnr,
        shapes=("99 999 999 999",),
        words=(
            "steuer-id",
            "steuerid",
            "idnr",
            "steueridentifikationsnummer",
            "identifikationsnummer",
        ),
        bare="[0-9]{11}",
    ),
    NationalId(
        "FR",
        stdnum.fr.nir.is_valid,
        _may_be_nir,
        shapes=("9 99 99 99 999 999 99", "9" * 15),
        words=("nir", "sécurité sociale", "securite sociale"),
        bare="[0-9]{15}",
    ),
    NationalId(
        "ES",
        stdnum.es.nif.is_valid,
        _may_be_dni,
        shapes=("99999999-X", "99999999X"),
        words=("dni", "nif"),
        bare="[0-9]{8}[a-z]",
    ),
    NationalId(
        "ES",
        stdnum.es.nie.is_valid,
        _may_be_nie,
        lengths=(9,),
    ),
    NationalId(
        "IT",
        stdnum.it.codicefiscale.is_valid,
        _like(r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"),
        lengths=(16,),
    ),
    NationalId(
        "NL",
        stdnum.nl.bsn.is_valid,
        shapes=("9999.99.999",),
        words=("bsn", "burgerservicenummer", "sofinummer"),
        bare="[0-9]{9}",
    ),
    NationalId("CA", stdnum.ca.sin.is_valid, words=("sin", "social insurance"), bare="[0-9]{9}"),
    NationalId(
        "IN",
        stdnum.in_.aadhaar.is_valid,
        lambda digits: digits[0] > "1" and stdnum.verhoeff.checksum(digits) == 0,
        shapes=("9999 9999 9999",),
        words=("aadhaar", "aadhar", "uidai"),
        bare="[0-9]{12}",
    ),
    NationalId(
        "IN",
        stdnum.in_.pan.is_valid,
        _like(r"[A-Z]{3}[ABCFGHLJPTK][A-Z][0-9]{4}[A-Z]"),
        lengths=(10,),
    ),
    NationalId(
        "BR",
        stdnum.br.cpf.is_valid,
        _is_cpf,
        shapes=("999.999.999-99",),
        words=("cpf",),
        bare="[0-9]{11}",
    ),
    NationalId("PL", stdnum.pl.pesel.is_valid, words=("pesel",), bare="[0-9]{11}"),
    NationalId(
        "SE",
        stdnum.se.personnummer.is_valid,
        _may_be_personnummer,
        shapes=("999999-9999", "999999+9999", "99999999-9999"),
        words=("personnummer", "personal identity number", "pnr"),
        bare="(?:[0-9]{2})?[0-9]{6}[-+]?[0-9]{4}",
    ),
    NationalId(
        "FI",
        stdnum.fi.hetu.is_valid,
        _BIRTH_FIRST,
        shapes=("999999-999X", "999999-9999", "999999X999X", "999999X9999"),
        words=("hetu", "henkilötunnus"),
        bare="[0-9]{6}[-+a-fu-y][0-9]{3}[0-9a-y]",
    ),
    NationalId(
        "NO",
        stdnum.no.fodselsnummer.is_valid,
        words=("fødselsnummer", "fodselsnummer", "personnr"),
        bare="[0-9]{11}",
    ),
    NationalId("DK", stdnum.dk.cpr.is_valid, words=("cpr",), bare="[0-9]{6}-?[0-9]{4}"),
    NationalId(
        "BE",
        stdnum.be.nn.is_valid,
        _may_be_rijksregister,
        shapes=("99.99.99-999.99",),
        words=("rijksregisternummer", "registre national", "insz", "niss"),
        bare="[0-9]{11}",
    ),
    NationalId(
        "CH",
        stdnum.ch.ssn.is_valid,
        lambda digits: digits.startswith("756"),
        shapes=("999.9999.9999.99",),
        words=("ahv", "avs"),
        bare="[0-9]{13}",
    ),
    NationalId(
        "PT",
        stdnum.pt.nif.is_valid,
        words=("nif", "contribuinte"),
        bare="[0-9]{9}",
    ),
    NationalId(
        "IE",
        stdnum.ie.pps.is_valid,
        words=("pps", "ppsn"),
        bare="[0-9]{7}[a-w][a-iw]?",
    ),
    NationalId("AU", stdnum.au.tfn.is_valid, words=("tfn", "tax file number"), bare="[0-9]{9}"),
    NationalId(
        "ZA",
        stdnum.za.idnr.is_valid,
        words=("id number", "identity number"),
        bare="[0-9]{13}",
    ),
    NationalId(
        "MX",
        stdnum.mx.curp.is_valid,
        _like(rf"[A-Z]{{4}}[0-9]{{2}}{_MONTH}{_DAY}[HMX][A-Z]{{5}}[0-9A-Z][0-9]"),
        lengths=(18,),
    ),
    NationalId(
        "CN",
        stdnum.cn.ric.is_valid,
        _may_be_ric,
        shapes=("9" * 18, "9" * 17 + "X"),
        words=("身份证",),
        bare="[0-9]{17}[0-9x]",
    ),
)
