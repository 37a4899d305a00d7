"""Small DOCX and PDF writers on the standard library, so that the bytes never change.

Both know just enough of their format for a resume: headings, lines, bullets, tables, a header
and a footer. Nothing is compressed by a library whose output could vary between versions.
"""

from __future__ import annotations

import io
import zipfile
from xml.sax.saxutils import escape

Block = tuple[str, str]  # style (name, contact, heading, post, line, para, item) and text

# ---------------------------------------------------------------- DOCX

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml"
STYLES = {
    "Title": 'w:val="36"', "Heading1": 'w:val="26"', "Normal": 'w:val="21"',
    "ListBullet": 'w:val="21"',
}  # fmt: skip
PARAGRAPH_STYLE = {"name": "Title", "heading": "Heading1", "item": "ListBullet"}


def paragraph(style: str, text: str) -> str:
    """One w:p; an item carries its bullet as text, as many resumes do."""
    name = PARAGRAPH_STYLE.get(style, "Normal")
    bold = "<w:rPr><w:b/></w:rPr>" if style in ("name", "heading", "post") else ""
    shown = "• " + text if style == "item" else text
    return (
        f'<w:p><w:pPr><w:pStyle w:val="{name}"/></w:pPr><w:r>{bold}'
        f'<w:t xml:space="preserve">{escape(shown)}</w:t></w:r></w:p>'
    )


def table(rows: list[list[list[Block]]], widths: list[int]) -> str:
    """A w:tbl; each cell holds blocks."""
    grid = "".join(f'<w:gridCol w:w="{w}"/>' for w in widths)
    out = f'<w:tbl><w:tblPr><w:tblW w:w="0" w:type="auto"/></w:tblPr><w:tblGrid>{grid}</w:tblGrid>'
    for row in rows:
        cells = ""
        for cell, width in zip(row, widths, strict=True):
            inner = "".join(paragraph(*b) for b in cell) or "<w:p/>"
            cells += f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/></w:tcPr>{inner}</w:tc>'
        out += f"<w:tr>{cells}</w:tr>"
    return out + "</w:tbl><w:p/>"


def docx_bytes(body: str, header: str = "", footer: str = "") -> bytes:
    """A DOCX package around a body of w:p and w:tbl."""
    marks = "".join(
        f'<w:{kind}Reference w:type="default" r:id="rId{n}"/>'
        for n, (kind, text) in enumerate((("header", header), ("footer", footer)), 2)
        if text
    )
    page = '<w:pgSz w:w="12240" w:h="15840"/>'
    document = (
        f"{XML}<w:document {W} {R}><w:body>{body}<w:sectPr>{marks}{page}</w:sectPr>"
        "</w:body></w:document>"
    )
    parts = {
        "[Content_Types].xml": _content_types(bool(header), bool(footer)),
        "_rels/.rels": _relations([("rId1", "officeDocument", "word/document.xml")]),
        "word/document.xml": document,
        "word/styles.xml": _styles(),
    }
    links = [("rId1", "styles", "styles.xml")]
    for number, (kind, text) in enumerate((("header", header), ("footer", footer)), 2):
        if text:
            tag = "hdr" if kind == "header" else "ftr"
            parts[f"word/{kind}1.xml"] = f"{XML}<w:{tag} {W}>{paragraph('line', text)}</w:{tag}>"
            links.append((f"rId{number}", kind, f"{kind}1.xml"))
    parts["word/_rels/document.xml.rels"] = _relations(links)
    return _zip(parts)


def _content_types(header: bool, footer: bool) -> str:
    names = {"document": "document.main", "styles": "styles"}
    names |= {"header1": "header"} if header else {}
    names |= {"footer1": "footer"} if footer else {}
    rows = "".join(
        f'<Override PartName="/word/{part}.xml" ContentType="{MAIN}.{kind}+xml"/>'
        for part, kind in names.items()
    )
    return (
        f'{XML}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{rows}</Types>'
    )


def _relations(links: list[tuple[str, str, str]]) -> str:
    rows = "".join(
        f'<Relationship Id="{key}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for key, kind, target in links
    )
    return f'{XML}<Relationships xmlns="{PACKAGE}/relationships">{rows}</Relationships>'


def _styles() -> str:
    rows = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name}"'
        f'{" w:default=" + chr(34) + "1" + chr(34) if name == "Normal" else ""}>'
        f'<w:name w:val="{label}"/><w:rPr><w:sz {size}/></w:rPr></w:style>'
        for (name, size), label in zip(
            STYLES.items(), ("Title", "heading 1", "Normal", "List Bullet"), strict=True
        )
    )
    return f"{XML}<w:styles {W}>{rows}</w:styles>"


