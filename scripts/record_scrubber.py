"""Measure the contact scrubber where the truth is known, and write data/results/scrubber.json.

    python scripts/record_scrubber.py           about a minute; counts on real data where it is
    python scripts/record_scrubber.py --hits 50 also print so many random hits, to check by eye

Three measurements: the sample corpus (its generator knows each name and contact), contacts in many
formats planted into sample resumes between lines that only look like contacts, and counts on
real resumes. The record holds numbers only.
"""

import argparse
import os
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from intervals import wilson  # noqa: E402
from make_sample import choose_documents, make_jobs, make_resumes  # noqa: E402
from sample_text import load_roles  # noqa: E402

from resume_contrastive.cleaning import contact_spans, repair_text  # noqa: E402
from resume_contrastive.documents import read_file, read_table  # noqa: E402
from resume_contrastive.store import hash_file, machine, versions, write_json  # noqa: E402

SEED = 11
CHECKED = {"hits": 50, "right": 46, "seed": 8}  # random hits on real resumes, judged by eye
KINDS = ("email", "url", "handle", "phone", "address", "name")
NAMES = ("Ada Example", "JOHN Q. PUBLIC", "Dr. Maria de la Cruz", "Seán O’Sample",
         "Li Wei Placeholder",
         "Anne-Marie Specimen, RN", "Rahul K. Namuna", "Jean-Luc van der Muster",
         "Zoë Exemplar, PhD",
         "ROBERT DOE JR.", "Priya Udaharan", "Name: Jordan Sample")
EMAILS = ("ada@example.com", "john.q.public+cv@mail.example.co.uk", "maria_cruz99@example.org",
          "sean (at) example (dot) ie", "li.wei [at] example [dot] com", "rahul at example dot in",
          "zoe @ example.com", "ROBERT.DOE@EXAMPLE.COM", "p-u@sub.example.edu",
          "o'sample@example.net")
PHONES = ("(555) 555-0142", "555-555-0142", "555.555.0142", "5555550142", "+1 555 555 0142",
          "+1 (555) 555-0142 ext. 12", "555-555-0142 x345", "1-555-555-0142", "020 7946 0018",
          "+44 20 7946 0018", "+44 (0)20 7946 0018", "07700 900123", "+91 98765 43210",
          "+91-98765-43210", "098765-43210", "9876543210", "0091 98765 43210", "Phone: 555-0142",
          "+49 30 1234567", "01 99 00 12 34")
URLS = ("www.example.com/ada", "https://example.org/~li/cv.html", "linkedin.com/in/ada-example",
        "https://www.linkedin.com/in/jqpublic/", "github.com/zexemplar", "http://blog.example.net",
        "portfolio: ada.example.design", "example.io/rahul")
HANDLES = ("GitHub: ada-ex", "Twitter: @sample_li", "Skype: jordan.sample",
           "LinkedIn: in/robert-doe")
ADDRESSES = ("12 Elm Street", "4 Old Mill Road, Apt 3B", "1200 N. Main St., Springfield, IL 62704",
             "Flat 3, 21 Baker Street",
             "77 MASSACHUSETTS AVENUE", "P.O. Box 512", "Springfield, IL",
             "Fernhollow, OH 44101-1234", "LS1 4AP", "Bangalore-560058", "Plot No. 14/B",
             "9 Willow Crescent")
NEGATIVES = {
    "dates": "Analyst, 01/2012 to 06/2015, then 2015-2019 and Mar 2020 - Present",
    "amounts": "Budget of $1,250,000 and 3 400 000 euro; 1,000,000 rows; £12 500 000",
    "versions": "From 10.15.7 to 11.2.3, Python 3.11.4, host 192.168.100.200, build 20210304.12",
    "languages": "C++ / Java, C#, ASP.NET/MVC, Node.js, TCP/IP, CI/CD, .NET 4.5, in/out calls",
    "products": "Microsoft Office 365, Adobe Creative Suite, Booking.com, Oracle 11g, SAP R/3 4.7",
    "measures": "5 000 m2, 120 x 80 cm, 24/7 shifts, 37.5 hours, 1:1 meetings, ratio 3-4 to 10-12",
    "towns": "Worked for Harrow Mills in Saltmarsh, NJ and for Pinegate Foods, Cedarmoor, IL",
    "titles": "Head Pastry Chef",
    "heading": "Professional Experience",
    "standards": "ISO 9001:2015, IEEE 802.11, IFRS 15, section 501(c)(3), 21 CFR Part 11, WCAG 2.1",
    "company_address": "Opened the shop at 100 Market Street and moved the depot to 8 Harbour Road",
}


