"""Measure repairs and sections on the real resumes and adverts: data/results/sections.json.

    RESUME_CONTRASTIVE_DATA=/path/to/data python scripts/record_reading.py

Two to three minutes on one core. The record holds counts and phrases of the heading table, no text.
"""

import argparse
import csv
import json
import os
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

from intervals import wilson

from resume_contrastive.cleaning import repair_text
from resume_contrastive.sections import FIRST, KINDS, SECTIONS, section_blocks
from resume_contrastive.store import hash_file, machine, versions, write_json

ROOT = Path(__file__).resolve().parent.parent
FILES = {"resume": ("kaggle/Resume.csv", "Resume_str"),
         "job": ("kaggle/training_data.csv", "job_description")}
SEED = 20260  # of the documents that were read by eye, and of the flattened ones
MOST = 8  # sections counted apart in the histogram


def words(lines: tuple[str, ...]) -> int:
    """Words in the lines of a block."""
    return sum(len(line.split()) for line in lines)


def table(documents: list, kind: str) -> dict:
    """Figures of some documents: sections, words, how they were found."""
    count, by_name, by_how = Counter(), Counter(), Counter()
    unclaimed = 0
    for blocks in documents:
        count[min(len({b.section for b in blocks}), MOST)] += 1
        for b in blocks:
            n = words(b.lines)
            by_name[b.section] += n
            by_how[b.how] += n
            opened = b.how != "start" or b.section != FIRST[kind]
            unclaimed += n * (b.section == "other" or not opened)
    n, total = len(documents), max(by_name.total(), 1)
    return {
        "n": n, "words": total,
        "three_sections": wilson(sum(v for k, v in count.items() if k >= 3), n),
        "number_of_sections": {str(k): count[k] for k in sorted(count)},
        "words_named": round(1 - unclaimed / total, 4),
        "words_by_section": {s: round(by_name[s] / total, 4) for s in SECTIONS[kind]},
        "words_by_how": {h: round(v / total, 4) for h, v in sorted(by_how.items())},
        "documents_with": {s: sum(any(b.section == s for b in d) for d in documents)
                           for s in SECTIONS[kind]},
    }


def heading_like(lines: list[str], blocks: list) -> int:
    """Short lines with capitals and a colon, or in capitals only, that opened no section."""
    taken = {b.heading for b in blocks}
    return sum(3 < len(x) < 50 and (x.isupper() or x.endswith(":")) and x[0].isupper()
               and x.lower().strip(": ") not in taken and not re.search(r"\d", x) for x in lines)


def flattened(texts: list[str], between: str) -> dict:
    """Whether the headings of a resume are found again when its line ends are lost."""
    found = real = right = 0
    for text in texts:
        lines = text.split("\n")
        body = "\n".join(lines[1:])
        want = Counter(b.heading for b in section_blocks(body, "resume") if b.how == "line")
        flat = between.join(x for x in lines if x.strip())
        got = Counter(b.heading for b in section_blocks(repair_text(flat)[0], "resume")
                      if b.heading)
        real, found, right = real + want.total(), found + got.total(), right + (want & got).total()
    return {"resumes": len(texts), "headings": real, "recall": wilson(right, real),
            "precision": wilson(right, max(found, 1))}


def checked() -> dict:
    """Totals of the sheet of documents that were read by eye."""
    rows = list(csv.DictReader((ROOT / "data/results/sections_checked.csv").open(encoding="utf-8")))
    out = {}
    for kind in KINDS:
        mine = [r for r in rows if r["kind"] == kind]
        parts, wrong, missed = (sum(int(r[c]) for r in mine)
                                for c in ("sections", "wrong_sections", "missed_headings"))
        good = sum(r["verdict"] == "good" for r in mine)
        usable = sum(r["verdict"] in ("good", "usable") for r in mine)
        out[kind] = {"documents": len(mine), "sections": parts, "missed_headings": missed,
                     "sections_right": wilson(parts - wrong, parts),
                     "good": wilson(good, len(mine)), "good_or_usable": wilson(usable, len(mine))}
    return out


def measure(data: Path, kind: str) -> dict:
    """Everything about one side."""
    name, column = FILES[kind]
    csv.field_size_limit(1 << 30)
    with (data / name).open(newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    repairs, touched, headings = Counter(), Counter(), Counter()
    placeholders, unread = Counter(), 0
    documents, by_heading, texts, by_source = [], [], [], defaultdict(list)
    for row in rows:
        text, done = repair_text(row[column])
        repairs.update(done)
        touched.update(done.keys())
        placeholders["Company Name"] += text.count("Company Name")
        placeholders["City , State"] += text.count("City , State")
        body = text.split("\n", 1)[-1] if kind == "resume" else text  # the title is the first line
        blocks = section_blocks(body, kind)
        headings.update(b.heading for b in blocks if b.heading and b.how != "start")
        unread += heading_like(body.split("\n"), blocks)
        documents.append(blocks)
        by_source[row.get("source") or "kaggle"].append(blocks)
        texts.append(text)
        if kind == "job":
            by_heading.append(section_blocks(body, kind, cues=False))
    out = {"all": table(documents, kind), "data_hash": hash_file(data / name),
           "by_source": {s: table(d, kind) for s, d in sorted(by_source.items())},
           "repairs": dict(repairs), "documents_repaired": dict(touched),
           "placeholders_kept": dict(placeholders),
           "headings": dict(headings.most_common(60)), "different_headings": len(headings),
           "heading_like_lines_not_read": unread}
    if kind == "job":
        out["headings_only"] = table(by_heading, kind)
    else:
        some = Random(SEED).sample(texts, 300)
        out["flattened"] = {"runs of spaces": flattened(some, "     "),
                            "single spaces": flattened(some, " ")}
    return out


def main() -> int:
    """Measure both sides, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "data/results/sections.json")
    args = parser.parse_args()
    data = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    record = {"seed": SEED, "machine": machine(),
              "versions": versions("resume_contrastive", "ftfy"),
              **{kind: measure(data, kind) for kind in KINDS}, "checked_by_eye": checked()}
    write_json(args.out, record)
    print(json.dumps({k: {x: record[k]["all"][x] for x in ("three_sections", "words_named")}
                      for k in KINDS}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
