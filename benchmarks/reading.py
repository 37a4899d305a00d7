"""In which order are files read? Agreement with a known order, before and after, and the time.

    python benchmarks/reading.py --out data/results/reading.json    (RESUME_CONTRASTIVE_DATA is set)

Three sets: the 72 real PDFs (their texts also stand in Resume.csv), the files of the sample corpus
(truth: its CSV, whose sections stand in another order than in a file with a side bar), and pages
made here in seven layouts, whose order is known line by line. Each page is read as it is drawn, and
again as if another program had drawn it row by row, or in no order. Three measures: over the words
that stand once in both texts, the largest share of them in one common order, and Spearman's rho of
their places; over all words, the share of neighbours that are still neighbours.
"""

import argparse
import csv
import json
import os
import re
import sys
import time
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
ORDERS = ("as drawn", "row by row", "no order")
READERS = ("order of drawing", "by place", "both")
DATED = "dates at the right"
LAYOUTS = {  # columns of a page as (share of the lines, left edge, width), after the head
    DATED: [(1.0, 40, 400)],
    "one column": [(1.0, 56, 500)],
    "side bar left": [(0.3, 40, 150), (0.7, 212, 360)],
    "side bar right": [(0.7, 40, 360), (0.3, 420, 150)],
    "two columns": [(0.5, 40, 255), (0.5, 315, 255)],
    "narrow gutter": [(0.5, 40, 262), (0.5, 310, 262)],
    "three columns": [(0.34, 40, 165), (0.33, 224, 165), (0.33, 408, 165)],
}
PAGES = 40  # of each layout
TOP, BOTTOM, SIZE = 690, 50, 9.5


def words(text: str) -> list[str]:
    """Words of a text in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


def agreement(truth: str, read: str) -> dict[str, float]:
    """How far two texts of the same words agree about their order."""
    a, b = words(truth), words(read)
    in_a, in_b = Counter(a), Counter(b)
    place = {w: n for n, w in enumerate(b) if in_b[w] == 1}
    once = [place[w] for w in a if in_a[w] == 1 and w in place]
    n, tails = len(once), []
    for x in once:  # the longest rising part
        at = bisect_left(tails, x)
        tails[at : at + 1] = [x]
    rank = {x: i for i, x in enumerate(sorted(once))}
    squares = sum((i - rank[x]) ** 2 for i, x in enumerate(once))
    next_a, next_b = Counter(pairwise(a)), Counter(pairwise(b))
    return {
        "in order": len(tails) / n,
        "rho": 1 - 6 * squares / (n * (n * n - 1)),
        "neighbours": (next_a & next_b).total() / next_a.total(),
        "words": n,
    }


def redrawn(runs: list, order: str) -> list:
    """A page's runs as another program would draw them."""
    if order == "as drawn":
        return runs
    if order == "no order":
        return Random(0).sample(runs, len(runs))
    return sorted(runs, key=lambda r: (-round(r.bottom + r.top), r.left))


def read_as(runs: list, reader: str) -> str:
    """A page's text by one of the readers."""
    from resume_contrastive.formats import _by_place, page_text

    if reader == "both":
        return page_text(runs)
    if reader == "order of drawing":
        return "".join(r.before + "".join(r.chars) for r in runs)
    return "\n".join(" ".join("".join(r.chars) for r in row) for row in _by_place(runs))


def compare(pairs: list[tuple[str, list]]) -> dict:
    """Agreement for each order of drawing and reader; pairs are (truth, pages of runs)."""
    from resume_contrastive.metrics import bootstrap_interval

    found = {}
    for order in ORDERS:
        for reader in READERS:
            rows = [
                agreement(truth, "\n".join(read_as(redrawn(p, order), reader) for p in pages))
                for truth, pages in pairs
            ]
            cell = {k: bootstrap_interval([r[k] for r in rows])._asdict() for k in rows[0]}
            cell["worst in order"] = min(r["in order"] for r in rows)
            found[f"{order} | {reader}"] = cell
    return found


def pages_of(source: Path | bytes) -> list[list]:
    """Runs of each page of a PDF."""
    import pypdfium2

    from resume_contrastive.formats import text_runs

    with pypdfium2.PdfDocument(source) as pdf:
        return [text_runs(page) for page in pdf]


def table(path: Path, text: str) -> dict[str, str]:
    """One column of a table by id."""
    csv.field_size_limit(1 << 30)
    with path.open(newline="", encoding="utf-8") as f:
        return {row["ID"]: row[text] for row in csv.DictReader(f)}


