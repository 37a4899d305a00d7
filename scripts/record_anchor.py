"""Heads that stay near the zero-shot geometry: what is kept of the gain, and what of the damage.

Over five cuts the trained head is better than the zero-shot encoder at role and own skills, and
worse at the triples of `rjdb`. `python scripts/record_anchor.py runs/real` takes the cuts of
`record_crossvalidation.py` (it makes those that are missing), trains the default head in each, and
asks what lies between its start and its end: weights in between, the two vectors side by side, the
same folded into one projection; and heads whose distance from the start is bounded while they
learn. It writes `data/results/anchor.json`. Trained heads and answers are kept in the run folder.

The rule, fixed before any of it was looked at. In each family the setting furthest from zero-shot
is chosen whose paired difference from zero-shot on `rjdb` has a 95 % interval above -.01, on cuts
1 to 3; if there is none, zero-shot. It passes when cuts 4 and 5 say the same: `rjdb` above -.01,
and a gain over zero-shot, its interval above 0, in role both ways and in own skills. The triples of
`rjdb` are the same in each cut, so both steps are done a second time on half of them each.
"""

import argparse
import json
import os
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import torch
from record_ablation import Study
from record_crossvalidation import ROWS, figures_of, make_cut
from safetensors.torch import load_file, save_file

from resume_contrastive.anchor import concatenated, folded, furthest, interpolated
from resume_contrastive.encoder import DualEncoder, load_dual_encoder
from resume_contrastive.metrics import bootstrap_interval, paired_difference
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import code_hash, hash_value, machine, read_json, versions, write_json

GRID = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
RESIDUAL = (0.25, 0.5)
RJDB, MARGIN = "rjdb", 0.01
FIGURES = {"role, resume to job": "role, resume to job, titles hidden, nDCG@10",
           "role, job to resume": "role, job to resume, titles hidden, nDCG@10",
           "own skills": "own skills, AUC", "triples": "counterfactual triples",
           RJDB: "triples of rjdb"}
GAINS = ("role, resume to job", "role, job to resume", "own skills")
CHOICE, CHECK = (0, 1, 2), (3, 4)


class Kept(Study):
    """A study that remembers the zero-shot vectors of what it trained on."""

    def sources(self, *args):
        """As a study has them."""
        out = super().sources(*args)
        self.means = torch.cat([x for s in out for x in s.guide])
        return out


def row_of(residual: float) -> dict:
    """The default, or the default with a bounded head."""
    row = ROWS["default"]
    return {**row, "encoder": {**row["encoder"], "residual": residual}} if residual else row


def models(folder: Path, study: Kept, residual: float, seed: int, key: str) -> tuple:
    """Start, end and the vectors behind the start; trained once and kept."""
    place = folder / "models" / f"{residual}"
    done = place / "done.json"
    if not done.exists() or read_json(done)["key"] != key:
        end = study.trained(row_of(residual), seed)[0]
        start = DualEncoder(study.means.shape[1], end.config).start_from(study.means)
        start.save(place / "start")
        end.save(place / "end")
        save_file({"vectors": study.means.contiguous()}, place / "vectors.safetensors")
        write_json(done, {"key": key, "code": code_hash()})
    return (*(load_dual_encoder(place / side) for side in ("start", "end")),
            load_file(place / "vectors.safetensors")["vectors"])


def score_of(fields, *encoders, weight: float = 1.0):
    """Scores of one model, or of two side by side."""
    def score(resumes, jobs):
        sides = []
        with torch.inference_mode():
            for documents, kind in ((resumes, "resume"), (jobs, "job")):
                made = [m(fields(list(documents)), kind) for m in encoders]
                sides.append((made[0] if len(made) == 1 else concatenated(*made, weight)).numpy())
        return sides[0] @ sides[1].T
    return score


def systems(start, end, vectors, fields) -> dict:
    """(family, setting) -> score function, of what needs no training."""
    out = {("zero-shot", 0.0): score_of(fields, start), ("default", 1.0): score_of(fields, end)}
    for x in GRID:
        out["interpolated", x] = score_of(fields, interpolated(start, end, x))
        out["concatenated", x] = score_of(fields, start, end, weight=x)
        out["folded", x] = score_of(fields, folded(start, end, x, vectors))
    return out


def asked(name: tuple, score, study: Study, seed: int) -> dict:
    """The answers of a system in a cut, under hashes of the documents' ids."""
    every = figures_of(score, study, 1)
    found = {f: [(str(hash_value(i)), None if np.isnan(v) else round(float(v), 5))
                 for i, v in every[long]] for f, long in FIGURES.items() if long in every}
    means = (np.mean([v for _, v in x if v is not None]) for x in found.values())
    print(f"cut {seed + 1} {name[0]:13} {name[1]:5}", *(f"{v:.3f}" for v in means), flush=True)
    return {"cut": seed, "family": name[0], "setting": name[1], "figures": found}