class Tally:
    """Truth spans found, and spans found that are true, by kind."""

    def __init__(self):
        self.truth, self.gone, self.kind, self.found, self.right = (Counter() for _ in range(5))
        self.missed: Counter = Counter()

    def add(self, text: str, truth: list[tuple[str, int, int]]) -> None:
        """Compare one text's spans with its truth."""
        spans = contact_spans(text, name_line=True)
        for kind, a, b in truth:
            self.truth[kind] += 1
            whole = all(any(s.start <= i < s.end for s in spans) or not text[i].isalnum()
                        for i in range(a, b))
            self.gone[kind] += whole
            self.missed[text[a:b]] += not whole
            self.kind[kind] += any(s.kind == kind and s.start < b and a < s.end for s in spans)
        for s in spans:
            self.found[s.kind] += 1
            self.right[s.kind] += any(s.start < b and a < s.end for _, a, b in truth)

    def table(self) -> dict:
        """Recall and precision by kind, each with its interval and n."""
        out = {}
        for kind in (*KINDS, "all"):
            pick = (lambda c: c.total()) if kind == "all" else (lambda c, kind=kind: c[kind])
            n, m = pick(self.truth), pick(self.found)
            if n or m:
                out[kind] = dict(n=n, recall=wilson(pick(self.gone), n), found=m,
                                 precision=wilson(pick(self.right), m),
                                 named_right=wilson(pick(self.kind), n))
        return out


def occurrences(text: str, kind: str, value: str) -> list[tuple[str, int, int]]:
    """Where a value stands in a text."""
    return [(kind, *m.span()) for m in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text)]


def sample(tally: Tally, resumes: list, jobs: list) -> int:
    """The sample corpus: its table, and its PDF and DOCX files."""
    docs, _ = read_table(ROOT / "data/sample/resumes.csv", "resume")
    texts = [(doc.text, r) for doc, r in zip(docs, resumes, strict=True)]
    it = next(j for j in jobs if j.category == "INFORMATION-TECHNOLOGY" and j.title)
    for r in choose_documents(resumes, jobs, it):
        for ending in ("pdf", "docx"):
            path = ROOT / f"data/sample/documents/resume-{r.number:03d}.{ending}"
            texts.append((read_file(path, "resume").text, r))
    for text, r in texts:
        town, mail, phone = repair_text(r.contact)[0].split(" | ")
        truth = occurrences(text, "name", r.name)
        truth += occurrences(text, "email", mail) + occurrences(text, "phone", phone)
        at = next((a for kind, a, _ in truth if kind == "email"), None)
        if at is not None:  # the town of the contact line, not that of an employer
            near = [t for t in occurrences(text, "address", town) if abs(t[1] - at) < 80]
            truth += near[:1]
        tally.add(text, truth)
    return len(texts)


