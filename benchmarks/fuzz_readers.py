"""Throw thousands of broken files at the readers, and count how each of them ended.

    python benchmarks/fuzz_readers.py --n 5000 --out data/results/fuzz_readers.json

Half of them are made of random bytes under each ending, the other half of real files that were
damaged: the sample corpus, and real PDF and DOCX files where RESUME_CONTRASTIVE_DATA names some. A
number always makes the same file. tests/test_fuzz.py does this in each build, with other numbers.
"""

import argparse
import io
import json
import os
import re
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
FILES = ("pdf", "docx", "txt", "md", "json")
TABLES = ("csv", "jsonl")
BATCH = 50  # files that share a worker
HEADS = (b"%PDF-1.7\n", b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff", b"{\\rtf", b"\xd0\xcf\x11\xe0",
         b"{", b'{"text": "', b"id,text\n", b"ID;Resume_str\n", b'"', b"")  # fmt: skip
JSON = b"""{"basics": {"label": "Cook", "summary": "Bakes."}, "work": [{"position": "Baker",
"highlights": ["Fed 300", "Caf\\u00e9"]}], "skills": [{"name": "Dough", "keywords": ["rye"]}]}"""


@cache
def seeds() -> dict[str, list[bytes]]:
    """Whole files by their ending; small ones, so that a damaged one is read quickly."""
    sample = ROOT / "data" / "sample"
    paths = [*sample.glob("documents/*"), *sample.glob("*.csv"), *sample.glob("rankings/*.csv")]
    if real := os.environ.get("RESUME_CONTRASTIVE_DATA"):
        for pattern in ("resume/*/*.pdf", "vacancy-resume/**/*.docx"):
            paths += sorted(Path(real).glob(pattern), key=lambda p: p.stat().st_size)[:12]
    found: dict[str, list[bytes]] = {e: [] for e in (*FILES, *TABLES)}
    for path in sorted(paths):
        data = path.read_bytes()
        found[path.suffix[1:]].append(data[:20_000] if path.suffix == ".csv" else data)
    found["md"], found["json"] = found["txt"], [JSON]
    lines = [json.dumps({"id": n, "text": "boils\nRequirements:\nsalt"}) for n in range(20)]
    found["jsonl"] = ["\n".join(lines).encode()]
    return found


def damage(data: bytes, rng: Random, other: bytes) -> bytes:
    """One to four wounds."""
    for _ in range(rng.randint(1, 4)):
        a = rng.randrange(len(data) + 1)
        b = min(len(data), a + rng.choice((1, 4, 50, 1000)))
        c = rng.randrange(len(other) + 1)
        kind = rng.randrange(8)
        if kind == 0:  # bytes overwritten, deleted, doubled, moved, zeroed, inserted
            data = data[:a] + rng.randbytes(b - a) + data[b:]
        elif kind == 1:
            data = data[:a] + data[b:]
        elif kind == 2:
            data = data[:b] + data[a:b] * rng.choice((1, 3, 200)) + data[b:]
        elif kind == 3:
            data = data[:a] + other[c : c + 500] + data[b:]
        elif kind == 4:
            data = data[:a] + bytes(b - a) + data[b:]
        elif kind == 5:  # a number becomes another: lengths, counts, references, offsets
            numbers = list(re.finditer(rb"\d+", data[:20_000]))
            if numbers:
                m = rng.choice(numbers)
                new = rng.choice((b"0", b"1", b"-1", b"3", b"65536", b"4294967295", b"9" * 30))
                data = data[: m.start()] + new + data[m.end() :]
        elif kind == 6:  # nested deeply
            data = data[:a] + rng.choice((b"<<", b"[", b"(", b'{"a":', b"<w:p>")) * 3000 + data[a:]
        else:
            data = data[:a]
    return data


def damage_inside(data: bytes, rng: Random, other: bytes) -> bytes:
    """A DOCX whose parts are damaged before they are packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as z, zipfile.ZipFile(out, "w") as w:
        names = z.namelist()
        chosen = rng.choice([*names, "word/document.xml"])
        for name in names:
            part = z.read(name)
            if name != chosen:
                w.writestr(name, part)
            elif rng.random() < 0.9:
                w.writestr(name, damage(part, rng, other))
    return out.getvalue()


def fuzzed(number: int) -> tuple[str, bytes]:
    """Ending and content of a broken file; the same number gives the same file."""
    rng = Random(number)
    ending = rng.choice((*FILES, *TABLES))
    if rng.random() < 0.5:
        return ending, rng.choice(HEADS) + rng.randbytes(rng.choice((0, 1, 10, 100, 2000)))
    of = rng.choice(("pdf", "docx", ending))
    data, other = rng.choice(seeds()[of]), rng.choice(seeds()[rng.choice(FILES)])
    if of == "docx" and rng.random() < 0.6:
        data = damage_inside(data, rng, other)
    else:
        data = damage(data, rng, other)
    if of == "pdf" and rng.random() < 0.7:  # so that it isn't refused for its missing end
        data += b"\n%%EOF\n"
    return (of if rng.random() < 0.9 else ending), data


def outcome(reason: str) -> str:
    """A reason without its numbers and names."""
    for start in ("its parser died", "took longer", "damaged", "not a readable PDF",
                  "not a readable DOCX", "no text in it", "needs more memory"):  # fmt: skip
        if reason.startswith(start):
            return start
    return "refused by its content or name"


def read_all(numbers: Iterable[int], folder: Path) -> tuple[Counter, float]:
    """Write the files, read each in a worker or as a table: outcomes, and the longest seconds."""
    from resume_contrastive.documents import (
        ReadError,
        document_from_text,
        read_documents,
        read_table,
        write_documents,
    )
    from resume_contrastive.files import read_texts

    found: Counter = Counter()
    longest, files, documents = 0.0, [], []
    for n, number in enumerate(numbers):
        ending, data = fuzzed(number)
        path = folder / f"{n:05d}.{ending}"
        path.write_bytes(data)
        if ending in FILES:
            files.append(path)
            continue
        start = time.perf_counter()
        try:
            documents += read_table(path, ("resume", "job")[number % 2])[0]
            found["read"] += 1
        except ReadError:
            found["refused as a table"] += 1
        longest = max(longest, time.perf_counter() - start)
    rows, start = 0, time.perf_counter()
    for path, text in read_texts(files, workers=1):
        rows += 1
        try:
            if isinstance(text, ReadError):
                raise text
            documents.append(document_from_text(text, "resume", id=path.name))
            found["read"] += 1
        except ReadError as e:
            found[outcome(str(e))] += 1
        longest, start = max(longest, time.perf_counter() - start), time.perf_counter()
    assert rows == len(files)
    documents = list({d.id: d for d in documents}.values())
    write_documents(documents, folder / "all.parquet")  # whatever was read can be kept
    assert read_documents(folder / "all.parquet") == documents
    return found, longest


def main() -> None:
    """Command line."""
    from resume_contrastive.store import machine, versions, write_json

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found, longest, start, cpu = Counter(), 0.0, time.perf_counter(), os.times()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as watched:
        os.environ["TMPDIR"] = tempfile.tempdir = watched  # nothing may be left here
        for first in range(args.first, args.first + args.n, BATCH):
            folder = Path(scratch) / str(first)
            folder.mkdir()
            numbers = range(first, min(first + BATCH, args.first + args.n))
            batch, seconds = read_all(numbers, folder)
            found, longest = found + batch, max(longest, seconds)
        leaked = sorted(os.listdir(watched))
        tempfile.tempdir = None
    used = sum(os.times()[:4]) - sum(cpu[:4])
    record = {
        "n": args.n, "first": args.first, "outcomes": dict(found), "longest_seconds": longest,
        "leaked_files": len(leaked), "seconds": time.perf_counter() - start, "cpu_seconds": used,
        "seed_files": {k: len(v) for k, v in seeds().items()}, "machine": machine(),
        "versions": versions("pypdfium2", "python-docx", "lxml", "hypothesis"),
    }  # fmt: skip
    if args.out:
        write_json(args.out, record)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