def measure(run: Pipeline, cuts: int, profiles: Path, rjdb: Path, residuals: tuple,
            residual_cuts: int) -> list[dict]:
    """What each system answers in each cut."""
    work, results = run.folder / "cuts", []
    work.mkdir(parents=True, exist_ok=True)
    (work / "embeddings").exists() or (work / "embeddings").symlink_to(run.cache.resolve())
    studies: dict[int, Kept] = {}  # a cut is read once for all its heads
    for residual, seed in product((0.0, *residuals), range(cuts)):
        if residual and seed >= residual_cuts:
            continue
        folder = work / f"cut-{seed}"
        cut = hash_value([run.data.manifest["data_hash"], seed, asdict(run.config.data)])
        if not (folder / "cut.json").exists() or read_json(folder / "cut.json")["key"] != cut:
            make_cut(run, folder, seed, profiles)
            write_json(folder / "cut.json", {"key": cut})
        key = hash_value([cut, row_of(residual), asdict(run.config.train)])
        kept = folder / "anchor" / f"{residual}.json"
        grid = hash_value([key, GRID if not residual else ()])
        if not kept.exists() or read_json(kept)["key"] != grid:
            study = studies[seed] = studies.get(seed) or Kept(folder, rjdb)
            start, end, vectors = models(folder / "anchor", study, residual, seed, key)
            fields = study.fields(end.config)
            made = ({("residual", residual): score_of(fields, end)} if residual else
                    systems(start, end, vectors, fields))
            write_json(kept, {"key": grid, "code": code_hash(), "answers": [
                asked(name, score, study, seed) for name, score in made.items()]})
        results += [{**a, "code": read_json(kept)["code"]} for a in read_json(kept)["answers"]]
    return results


def values_of(results: list[dict], figure: str, cuts: tuple, half: int | None = None) -> dict:
    """(family, setting) -> documents and values over some cuts, of all triples or of one half."""
    out: dict = {}
    for r in sorted(results, key=lambda r: r["cut"]):
        if r["cut"] in cuts:
            mine = out.setdefault((r["family"], r["setting"]), [])
            mine += [p for p in r["figures"].get(figure, ())
                     if half is None or int(p[0][:8], 16) % 2 == half]
    return {k: (np.array([c for c, _ in v]),
                np.array([np.nan if x is None else x for _, x in v])) for k, v in out.items()}


def against(found: dict, system: tuple) -> dict:
    """Differences of a system from zero-shot and from the default."""
    clusters, values = found[system]
    return {f"minus_{name.replace('-', '_')}":
            paired_difference(values, found[name, end][1], clusters)._asdict()
            for name, end in (("zero-shot", 0.0), ("default", 1.0))}


def choice_of(results: list[dict], halves: bool) -> dict:
    """The rule, family by family, and its check."""
    first = values_of(results, RJDB, CHOICE, 0 if halves else None)
    check, out = {f: values_of(results, f, CHECK, 1 if halves and f == RJDB else None)
                  for f in FIGURES}, {}
    seen = {k: against(first, k)["minus_zero_shot"] for k in first}
    for family in dict.fromkeys(k[0] for k in first if k[0] not in ("zero-shot", "default")):
        # both ends belong to each line between the two; a residual head has no end of its own
        ends = [("zero-shot", 0.0)] + [("default", 1.0)] * (family != "residual")
        names = {k[1]: k for k in first if k[0] == family or k in ends}
        chosen = furthest({s: seen[k]["low"] for s, k in names.items()}, MARGIN)
        found = {f: against(check[f], names[chosen]) for f in check}
        low = {f: d["minus_zero_shot"]["low"] for f, d in found.items()}
        out[family] = {"chosen": chosen, "check": found, "safe": bool(low[RJDB] >= -MARGIN),
                       "gains": bool(all(low[f] > 0 for f in GAINS)),
                       "rjdb": {str(s): seen[k] for s, k in sorted(names.items())}}
    return out


def main() -> None:
    """Train, ask, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--residual", type=float, nargs="*", default=list(RESIDUAL))
    parser.add_argument("--residual-cuts", type=int, default=5, help="only so many for these")
    parser.add_argument("--out", type=Path, default=Path("data/results/anchor.json"))
    args = parser.parse_args()
    root, run = Path(os.environ["RESUME_CONTRASTIVE_DATA"]), Pipeline(args.run)
    results = measure(run, args.cuts, root / "onet", root / "rjdb" / "triples.jsonl",
                      tuple(args.residual), args.residual_cuts)
    cuts, rows, answered = tuple(range(args.cuts)), [], {}
    for r in results:
        answered.setdefault((r["family"], r["setting"]), set()).add(r["cut"])
    for figure in FIGURES:
        by_cuts = {c: values_of(results, figure, c) for c in map(tuple, answered.values())}
        for k, mine in answered.items():  # what has answered less is compared within its cuts
            found = by_cuts[tuple(mine)]
            clusters, values = found[k]
            rows.append({"figure": figure, "family": k[0], "setting": k[1],
                         "cuts": sorted(mine), "documents": len(set(clusters[~np.isnan(values)])),
                         **bootstrap_interval(values, clusters)._asdict(), **against(found, k)})
    whole = [r for r in results if len(answered[r["family"], r["setting"]]) == args.cuts]
    choice = choice_of(whole, False)
    write_json(args.out, {
        "rows": rows, "choice": choice, "choice_on_halves": choice_of(whole, True),
        "rule": {"margin": MARGIN, "cuts_of_choice": CHOICE, "cuts_of_check": CHECK,
                 "gains": GAINS},
        "cuts": args.cuts, "seeds": list(cuts), "config": asdict(run.config),
        "data_hash": run.data.manifest["data_hash"], "code": code_hash(),
        "codes_of_results": len({r["code"] for r in results}),
        "machine": machine(), "versions": versions()})
    print(json.dumps({f: c["chosen"] for f, c in choice.items()}))


if __name__ == "__main__":
    main()