def planted(tally: Tally, false: Counter, bodies: list[str], n: int) -> None:
    """Contacts in many formats, planted into resumes between lines that are none."""
    for i in range(n):
        rng = Random(f"{SEED}:{i}")
        items = [("name", rng.choice(NAMES)), ("email", rng.choice(EMAILS)),
                 ("phone", rng.choice(PHONES)), ("address", rng.choice(ADDRESSES))]
        items += [("url", rng.choice(URLS))] if rng.random() < 0.6 else []
        items += [("handle", rng.choice(HANDLES))] if rng.random() < 0.4 else []
        name, *rest = items
        rng.shuffle(rest)
        body = bodies[i % len(bodies)].split("\n")
        negatives = rng.sample(sorted(NEGATIVES), 3)
        layout = rng.choice(("one line", "lines", "labels", "foot"))
        lines: list[list[tuple[str, str]]] = [[name]]
        if layout == "one line":
            mark = rng.choice((" | ", " • ", "; ", " - "))
            row = [x for item in rest for x in (("", mark), item)][1:]
            lines.append(row)
        else:
            label = {"email": "Email: ", "phone": "Mobile: ", "address": "Address: "}
            shown = layout == "labels"
            lines += [[("", label.get(k, "") if shown and ":" not in v else ""), (k, v)]
                      for k, v in rest]
        block = [("", "\n")] + [x for line in lines for x in (*line, ("", "\n"))]
        extra = [("", "\n" + "\n".join(body[:8]) + "\n")]
        for key in negatives:
            extra += [(f"no {key}", NEGATIVES[key]), ("", "\n" + "\n".join(body[8:14]) + "\n")]
        parts = [*extra, *block] if layout == "foot" else [*block[1:], *extra]
        text, truth, wrong = "", [], []
        for kind, value in parts:
            bare = re.sub(r"^(?:Name|Phone|GitHub|Twitter|Skype|LinkedIn|portfolio): ?", "", value)
            at = len(text) + len(value) - len(bare)
            text += value
            if kind.startswith("no "):
                wrong.append((kind[3:], at, len(text)))
            elif kind:
                truth.append((kind, at, len(text)))
        tally.add(text, truth)
        spans = contact_spans(text, name_line=True)
        for key, a, b in wrong:
            false[f"{key}:n"] += 1
            false[f"{key}:hit"] += any(s.start < b and a < s.end for s in spans)


def real(data: Path, show: int) -> dict:
    """Counts of spans by kind on the real resumes."""
    docs, _ = read_table(data / "kaggle/Resume.csv", "resume")
    count, holders, first, hits = Counter(), Counter(), 0, []
    for doc in docs:
        text = doc.text
        spans = contact_spans(text)
        count.update(s.kind for s in spans)
        holders.update({s.kind for s in spans})
        hits += [(doc.id, s.kind, text[max(0, s.start - 40):s.start], text[s.start:s.end])
                 for s in spans]
        first += any(s.kind == "name" and s.start == 0 for s in contact_spans(text, name_line=True))
    for hit in Random(CHECKED["seed"]).sample(hits, min(show, len(hits))):
        print(*hit, sep=" | ")
    return {"resumes": len(docs), "spans": dict(count), "resumes_with": dict(holders),
            "titles_called_a_name": {"n": len(docs), "share": wilson(first, len(docs))},
            "checked_by_eye": {**CHECKED, "precision": wilson(CHECKED["right"], CHECKED["hits"])},
            "data_hash": hash_file(data / "kaggle/Resume.csv")}


def main() -> int:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "data/results/scrubber.json")
    parser.add_argument("--hits", type=int, default=0, help="print so many hits on real resumes")
    args = parser.parse_args()
    roles = load_roles()
    resumes = make_resumes(roles)
    ours, theirs, false = Tally(), Tally(), Counter()
    n = sample(ours, resumes, make_jobs(roles, resumes))
    bodies = [r.text for r in resumes if r.contact not in r.text][:100]
    planted(theirs, false, bodies, 600)
    record = {
        "seed": SEED, "machine": machine(), "versions": versions("resume_contrastive", "ftfy"),
        "sample": {"texts": n, "kinds": ours.table(),
                   "data_hash": hash_file(ROOT / "data/sample/resumes.csv")},
        "planted": {"texts": 600, "kinds": theirs.table(), "false_alarms": {
            key: {"n": false[f"{key}:n"], "share": wilson(false[f"{key}:hit"], false[f"{key}:n"])}
            for key in NEGATIVES}},
    }
    for tally in (ours, theirs):
        missed = {k: v for k, v in tally.missed.most_common(12) if v}
        print({k: (v["recall"], v["precision"]) for k, v in tally.table().items()}, missed)
    if data := os.environ.get("RESUME_CONTRASTIVE_DATA"):
        record["real"] = real(Path(data), args.hits)
    write_json(args.out, record)
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
