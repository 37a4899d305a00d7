"""Write data/results/pairs.json: what phase 1 makes of the real data.

`RESUME_CONTRASTIVE_DATA=/path/to/data python scripts/record_pairs.py` reads the Kaggle tables at
full length, pairs them with the default settings, and records counts, the share of titles with a
code, precision on the judged sheet, affinities, grades and triples: numbers, categories and ids, no
text.
"""

import argparse
import os
import re
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from resume_contrastive.augmentation import read_profiles
from resume_contrastive.counterfactuals import FitReader, pieces_of
from resume_contrastive.dataset import (
    DataConfig,
    base_id,
    build_dataset,
    read_side,
    read_test_only,
    test_only_folders,
)
from resume_contrastive.encoder import EncoderConfig
from resume_contrastive.metrics import bootstrap_interval
from resume_contrastive.occupations import agreement, read_occupations
from resume_contrastive.pairs import Cosines, PairConfig, make_pairs, match_roles
from resume_contrastive.store import machine, versions, write_json

ROOT = Path(__file__).resolve().parent.parent
SHEET = ROOT / "data/results/pairs_judged.csv"
BINS = (0.75, 0.8, 0.85, 0.9, 1.01)
LINES = ("date", "name or heading", "item of a list", "other line", "part of a line")
DATE = re.compile(r"\b(?:19|20)\d\d\b|\b(?:current|present)\b", re.I)
MARKS = re.compile(r"[\s,;|•·▪●]*")


def share(yes: int, n: int) -> dict:
    """A share with its Wilson interval."""
    low, high = binomtest(int(yes), n).proportion_ci(method="wilson") if n else (None, None)
    return {"yes": int(yes), "n": int(n), "low": low, "high": high}


def titles(documents: list, occupations) -> dict:
    """How the titles were found, over all and by category."""
    how = Counter()
    for d in documents:
        name = occupations.find(d.title).how or ("not listed" if d.title else "no title")
        how[d.category, name] += 1
    table = pd.Series(how).unstack(fill_value=0)
    codes = [len(occupations.find(d.title).codes) for d in documents]
    return {"n": len(documents), "how": table.sum().to_dict(),
            "coded": share(sum(c > 0 for c in codes), len(codes)),
            "one_code": sum(c == 1 for c in codes),
            "by_category": {k: v for k, v in table.to_dict("index").items() if k}}


def verdicts(part: pd.DataFrame) -> dict:
    """Precision of some judged pairs."""
    role, n = part.same_role.value_counts(), len(part)
    return {"same": share(role.get("yes", 0), n),
            "same_or_near": share(role.get("yes", 0) + role.get("near", 0), n),
            "shows": {k: int(v) for k, v in part.shows_most.value_counts().items()}}


def judged(resumes: dict, jobs: dict, similarity, occupations, least: float) -> dict:
    """Precision of the judged pairs under the rule of today."""
    sheet = pd.read_csv(SHEET, dtype=str)
    sides = [resumes[i] for i in sheet.resume_id], [jobs[i] for i in sheet.job_id]
    match = match_roles(*sides, similarity, occupations, least=least)
    sheet["role"], sheet["title"] = match.cells(range(len(sheet)), range(len(sheet)))
    known = ~np.isnan(agreement(*match.found)[0].diagonal())
    drawn = sheet["sample"] != "title rule"
    kept = sheet[drawn & (sheet.role >= least)]
    cut = pd.cut(kept.role, BINS, right=False)
    unknown = sheet[drawn & ~known]
    return {
        "kept": verdicts(kept), "left_out": verdicts(sheet[drawn & (sheet.role < least)]),
        "fresh": verdicts(kept[kept["sample"] == "final rule"]),
        "by_category": {k: verdicts(v) for k, v in kept.groupby("category")},
        "by_role": {f"{b.left:.2f} to {min(b.right, 1):.2f}": verdicts(v)
                    for b, v in kept.groupby(cut, observed=True)},
        "known_below": verdicts(sheet[drawn & known & (sheet.role < least)]),
        "unknown_by_title": {f"{a:.2f} to {min(b, 1):.2f}": verdicts(
            unknown[(unknown.title >= a) & (unknown.title < b)])
            for a, b in ((0.65, 0.75), (0.75, 0.85), (0.85, 1.01))},
        "only_by_title": verdicts(sheet[~drawn])}


