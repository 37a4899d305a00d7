"""Reading files: each bad one ends as one row with its reason, and the batch goes on."""

import io
import json
import os
import re
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from pathlib import Path

import docx
import pypdfium2
import pytest
from docx.oxml import parse_xml
from reportlab.lib import pdfencrypt
from reportlab.pdfgen import canvas

from resume_contrastive.files import FileLimits, ReadError, read_text, read_texts
from resume_contrastive.formats import decode, page_text, text_runs

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
VML = 'xmlns:v="urn:schemas-microsoft-com:vml"'


def words(text):
    return re.findall(r"\w+", text)


def reason(path, **limits):
    """Why a file can't be read; it must be the same here and in a worker."""
    with pytest.raises(ReadError) as e:
        read_text(path, FileLimits(**limits))
    ((found, apart),) = read_texts([path], limits=FileLimits(**limits))
    assert found == path and isinstance(apart, ReadError) and str(apart) == str(e.value)
    assert str(path.parent) not in str(apart)
    return str(apart)


def pdf_file(path, *pages, **options):
    """A PDF with pages of (x, y, text)."""
    c = canvas.Canvas(str(path), **options)
    for page in pages:
        for x, y, text in page:
            c.drawString(x, y, text)
        c.showPage()
    c.save()
    return path


def word_file(path, build=lambda d: d.add_paragraph("Head Chef")):
    document = docx.Document()
    build(document)
    document.save(path)
    return path


def put(document, xml):
    """Add XML to the body."""
    body = parse_xml(f"<w:body {W} {MC} {VML}>{xml}</w:body>")
    for child in list(body):
        document.element.body.insert(len(document.element.body) - 1, child)


def p(text, inner=""):
    return f"<w:p><w:r><w:t>{text}</w:t></w:r>{inner}</w:p>"


# ---------------------------------------------------------------- bad files


def test_encrypted_files_need_a_password(tmp_path):
    lock = pdfencrypt.StandardEncryption("user", ownerPassword="owner")
    assert "it needs a password" in reason(
        pdf_file(tmp_path / "a.pdf", [(9, 9, "x")], encrypt=lock)
    )
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000) + "EncryptedPackage".encode("utf-16-le")
    (tmp_path / "a.docx").write_bytes(ole)
    assert reason(tmp_path / "a.docx") == "an encrypted Office file: it needs a password"
    data = bytearray(word_file(tmp_path / "b.docx").read_bytes())
    for entry in re.finditer(b"PK\x01\x02", bytes(data)):
        data[entry.start() + 8] |= 1
    (tmp_path / "b.docx").write_bytes(data)
    assert "it needs a password" in reason(tmp_path / "b.docx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("ending", ["pdf", "docx"])
def test_a_truncated_file_is_refused_and_never_read_in_part(tmp_path, ending, share, sample):
    data = (sample / f"documents/resume-130.{ending}").read_bytes()
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data[: int(share * len(data))])
    assert reason(path).startswith(f"not a readable {ending.upper()}")


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.txt", "a.md", "a.json", "a.doc", "a"])
def test_a_file_of_zero_bytes_is_empty(tmp_path, name):
    (tmp_path / name).touch()
    assert reason(tmp_path / name) == "the file is empty"


def test_a_pdf_of_images_needs_ocr(tmp_path):
    c = canvas.Canvas(str(tmp_path / "a.pdf"))
    c.rect(72, 72, 200, 200, fill=1)
    c.save()
    assert reason(tmp_path / "a.pdf") == (
        "no text in it, its pages are images or drawings: it needs OCR"
    )


def test_the_content_decides_and_not_the_name(tmp_path):
    pdf = pdf_file(tmp_path / "a.pdf", [(72, 700, "Head Chef")])
    word = word_file(tmp_path / "b.docx")
    for name in ("c.docx", "c.txt", "c.doc", "c", "c.json"):
        (tmp_path / name).write_bytes(pdf.read_bytes())
        assert read_text(tmp_path / name).strip() == "Head Chef"
    for name in ("d.pdf", "d.md", "d.odt"):
        (tmp_path / name).write_bytes(word.read_bytes())
        assert read_text(tmp_path / name).strip() == "Head Chef"
    with pdf.open("rb") as f:  # mail programs put a line before it
        (tmp_path / "e.pdf").write_bytes(b"\r\nfrom mail\r\n" + f.read())
    assert read_text(tmp_path / "e.pdf").strip() == "Head Chef"