def _zip(parts: dict[str, str]) -> bytes:
    """A stored (uncompressed) zip with fixed dates."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name, text in parts.items():
            info = zipfile.ZipInfo(name, date_time=(2025, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            package.writestr(info, text.encode("utf-8"))
    return buffer.getvalue()


def docx_plain(blocks: list[Block], side: list[Block], footer: str) -> bytes:
    """One column, nothing but paragraphs."""
    return docx_bytes("".join(paragraph(*b) for b in [*blocks, *side]))


def docx_tables(blocks: list[Block], side: list[Block], footer: str) -> bytes:
    """Name and contact in a two-cell header table, skills in a table of three columns."""
    top = [b for b in blocks if b[0] in ("name", "contact")]
    rest = [b for b in blocks if b[0] not in ("name", "contact")]
    names = [b for b in top if b[0] == "name"]
    body = table([[names, [b for b in top if b[0] == "contact"]]], [6000, 4200])
    body += "".join(paragraph(*b) for b in rest)
    for heading, lines in grouped(side):
        body += paragraph("heading", heading)
        cells = [[("line", text)] for _, text in lines]
        cells += [[] for _ in range(-len(cells) % 3)]
        rows = [cells[i : i + 3] for i in range(0, len(cells), 3)]
        body += table(rows, [3400, 3400, 3400])
    return docx_bytes(body, footer=footer)


def docx_sidebar(blocks: list[Block], side: list[Block], footer: str) -> bytes:
    """A page-wide table: side bar on the left, main column on the right; header and footer."""
    names = [b for b in blocks if b[0] == "name"]
    rest = [b for b in blocks if b[0] != "name"]
    contact = [b for b in rest if b[0] == "contact"]
    main = [b for b in rest if b[0] != "contact"]
    body = "".join(paragraph(*b) for b in names) + table([[contact + side, main]], [3200, 7000])
    return docx_bytes(body, header="Curriculum vitae", footer=footer)


def grouped(blocks: list[Block]) -> list[tuple[str, list[Block]]]:
    """Blocks by the heading above them."""
    groups: list[tuple[str, list[Block]]] = []
    for style, text in blocks:
        if style == "heading":
            groups.append((text, []))
        elif groups:
            groups[-1][1].append((style, text))
    return groups


# ---------------------------------------------------------------- PDF

WIDTHS = [int(w) for w in (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
).split()]  # fmt: skip
SIZES = {"name": 17.0, "heading": 12.0, "post": 10.0}
PAGE = (612.0, 792.0)


def text_width(text: str, size: float, bold: bool) -> float:
    """Width in points in Helvetica; bold is about 6 percent wider."""
    units = sum(WIDTHS[ord(c) - 32] if 32 <= ord(c) < 127 else 556 for c in text)
    return units * size / 1000 * (1.06 if bold else 1.0)


def wrap(text: str, size: float, bold: bool, width: float) -> list[str]:
    """Break a text into lines that fit the width."""
    lines = [""]
    for word in text.split():
        trial = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(trial, size, bold) > width:
            lines.append(word)
        else:
            lines[-1] = trial
    return lines


class Pdf:
    """Pages of positioned text in the two standard Helvetica fonts."""

    def __init__(self) -> None:
        self.pages: list[list[str]] = []

    def text(self, page: int, x: float, y: float, size: float, bold: bool, text: str) -> None:
        """Put one line of text on a page, adding pages as needed."""
        while len(self.pages) <= page:
            self.pages.append([])
        raw = text.encode("cp1252", "replace")
        for char in (b"\\", b"(", b")"):
            raw = raw.replace(char, b"\\" + char)
        font = "F2" if bold else "F1"
        shown = raw.decode("latin-1")
        self.pages[page].append(f"BT /{font} {size:g} Tf {x:g} {y:g} Td ({shown}) Tj ET")

    def column(self, blocks: list[Block], x: float, width: float, top: float = 740) -> None:
        """Flow blocks down a column, page after page."""
        page, y = 0, top
        for style, text in blocks:
            size, bold = SIZES.get(style, 9.5), style in ("name", "heading", "post")
            y -= 7 if style in ("heading", "post") else 0
            shown = "• " + text if style == "item" else text
            for line in wrap(shown, size, bold, width):
                if y < 62:
                    page, y = page + 1, 740
                self.text(page, x, y, size, bold, line)
                y -= size * 1.28

    def bytes(self) -> bytes:
        """The finished file: catalog, pages, fonts, uncompressed content, cross references."""
        kids = " ".join(f"{5 + 2 * i} 0 R" for i in range(len(self.pages)))
        font = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
        objects = [
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{kids}] /Count {len(self.pages)} >>",
            font.format("Helvetica"),
            font.format("Helvetica-Bold"),
        ]
        for index, ops in enumerate(self.pages):
            stream = "\n".join(ops)
            objects.append(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {PAGE[0]:g} {PAGE[1]:g}] "
                f"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /Contents {6 + 2 * index} 0 R >>"
            )
            objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        out, offsets = "%PDF-1.4\n", []
        for number, item in enumerate(objects, 1):
            offsets.append(len(out))
            out += f"{number} 0 obj\n{item}\nendobj\n"
        rows = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
        out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
        start = out.index("xref\n0 ")
        out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
        return out.encode("latin-1")


def pdf_single(blocks: list[Block], side: list[Block], footer: str) -> bytes:
    """One column over the whole width."""
    pdf = Pdf()
    pdf.column([*blocks, *side], 56, 500)
    return pdf.bytes()


def pdf_sidebar(blocks: list[Block], side: list[Block], footer: str) -> bytes:
    """Contact, skills and languages in a narrow left column, the rest on the right."""
    pdf = Pdf()
    names = [b for b in blocks if b[0] == "name"]
    contact = [("line", part) for s, t in blocks if s == "contact" for part in t.split(" | ")]
    pdf.column(names, 40, 530, top=748)
    pdf.column([("heading", "Contact"), *contact, *side], 40, 150, top=715)
    pdf.column([b for b in blocks if b[0] not in ("name", "contact")], 212, 360, top=715)
    return pdf.bytes()


def pdf_framed(blocks: list[Block], side: list[Block], footer: str) -> bytes:
    """One narrower column with a running header and page numbers."""
    pdf = Pdf()
    pdf.column([*blocks, *side], 72, 468, top=725)
    total = len(pdf.pages)
    for page in range(total):
        pdf.text(page, 72, 762, 8, False, footer)
        pdf.text(page, 480, 34, 8, False, f"Page {page + 1} of {total}")
    return pdf.bytes()


PDF_LAYOUTS = (pdf_single, pdf_sidebar, pdf_framed)
DOCX_LAYOUTS = (docx_plain, docx_tables, docx_sidebar)