def line_type(text: str, start: int, end: int) -> str:
    """What a piece is, by its form: not by the rule that chooses the pieces."""
    body = text[start:end].strip(" \t-•*o")
    words = re.findall(r"[^\W\d_]+", body)
    if DATE.search(body):
        return LINES[0]
    before, after = text[:start].rstrip(" \t-•*")[-1:], text[end:].lstrip(" \t")[:1]
    if before.strip() or after.strip():
        return LINES[2] if len(words) <= 5 else LINES[4]
    long = [w for w in words if len(w) > 3]
    named = sum(w[0].isupper() for w in long) >= 0.6 * max(len(long), 1)
    short = len(body.split()) <= 8 and not re.search(r"[.;!?]$", body)
    return LINES[1] if short and named else LINES[3]


def lost_lines(origin, copy) -> Counter:
    """How many pieces of each type a copy has lost; the two are read side by side."""
    lost, pieces = Counter(), pieces_of(origin)
    for name, text in origin.sections.items():
        left, at = copy.sections.get(name, ""), 0
        for p in (p for p in pieces if p.section == name):
            at = MARKS.match(left, at).end()
            body = text[p.start + MARKS.match(text[p.start:p.end]).end():p.end]
            if left.startswith(body, at):
                at += len(body)
            else:
                lost[line_type(text, p.start, p.end)] += 1
    return lost


