"""Files of many kinds, written by hand: whole ones, and such as nobody should trust."""

import io
import zipfile
from collections.abc import Mapping, Sequence

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PARTS = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument."
Lines = Sequence[tuple[int, str]]
"""Of a page: the size of the font and the text."""


def pdf(pages: Sequence[Lines], is_encrypted: bool = False) -> bytes:
    """A PDF with a title, an author and a date."""
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Title (All of ponds) /Author (Ann) /CreationDate (D:20250131120000Z) >>",
    ]
    for number, lines in enumerate(pages):
        stream = _drawn(lines)
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R"
            f" >> >> /Contents {6 + 2 * number} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    locked = ""
    if is_encrypted:  # no password opens it: these are no keys of any
        key = "AB" * 32
        objects.append(f"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <{key}> /U <{key}> >>")
        locked = f"/Encrypt {len(objects)} 0 R /ID [<01> <01>]"
    written, places = "%PDF-1.4\n", []
    for number, inside in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n{inside}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    return (
        f"{written}xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {size} /Root 1 0 R /Info 4 0 R {locked} >>\nstartxref\n{len(written)}\n%%EOF\n"
    ).encode("latin-1")


def _drawn(lines: Lines) -> str:
    drawn, y = [], 700
    for size, text in lines:
        drawn.append(f"BT /F1 {size} Tf 50 {y} Td ({text}) Tj ET")
        y -= int(size * 1.5)
    return "\n".join(drawn)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


def docx(body: str) -> bytes:
    """A Word document with a title and an author, of ``paragraph`` and ``table``."""
    core = (
        f'<cp:coreProperties xmlns:cp="{_PARTS}/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The plan</dc:title>'
        "<dc:creator>Bob</dc:creator></cp:coreProperties>"
    )
    document = f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    main = "word/document.xml", _TYPE + "wordprocessingml.document.main+xml"
    return _package(*main, {main[0]: document, "docProps/core.xml": core})


def paragraph(text: str, style: str = "Normal") -> str:
    """A paragraph, or a heading by the style "Heading1"."""
    return (
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t xml:space="preserve">{text}'
        "</w:t></w:r></w:p>"
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table of a Word document."""
    lines = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in cells) for cells in rows)
    return "<w:tbl>" + "".join(f"<w:tr>{line}</w:tr>" for line in lines) + "</w:tbl>"


def xlsx(sheets: Mapping[str, Sequence[Sequence[str]]]) -> bytes:
    """A workbook of sheets by their names."""
    files, named, related = dict[str, str](), "", []
    for number, (name, rows) in enumerate(sheets.items(), 1):
        named += f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
        related.append(("worksheet", f"worksheets/sheet{number}.xml"))
        lines = (
            "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells)
            for cells in rows
        )
        inside = "".join(f"<row>{line}</row>" for line in lines)
        files[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_SHEET}"><sheetData>{inside}</sheetData></worksheet>'
        )
    files["xl/workbook.xml"] = (
        f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}"><sheets>{named}</sheets></workbook>'
    )
    files["xl/_rels/workbook.xml.rels"] = _relations(*related)
    return _package("xl/workbook.xml", _TYPE + "spreadsheetml.sheet.main+xml", files)


def _package(main: str, media_type: str, files: Mapping[str, str]) -> bytes:
    types = (
        f'<Types xmlns="{_PARTS}/content-types"><Default Extension="rels" ContentType="application/'
        'vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType='
        f'"application/xml"/><Override PartName="/{main}" ContentType="{media_type}"/></Types>'
    )
    around = {"[Content_Types].xml": types, "_rels/.rels": _relations(("officeDocument", main))}
    return zipped({name: '<?xml version="1.0"?>' + text for name, text in (around | files).items()})


def _relations(*targets: tuple[str, str]) -> str:
    """Of each target, its kind and its path."""
    named = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PARTS}/relationships">{named}</Relationships>'