def zipped(**parts):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in parts.items():
            z.writestr(name.replace("__", "/"), data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.rtf", b"{\\rtf1 Chef}", "it is an RTF text: save it as DOCX or PDF"),
        ("a.doc", b"{\\rtf1 Chef}", "it is an RTF text: save it as DOCX or PDF"),
        ("a.docx", b"{\\rtf1 Chef}", "it is an RTF text: save it as DOCX or PDF"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "save it as DOCX or PDF"),
        ("a.doc", b"<html>Chef</html>", "files of type '.doc' are not read. Known: .pdf, .docx"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "it is an image: there is no text in it, it needs OCR"),
        ("a.pdf", b"\x89PNG\r\n", "it is an image"),
        ("a.pdf", b"Head Chef", "not a readable PDF: it doesn't begin like one"),
        ("a.docx", b"Head Chef", "not a readable DOCX: it doesn't begin like one"),
        ("a.docx", b"\x1f\x8b\x08", "it is a gzip archive: unpack it"),
        ("a.docx", zipped(xl__workbook="x"), "it is an Excel workbook: save it as DOCX or PDF"),
        ("a.odt", zipped(mimetype="x"), "it is an OpenDocument or EPUB file"),
        ("a.zip", zipped(cv="Chef"), "it is a ZIP archive"),
        ("a.txt", bytes(range(256)) * 9, "not a text: it holds binary data"),
        ("a.txt", b" \n- \n", "no text in it"),
        ("a.pdf", b"%PDF-1.7\nrubbish\n%%EOF", "not a readable PDF"),
        ("a.json", b'{"basics": ', "not JSON (line 1)"),
        ("a.json", b"[1, 2]", "no JSON Resume (jsonresume.org)"),
        ("a.json", b"[" * 100_000, "damaged (RecursionError)"),
        ("a.json", b'{"basics": {"name": "Jo"}}', "no text in it"),
    ],
)
def test_what_is_refused_is_named(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    assert why in reason(tmp_path / name)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    assert reason(tmp_path) == "a folder: name it by itself"
    assert reason(tmp_path / "none.pdf") == reason(tmp_path / "pipe.txt") == "does not exist"


def test_two_thousand_pages(tmp_path):
    path = pdf_file(tmp_path / "a.pdf", *[[(72, 700, "page")]] * 2000)
    assert reason(path) == "2000 pages; the limit is 50"
    pdf_file(path, *[[(72, 700, "page")]] * 50)
    assert words(read_text(path)) == ["page"] * 50
    assert reason(path, max_pages=49) == "50 pages; the limit is 49"


def peak_of(path):
    tracemalloc.start()
    try:
        with pytest.raises(ReadError) as e:
            read_text(path)
        return str(e.value), tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_a_bomb_that_declares_its_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as z:
        for n in range(4):
            z.writestr(f"word/{n}.xml", bytes(40 * 2**20))
    why, peak = peak_of(tmp_path / "a.docx")
    assert why == "unpacks to more than 100 MB" and peak < 5


def test_a_bomb_whose_headers_lie(tmp_path):
    size = 200 * 2**20
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("word/document.xml", bytes(size))
    data = (tmp_path / "a.docx").read_bytes()
    lie = data.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert len(lie) == len(data) and lie.count((1000).to_bytes(4, "little")) == 2
    (tmp_path / "a.docx").write_bytes(lie)
    why, peak = peak_of(tmp_path / "a.docx")
    assert why.startswith("not a readable DOCX") and peak < 5


def test_many_names_for_one_packed_part_are_added_up(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("word/document.xml", bytes(30 * 2**20))
        for n in range(5):  # overlapping entries: the same bytes under other names
            info = zipfile.ZipInfo(f"word/{n}.xml")
            one = z.infolist()[0]
            for key in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(info, key, getattr(one, key))
            z.filelist.append(info)
    assert reason(tmp_path / "a.docx") == "unpacks to more than 100 MB"


def test_entities_in_a_docx_are_not_expanded(tmp_path):
    good = word_file(tmp_path / "good.docx")
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    with zipfile.ZipFile(good) as z, zipfile.ZipFile(tmp_path / "a.docx", "w") as out:
        for name in z.namelist():
            xml = f'<!DOCTYPE x [<!ENTITY a0 "ha">{bomb}]><w:document {W}><w:body>{p("&a8;")}'
            data = xml + "</w:body></w:document>" if name == "word/document.xml" else z.read(name)
            out.writestr(name, data)
    why, peak = peak_of(tmp_path / "a.docx")
    assert why and peak < 50


# ---------------------------------------------------------------- processes


@pytest.fixture
def broken_parser(tmp_path, monkeypatch):
    """A pypdfium2 that hangs, dies or babbles, as the file's own text says."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pypdfium2.py").write_text(
        textwrap.dedent("""
        import os, re, signal
        class PdfiumError(RuntimeError): pass
        def PdfDocument(data):
            if b"hang" in data:  # inside native code, which holds the interpreter's lock
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
                re.match("(a*)*$", "a" * 60 + "b")
            if b"killed" in data: os.kill(os.getpid(), signal.SIGKILL)
            if b"crash" in data: os.abort()
            if b"leave" in data: os._exit(0)
            if b"memory" in data: bytearray(4 << 30)
            print("babble", flush=True); os.write(1, b"more babble")
            raise PdfiumError("as it should")
    """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))

    def make(*contents):
        paths = [tmp_path / f"{n}.pdf" for n in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(b"%PDF-1.7 " + content.encode() + b"\n%%EOF")
        return paths

    return make


@pytest.mark.parametrize("workers", [1, 2])
def test_each_file_that_breaks_its_parser_is_one_row_and_the_rest_is_read(broken_parser, workers):
    kinds = ["fine", "hang", "fine", "killed", "crash", "leave", "memory", "hang", "fine", "fine"]
    why = {
        "fine": "not a readable PDF: as it should",
        "hang": "took longer than the limit of 1 s",
        "killed": "its parser died (exit code -9)",
        "crash": "its parser died (exit code -6)",
        "leave": "its parser died (exit code 0)",
        "memory": "needs more memory than the limit",
    }
    paths = broken_parser(*kinds)
    found = list(read_texts(paths, limits=FileLimits(seconds=1), workers=workers))
    assert [f for f, _ in found] == paths
    assert [str(t) for _, t in found] == [why[k] for k in kinds]


def children():
    listing = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
                             capture_output=True, text=True, check=True).stdout  # fmt: skip
    return [line for line in listing.splitlines() if "resume_contrastive.files" in line]


def test_strict_stops_at_the_first_and_leaves_no_process(broken_parser):
    paths = broken_parser(*["hang"] * 40)
    with pytest.raises(ReadError, match=r"0\.pdf: took longer than the limit of 0\.5 s"):
        list(read_texts(paths, limits=FileLimits(seconds=0.5), workers=2, strict=True))
    assert children() == []


def test_a_caller_who_stops_early_leaves_no_process(sample):
    texts = read_texts([*sample.glob("documents/*.pdf")] * 2, workers=2)
    assert isinstance(next(texts)[1], str) and children()
    texts.close()
    assert children() == []


def test_results_keep_the_order_given_and_small_files_overtake_nobody(tmp_path, sample):
    paths = sorted(sample.glob("documents/*"))
    (tmp_path / "a.txt").write_text("Cook")
    mixed = [x for path in paths for x in (path, tmp_path / "a.txt", tmp_path / "none.txt")]
    found = list(read_texts(mixed, workers=2))
    assert [f for f, _ in found] == mixed
    here = list(read_texts(mixed, workers=0))
    assert [(f, str(t)) for f, t in here] == [(f, str(t)) for f, t in found]


def test_a_folder_of_texts_starts_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    for n in range(30):
        (tmp_path / f"{n}.txt").write_text("Cook")
    (tmp_path / "a.json").write_text('{"basics": {"label": "Cook"}}')
    (tmp_path / "a.rtf").write_text("{\\rtf1}")
    texts = [t for _, t in read_texts(sorted(tmp_path.iterdir()))]
    assert sum(t == "Cook" for t in texts) == 31


def test_workers_that_cannot_start_are_an_error_and_no_bad_file(monkeypatch, tmp_path):
    (tmp_path / "docx.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="can't be started"):
        list(read_texts([pdf_file(tmp_path / "a.pdf", [(72, 700, "Cook")])]))


def test_reading_needs_no_torch_no_pandas_and_no_guarded_main(sample, tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        print("main runs")
        from pathlib import Path
        from resume_contrastive.files import read_texts
        heavy = ("torch", "pandas", "numpy", "sklearn", "docx", "pypdfium2")
        assert not [m for m in heavy if m in sys.modules]
        paths = sorted(Path({str(sample)!r}).glob("documents/*.pdf"))
        print(len([t for _, t in read_texts(paths, workers=2) if isinstance(t, str)]))
        assert not [m for m in heavy if m in sys.modules]
    """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["main runs", "12", ""] and done.stderr == ""


@pytest.mark.parametrize("name", ["max_mb", "max_unpacked_mb", "max_pages", "seconds", "memory_mb"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", None, True])
def test_limits_check_themselves(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be a number > 0, got"):
        FileLimits(**{name: value})


# ---------------------------------------------------------------- DOCX


def test_a_word_file_is_read_in_its_own_order(tmp_path):
    box = f"<w:txbxContent>{p('box one')}{p('box two')}</w:txbxContent>"
    shape = (f'<w:r><mc:AlternateContent><mc:Choice Requires="wps">{box}</mc:Choice>'
             f"<mc:Fallback><w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict>"
             "</mc:Fallback></mc:AlternateContent></w:r>")  # fmt: skip

    def build(d):
        d.sections[0].different_first_page_header_footer = True
        d.sections[0].first_page_header.paragraphs[0].text = "first header"
        d.sections[0].header.paragraphs[0].text = "other header"
        d.sections[0].footer.paragraphs[0].text = "the footer"
        d.add_section().header.is_linked_to_previous = True
        put(d, p("one", shape))
        put(d, f"<w:sdt><w:sdtPr/><w:sdtContent>{p('control')}</w:sdtContent></w:sdt>")
        put(d, "<w:p><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><w:tab/>"
               "<w:t>tab</w:t><w:br/><w:t>break</w:t></w:r></w:p>")  # fmt: skip
        put(d, "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
               "<w:moveFrom><w:r><w:t>moved away</w:t></w:r></w:moveFrom>"
               "<w:ins><w:r><w:t>inserted</w:t></w:r></w:ins></w:p>")  # fmt: skip
        put(d, "<w:tbl><w:tr><w:tc>" + p("cell") + "<w:tbl><w:tr><w:tc>" + p("inner")
               + "</w:tc></w:tr></w:tbl></w:tc><w:sdt><w:sdtContent><w:tc>" + p("control cell")
               + "</w:tc></w:sdtContent></w:sdt></w:tr></w:tbl>")  # fmt: skip
        put(d, f"<w:p><w:r><w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict>"
               "</w:r></w:p>")  # fmt: skip
        put(d, p("last"))

    text = read_text(word_file(tmp_path / "a.docx", build))
    lines = [x for x in text.split("\n") if x]
    assert sorted(lines[:2]) == ["first header", "other header"]
    assert lines[2:] == [
        "one", "box one", "box two", "control", "link\ttab", "break", "inserted", "cell", "inner",
        "control cell", "box one", "box two", "last", "the footer",
    ]  # fmt: skip


def test_footnotes_are_read_after_the_body(tmp_path):
    good = word_file(tmp_path / "good.docx")
    notes = f'<w:footnotes {W}><w:footnote w:type="separator" w:id="0">{p("not a note")}'
    notes += f'</w:footnote><w:footnote w:id="1">{p("the note")}</w:footnote></w:footnotes>'
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    with zipfile.ZipFile(good) as z, zipfile.ZipFile(tmp_path / "a.docx", "w") as out:
        for name in z.namelist():
            data = z.read(name).decode() if name.endswith((".xml", ".rels")) else z.read(name)
            if name == "[Content_Types].xml":
                part = f'<Override PartName="/word/footnotes.xml" ContentType="{kind}"/></Types>'
                data = data.replace("</Types>", part)
            if name == "word/_rels/document.xml.rels":
                rel = f'<Relationship Id="rId99" Type="{link}" Target="footnotes.xml"/>'
                data = data.replace("</Relationships>", rel + "</Relationships>")
            out.writestr(name, data)
        out.writestr("word/footnotes.xml", notes)
    assert [x for x in read_text(tmp_path / "a.docx").split("\n") if x] == ["Head Chef", "the note"]


def test_pictures_in_a_word_file_are_not_unpacked(tmp_path, sample):
    path = word_file(tmp_path / "a.docx")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as z:
        z.writestr("word/media/image1.png", bytes(60 * 2**20))
    tracemalloc.start()
    assert read_text(path).strip() == "Head Chef"
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


# ---------------------------------------------------------------- PDF

SIDE = [f"side {n}" for n in range(12)]
MAIN = [f"main {n} of a line with some words" for n in range(30)]


def column(lines, x, top=700, pitch=14):
    return [(x, top - pitch * n, text) for n, text in enumerate(lines)]


def read_page(path):
    return [x.strip() for x in read_text(path).split("\n") if x.strip()]


def by_row(items):
    return sorted(items, key=lambda i: (-i[1], i[0]))


def shuffled(items):
    return sorted(items, key=lambda i: hash_of(i[2]))


def hash_of(text):  # `hash` differs between runs
    return sum(ord(c) * 31**n for n, c in enumerate(text)) % 1009


@pytest.mark.parametrize("order", [list, by_row, shuffled])
@pytest.mark.parametrize("shift", [0, 5])  # lines of both columns at one height, or between
def test_a_side_bar_and_the_main_column_stay_apart(tmp_path, order, shift):
    head = [(72, 760, "The name of the person over the whole width of the page, and a title")]
    left, right = column(SIDE, 40), column(MAIN, 180, 700 - shift)
    foot = [(72, 40, "a line at the foot which goes over the whole width of the page again")]
    path = pdf_file(tmp_path / "a.pdf", order([*head, *left, *right, *foot]))
    assert read_page(path) == [head[0][2], *SIDE, *MAIN, foot[0][2]]
    mirrored = order([*head, *column(MAIN, 40), *column(SIDE, 400, 700 - shift), *foot])
    assert read_page(pdf_file(path, mirrored)) == [head[0][2], *MAIN, *SIDE, foot[0][2]]


@pytest.mark.parametrize("order", [by_row, shuffled])
def test_three_columns_and_a_heading_between_two_pairs_of_columns(tmp_path, order):
    wide = "a heading that goes over all the columns of this page from left to right"
    texts = [[f"{name}{n} and some more words" for n in range(8)] for name in "abc"]
    three = [x for t, at in zip(texts, (40, 220, 400), strict=True) for x in column(t, at)]
    path = pdf_file(tmp_path / "a.pdf", order(three))
    assert read_page(path) == [x for t in texts for x in t]
    lower = [x for t, at in zip(texts, (40, 300), strict=False) for x in column(t, at, 480)]
    path = pdf_file(path, order([*three, (40, 540, wide), *lower]))
    assert read_page(path) == [*(x for t in texts for x in t), wide, *texts[0], *texts[1]]


def test_dates_at_the_right_stay_with_their_posts(tmp_path):
    lines = [
        x for n in range(5) for x in (f"Post {n}", *(f"did thing {n} {k} well" for k in "abcd"))
    ]
    posts = column(lines, 40)
    dates = [(500, y, f"20{10 + n}") for n, (_, y, _) in enumerate(posts[::5])]
    for order in (by_row, shuffled):
        read = " ".join(words(read_text(pdf_file(tmp_path / "a.pdf", order([*posts, *dates])))))
        assert all(f"Post {n} 20{10 + n} did thing {n} a" in read for n in range(5))


def test_a_table_of_short_cells_is_read_row_by_row(tmp_path):
    cells = [(x, 700 - 14 * n, f"c{n}{k}") for n in range(10) for k, x in enumerate((40, 200, 360))]
    read = words(read_text(pdf_file(tmp_path / "a.pdf", shuffled(cells))))
    assert read == [c[2] for c in cells]


def test_the_order_of_drawing_is_kept_where_it_goes_column_by_column(tmp_path):
    right_first = [*column(MAIN, 180), *column(SIDE, 40)]
    assert read_page(pdf_file(tmp_path / "a.pdf", right_first)) == [*MAIN, *SIDE]


def test_turned_pages_keep_their_words(tmp_path):
    c = canvas.Canvas(str(tmp_path / "a.pdf"))
    c.rotate(90)
    for n, line in enumerate(MAIN):
        c.drawString(72, -72 - 14 * n, line)
    c.save()
    assert words(read_text(tmp_path / "a.pdf")) == words(" ".join(MAIN))


def test_no_letter_is_lost_or_made_up_by_another_order(sample):
    for path in sorted(sample.glob("documents/*.pdf")):
        with pypdfium2.PdfDocument(path) as pdf:
            for page in pdf:
                runs = text_runs(page)
                want = sorted("".join(words(page_text(runs))))
                again = page_text(sorted(runs, key=lambda r: hash_of("".join(r.chars))))
                assert sorted("".join(words(again))) == want


def test_real_pdfs_agree_with_the_public_text_of_the_same_resumes(real_data):
    """The order of words that stand once in both: nearly all of them rise together."""
    import bisect
    import csv

    csv.field_size_limit(1 << 30)
    paths = sorted(real_data.glob("resume/*/*.pdf"))[::6]
    with (real_data / "kaggle/Resume.csv").open(newline="", encoding="utf-8") as f:
        rows = {r["ID"]: r["Resume_str"] for r in csv.DictReader(f)}
    for path, text in read_texts(paths):
        a, b = words(rows[path.stem].lower()), words(text.lower())
        place = {w: n for n, w in enumerate(b) if b.count(w) == 1}
        tails = []
        once = [place[w] for w in a if w in place and a.count(w) == 1]
        for x in once:
            k = bisect.bisect_left(tails, x)
            tails[k : k + 1] = [x]
        assert len(tails) >= 0.95 * len(once) > 40, path.name


# ---------------------------------------------------------------- JSON Resume and text


def test_a_json_resume_becomes_sections_without_contact_details(tmp_path):
    from resume_contrastive.documents import read_file

    entry = {"url": "https://secret.example", "summary": "did it", "highlights": ["won"]}
    resume = {
        "basics": {
            "name": "Secret Name", "label": "Pastry Chef", "email": "secret@example.com",
            "phone": "555 0199 secret", "url": "https://secret.example", "summary": "Bakes.",
            "image": "secret.png", "location": {"address": "secret road", "city": "Secretville"},
            "profiles": [{"network": "secret", "username": "secret"}],
        },
        "work": [{"name": "Hotel", "position": "Baker", "startDate": "2019-04", **entry}],
        "volunteer": [{"organization": "Kitchen aid", "position": "Cook", **entry}],
        "education": [{"institution": "School", "area": "Baking", "courses": ["rye bread"]}],
        "awards": [{"title": "Best loaf", "awarder": "Guild"}],
        "certificates": [{"name": "Hygiene", "issuer": "Town"}],
        "publications": [{"name": "On dough"}],
        "skills": [{"name": "Dough", "keywords": ["brioche"]}],
        "languages": [{"language": "French", "fluency": "Fluent"}],
        "interests": [{"name": "Fishing", "keywords": ["pike"]}],
        "references": [{"name": "Secret Boss", "reference": "secret praise"}],
        "projects": [{"name": "A cafe", "description": "opened"}],
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(resume))
    doc = read_file(tmp_path / "a.json", "resume")
    assert "secret" not in doc.text.lower() and doc.title == "Pastry Chef"
    held = {
        "summary": "Bakes",
        "experience": "Hotel",
        "education": "rye bread",
        "skills": "brioche",
        "projects": "A cafe",
        "certifications": "Hygiene",
        "accomplishments": "Best loaf",
        "languages": "French",
        "interests": "pike",
    }
    assert all(text in doc.sections[name] for name, text in held.items()), doc.sections


@pytest.mark.parametrize("key", ["basics", "work", "skills"])
@pytest.mark.parametrize("value", [None, 3, "text", [], [[]], [None], {}, [{"name": {"a": [1]}}]])
def test_a_json_resume_of_unexpected_types_is_read_or_refused(tmp_path, key, value):
    (tmp_path / "a.json").write_text(json.dumps({key: value, "awards": [{"title": "Best loaf"}]}))
    assert "Best loaf" in read_text(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["Grüße aus der Küche", "“naïve” — it’s 5 €", "• crème brûlée"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "mac-roman"],
)
def test_text_in_any_encoding(text, encoding):
    assert decode(text.encode(encoding)) == text


def test_halves_of_characters_never_leave_the_reader(tmp_path):
    (tmp_path / "a.json").write_text('{"basics": {"label": "Cook \\ud83d of \\ud83d\\ude00"}}')
    assert read_text(tmp_path / "a.json") == "Cook \ufffd of \U0001f600"


def test_the_shipped_sample_is_read_whole(sample):
    paths = sorted(Path(sample).glob("**/*.pdf")) + sorted(Path(sample).glob("**/*.docx"))
    assert len(paths) > 30 and all(isinstance(t, str) for _, t in read_texts(paths))