def cue(counterfactual: list[Counter], control: list[Counter], resume: list[str]) -> dict:
    """Can the two be told apart by the types of the lines that are gone? 0.5 is chance."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    a, b = (np.array([[x[k] for k in LINES] for x in s], float) for s in (counterfactual, control))
    clusters, out = pd.factorize(pd.Series(resume))[0], {"types": {}}
    for n, k in enumerate(LINES):
        x, y = a[:, n] > 0, b[:, n] > 0
        _, low, high, _ = bootstrap_interval(x.astype(float) - y, clusters, seed=0)
        out["types"][k] = {"counterfactual": float(x.mean()), "control": float(y.mean()),
                           "difference": float(x.mean() - y.mean()), "low": low, "high": high}
    features = {"types of lines": [a, b], "number of pieces": [x.sum(1, keepdims=True)
                                                               for x in (a, b)]}
    for name, sides in features.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        truth = np.repeat([1, 0], len(a))
        p = cross_val_predict(model, np.vstack(sides), truth, groups=np.tile(clusters, 2),
                              cv=GroupKFold(5), method="predict_proba")[:, 1]
        x, y = p[:len(a)], p[len(a):]
        mean, low, high, n = bootstrap_interval((x > y) + 0.5 * (x == y), clusters, seed=0)
        out[name] = {"auc": float(roc_auc_score(truth, p)), "told_apart": mean, "low": low,
                     "high": high, "n": n}
    return out


def triples(pairs: pd.DataFrame, resumes: dict, jobs: dict, counts: dict) -> dict:
    """What the triples are like; every document is read anew."""
    reader, rows, gone = FitReader(), [], ([], [], [])
    made = pairs[pairs.kind.isin(["control", "counterfactual"])]
    for _, two in made.groupby("triple"):
        two = two.set_index("kind")
        ids = two.resume_id
        job, origin = jobs[two.job_id.iloc[0]], resumes[base_id(ids["control"])]
        cf, same = resumes[ids["counterfactual"]], resumes[ids["control"]]
        before, after, still = (reader(d, job) for d in (origin, cf, same))
        for store, x in zip(gone, (lost_lines(origin, cf), lost_lines(origin, same), origin.id),
                            strict=True):
            store.append(x)
        asked, words = map(int, re.findall(r"\d+", two.reason["counterfactual"]))
        rows.append({"removed": asked, "words": words, "share": words / origin.n_words,
                     "off": same.n_words - cf.n_words, "drop": before.fit - after.fit,
                     "holds": after.fit < before.fit and still == before})
    table = pd.DataFrame(rows)
    return {"ends": counts, "n": len(table), "hold": int(table.holds.sum()),
            "removed": {int(k): int(v) for k, v in table.removed.value_counts().items()},
            "words": table.words.quantile([0.1, 0.5, 0.9]).tolist(),
            "share": table.share.quantile([0.1, 0.5, 0.9]).tolist(),
            "drop": table["drop"].quantile([0.1, 0.5, 0.9]).tolist(),
            "off_mean": float(table.off.mean()), "off_most": int(table.off.abs().max()),
            "equal": int((table.off == 0).sum()), "cue": cue(*gone),
            "drops": np.histogram(table["drop"], bins=20, range=(0, 1))[0].tolist()}


def grades(pairs: pd.DataFrame, category: dict) -> dict:
    """Grade and fit of the training role pairs, by category."""
    role = pairs[(pairs.kind == "role") & (pairs.split == "train")]
    role = role.assign(category=[category[i] for i in role.resume_id])
    table = role.groupby(["category", "grade"]).size().unstack(fill_value=0)
    seen = ("asked", "matched", "implied", "missing", "years_asked", "education_asked")
    return {"n": len(role), "known": int(role.fit.notna().sum()),
            "by_category": {k: {int(g): int(n) for g, n in v.items()}
                            for k, v in table.to_dict("index").items()},
            "fit": role.fit.quantile([0.1, 0.25, 0.5, 0.75, 0.9]).tolist(),
            "mean": {k: float(role[k].mean()) for k in seen},
            "states_years": int((role.years_asked > 0).sum()),
            "names_education": int((role.education_asked > 0).sum())}


def cost(documents: list) -> dict:
    """Documents and words that each kind adds beyond what was read."""
    out = {}
    for mark in ("-without:skills", "skills-of:", "~eda", "~cf", "~same", "requirements-of:",
                 "-without:requirements", "synthetic:"):
        some = [d for d in documents if mark in d.id and (mark != "skills-of:" or d.id[:2] == "sk")]
        out[mark] = {"documents": len(some), "words": sum(d.n_words for d in some)}
    return out


def main() -> int:
    """Read, pair, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "data/results/pairs.json")
    parser.add_argument("--cache", default="runs/embeddings", help="folder of title vectors")
    args = parser.parse_args()
    start, root = time.process_time(), Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    (resumes, about_r), (jobs, about_j) = (
        read_side(root / "kaggle" / name, kind)
        for name, kind in (("Resume.csv", "resume"), ("training_data.csv", "job")))
    encoder, config = EncoderConfig().embedder(cache=args.cache), DataConfig()
    occupations = read_occupations(root / "onet")

    def similarity(a, b):
        return Cosines(encoder.embed(a), encoder.embed(b))

    read = time.process_time()
    r, j, pairs, facts = build_dataset(
        resumes, jobs, config, similarity=similarity, occupations=occupations,
        test_only=read_test_only(test_only_folders()), profiles=read_profiles(root / "onet"))
    built = time.process_time()
    sides = {d.id: d for d in r}, {d.id: d for d in j}
    train = [[d for d in docs if d.id in ids and split[d.id] == "train"]
             for docs, ids, split in zip((resumes, jobs), sides, facts["split"].values(),
                                         strict=True)]
    old, by_title = make_pairs(*train, similarity=similarity, config=PairConfig())
    new = pairs[(pairs.kind == "role") & (pairs.split == "train")]
    keys = [set(zip(p.resume_id, p.job_id, strict=True)) for p in (old, new)]
    own = pairs[pairs.kind == "own-requirements"]
    write_json(args.out, {
        "inputs": {k: {x: v[x] for x in ("file", "sha256", "read")}
                   for k, v in (("resumes", about_r), ("jobs", about_j))},
        "config": asdict(config), "machine": machine(), "versions": versions(),
        "seconds": {"read": round(read - start), "build": round(built - read)},
        "titles": {"resumes": titles(resumes, occupations), "jobs": titles(jobs, occupations)},
        "pairing": {"by_title": by_title, **facts["pairing"], "in_both": len(keys[0] & keys[1])},
        "judged": judged(*({d.id: d for d in docs} for docs in (resumes, jobs)), similarity,
                         occupations, config.pairs.min_match),
        "affinity": facts["affinity"], "grades": grades(pairs, {d.id: d.category for d in r}),
        "triples": triples(pairs, *sides, facts["triples"]),
        "own_requirements": {"adverts": int(own.job_id.nunique()), "pairs": len(own),
                             "usable_adverts": sum("requirements" in d.sections for d in jobs)},
        "counts": facts["counts"], "added": cost([*r, *j]),
        "test_only_dropped": len(facts["test_only"]["dropped"])})
    print(f"wrote {args.out}: {round(time.process_time() - start)} s of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