def made_pages(texts: list[str]) -> dict[str, list[tuple[str, list]]]:
    """Pages in each layout from lines of the sample's resumes: (truth, [runs])."""
    from sample_files import Pdf, wrap

    made: dict[str, list] = {}
    for name, columns in LAYOUTS.items():
        for text in texts:
            lines = [x for x in text.split("\n") if x.strip()]
            pdf, truth, at = Pdf(), lines[0][:90], 1
            pdf.text(0, 40, 740, 17, True, truth[:50])
            truth = truth[:50]
            for share, left, width in columns:
                y, end = TOP, at + round(share * (len(lines) - 1))
                for line in (x for item in lines[at:end] for x in wrap(item, SIZE, False, width)):
                    if y < BOTTOM:
                        break
                    pdf.text(0, left, y, SIZE, False, line)
                    truth += "\n" + line
                    if name == DATED and truth.count("\n") % 6 == 1:
                        date = f"{1900 + truth.count(chr(10))}-{1950 + truth.count(chr(10))}"
                        pdf.text(0, 500, y, SIZE, False, date)
                        truth += " " + date
                    y -= SIZE * 1.28
                at = end
            made.setdefault(name, []).append((truth, pages_of(pdf.bytes())))
    return made


def seconds_to_read(paths: list[Path]) -> dict[str, dict[str, float]]:
    """Wall clock to read files with 0, 1 and 2 workers: the fastest of two turns each."""
    from resume_contrastive.files import read_texts

    found: dict[str, list[float]] = {}
    for _ in range(2):
        for workers in (0, 1, 2):
            start = time.perf_counter()
            assert all(isinstance(t, str) for _, t in read_texts(paths, workers=workers))
            found.setdefault(str(workers), []).append(time.perf_counter() - start)
    return {k: round(min(v), 2) for k, v in found.items()}


def encodings(texts: list[str]) -> dict[str, dict]:
    """Of the texts beyond ASCII, how many come back letter by letter from an encoding."""
    from resume_contrastive.formats import decode

    found = {}
    for name in ("cp1252", "mac-roman"):
        right = []
        for text in texts:
            try:
                data = text.encode(name)
            except UnicodeEncodeError:
                continue
            if not text.isascii():
                right.append(decode(data) == text)
        table = "\n".join(texts).encode(name, "ignore")
        found[name] = {
            "texts": len(right),
            "right": sum(right),
            "as one table": decode(table) == table.decode(name),
        }
    return found


def sample_documents(sample: Path) -> tuple[list[tuple[str, list]], list[dict]]:
    """The sample's PDFs as (truth, pages), and the agreement of its DOCX files."""
    from resume_contrastive.files import read_text

    rows = table(sample / "resumes.csv", "Resume_str")
    pdfs, docx = [], []
    for path in sorted(sample.glob("documents/resume-*.pdf")):
        truth = rows[str(10_000_000 + int(path.stem[-3:]))]
        pdfs.append((truth, pages_of(path)))
        docx.append(agreement(truth, read_text(path.with_suffix(".docx"))))
    return pdfs, docx


def main() -> None:
    """Command line."""
    from resume_contrastive.metrics import bootstrap_interval
    from resume_contrastive.store import hash_file, machine, versions, write_json

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    real, sample = Path(os.environ["RESUME_CONTRASTIVE_DATA"]), ROOT / "data" / "sample"
    rows = table(real / "kaggle" / "Resume.csv", "Resume_str")
    with (real / "kaggle" / "training_data.csv").open(newline="", encoding="utf-8") as f:
        jobs = [row["job_description"] for row in csv.DictReader(f)]
    paths = sorted(real.glob("resume/*/*.pdf"))
    pdfs, docx = sample_documents(sample)
    texts = list(table(sample / "resumes.csv", "Resume_str").values())[:: 240 // PAGES][:PAGES]
    record = {
        "real": compare([(rows[p.stem], pages_of(p)) for p in paths]),
        "sample": compare(pdfs),
        "sample docx": {k: bootstrap_interval([d[k] for d in docx])._asdict() for k in docx[0]},
        "made": {name: compare(pairs) for name, pairs in made_pages(texts).items()},
        "encodings": {"resumes": encodings(list(rows.values())), "jobs": encodings(jobs)},
        "n": {"real": len(paths), "sample": len(pdfs), "docx": len(docx), "made": len(texts)},
        "seconds for the real PDFs by workers": seconds_to_read(paths),
        "load before": os.getloadavg()[0],
        "data_sha256": {"Resume.csv": hash_file(real / "kaggle" / "Resume.csv"),
                        "training_data.csv": hash_file(real / "kaggle" / "training_data.csv"),
                        "resume": hash_file(real / "resume"), "sample": hash_file(sample)},
        "machine": machine(),
        "versions": versions("pypdfium2", "python-docx", "resume_contrastive"),
    }  # fmt: skip
    if args.out:
        write_json(args.out, record)
    print(json.dumps(record["n"]), json.dumps(record["seconds for the real PDFs by workers"]))


if __name__ == "__main__":
    main()
