"""Precision and recall of the skill extractors on SkillSpan, on sentences that chose nothing.

`RESUME_CONTRASTIVE_DATA=/path python scripts/record_skillspan.py` writes
`data/results/skillspan.json`. SkillSpan (Zhang et al. 2022, MIT) marks in sentences of adverts
*knowledge* (mostly names: "Python", "accounting") and *skills* (mostly phrases: "work in a team",
"communicate with customers"). The rules know names. So they are measured against each kind of
mark and against both together.

The adverts are cut in two halves by a hash. Spellings were chosen on `develop`; `held_out` is the
half to quote. The interval is a bootstrap over adverts: sentences of one advert are alike. The
control puts as many spans of the same lengths at random places of the same sentences. A tagger is
measured too where its weights are on the computer; it was trained on the other parts of SkillSpan.
"""

import argparse
import hashlib
import json
import os
from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np

from resume_contrastive.documents import Document
from resume_contrastive.extractors import (
    SKILL_MODEL,
    extended,
    extract_skills,
    find_taggers,
    read_technologies,
    span_counts,
    span_scores,
)
from resume_contrastive.lexicon import default_lexicon
from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json

ROOT = Path(__file__).resolve().parent.parent
SEED, RESAMPLES = 0, 1000
MARKS = ("knowledge", "skill", "both")


def half_of(advert: str) -> str:
    """'develop' or 'held_out', by a hash of the advert's name."""
    digest = hashlib.sha256(advert.encode()).digest()
    return ("develop", "held_out")[digest[0] % 2]


def runs(tags: list[str]) -> list[tuple[int, int]]:
    """BIO tags of tokens -> (first token, behind the last) of each span."""
    spans = []
    for i, tag in enumerate(tags):
        if tag == "B" or (tag == "I" and (i == 0 or tags[i - 1] == "O")):
            spans.append([i, i + 1])
        elif tag == "I":
            spans[-1][1] = i + 1
    return [tuple(s) for s in spans]


def tokens_of(start: int, end: int, offsets: list[tuple[int, int]]) -> tuple[int, int]:
    """The tokens that a span of characters touches."""
    inside = [i for i, (a, b) in enumerate(offsets) if a < end and start < b]
    return inside[0], inside[-1] + 1


def read(path: Path) -> list[dict]:
    """Sentences with the text, offsets of its tokens, and the marked spans by kind."""
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        offsets, at = [], 0
        for token in row["tokens"]:
            offsets.append((at, at + len(token)))
            at += len(token) + 1
        marks = {kind: runs(row[f"tags_{kind}"]) for kind in ("knowledge", "skill")}
        marks["both"] = sorted({*marks["knowledge"], *marks["skill"]})
        out.append({"advert": f"{row['source']}:{row['idx']}", "text": " ".join(row["tokens"]),
                    "offsets": offsets, "marks": marks})
    return out


def predicted(sentence: dict, **how) -> list[tuple[int, int]]:
    """Token spans that an extractor finds in a sentence."""
    doc = Document(id="s", kind="job", sections={"requirements": sentence["text"]})
    found = extract_skills(doc, **how).found
    return sorted({tokens_of(e.start, e.end, sentence["offsets"]) for e in found})


def at_random(sentence: dict, spans: list[tuple[int, int]], rng: Random) -> list[tuple[int, int]]:
    """As many spans of the same lengths anywhere in the sentence."""
    n = len(sentence["offsets"])
    starts = [rng.randrange(n - (b - a) + 1) for a, b in spans]
    return sorted({(s, s + b - a) for s, (a, b) in zip(starts, spans, strict=True)})


def measured(sentences: list[dict], found: list[list], kind: str) -> dict:
    """Scores over all sentences, each with a 95 % interval over adverts."""
    groups = defaultdict(list)
    for s, spans in zip(sentences, found, strict=True):
        groups[s["advert"]].append(span_counts(s["marks"][kind], spans))
    names = ("gold", "predicted", "exact", "found", "right")
    total = [{n: sum(c[n] for c in cs) for n in names} for cs in groups.values()]
    scores = span_scores(total)
    rng, boot = np.random.default_rng(SEED), defaultdict(list)
    for _ in range(RESAMPLES):
        for name, value in span_scores(total[i] for i in
                                       rng.integers(0, len(total), len(total))).items():
            boot[name].append(value)
    return {"n": {"adverts": len(total), "sentences": len(sentences),
                  **{n: sum(c[n] for c in total) for n in names}},
            **{name: [round(x, 4) for x in (value, *np.nanquantile(boot[name], [.025, .975]))]
               for name, value in scores.items()}}


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "data/results/skillspan.json")
    parser.add_argument("--half", default="held_out", choices=("develop", "held_out"))
    parser.add_argument("--show", type=int, default=0, help="print so many wrong and missed spans "
                        "of the half `develop`")
    args = parser.parse_args()
    data = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    path, table = data / "skillspan/test.json", data / "onet/technology_skills.csv"
    sentences = [s for s in read(path) if half_of(s["advert"]) == args.half]
    systems = {"lexicon": {"lexicon": default_lexicon()},
               "lexicon and hot technologies": {
                   "lexicon": extended(read_technologies(table, hot=True))},
               "lexicon and all technologies": {"lexicon": extended(read_technologies(table))}}
    tagger = find_taggers(entities="").skills
    if tagger:
        systems[SKILL_MODEL] = {"tagger": tagger}
    found = {name: [predicted(s, **how) for s in sentences] for name, how in systems.items()}
    rng = Random(SEED)
    found["random places"] = [at_random(s, p, rng) for s, p in
                              zip(sentences, found["lexicon and all technologies"], strict=True)]
    result = {name: {kind: measured(sentences, spans, kind) for kind in MARKS}
              for name, spans in found.items()}
    lengths = {kind: float(np.mean([b - a for s in sentences for a, b in s["marks"][kind]]))
               for kind in MARKS}
    record = {"half": args.half, "seed": SEED, "resamples": RESAMPLES, "systems": result,
              "words_of_a_mark": {k: round(v, 2) for k, v in lengths.items()},
              "skills": {name: len(how["lexicon"].names) for name, how in systems.items()
                         if "lexicon" in how},
              "tagger": SKILL_MODEL if tagger else "not on this computer",
              "data_hash": {p.name: hash_file(p) for p in (path, table)},
              "code_hash": code_hash(), "machine": machine(),
              "versions": versions("resume_contrastive", "numpy")}
    for name, kinds in result.items():
        for kind, row in kinds.items():
            print(f"{name:30} {kind:10}", {k: v[0] for k, v in row.items() if k != "n"})
    if args.show and args.half == "develop":
        spans = found["lexicon and all technologies"]
        wrong = [" ".join(s["text"].split()[a:b]) for s, p in zip(sentences, spans, strict=True)
                 for a, b in p if not any(a < d and c < b for c, d in s["marks"]["both"])]
        print(Random(SEED).sample(wrong, min(args.show, len(wrong))))
    else:
        write_json(args.out, record)
        print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
