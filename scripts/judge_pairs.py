"""Draw positives for judging by hand, print them to the terminal, and check the sheet.

`python scripts/judge_pairs.py draw` prints 200 role pairs of the training split, stratified by
category, with the first lines of both documents (to the terminal only: these are real texts).
`python scripts/judge_pairs.py check` asserts that data/results/pairs_judged.csv names documents
that exist. The sheet holds ids, categories and verdicts, and no text. It was judged in three draws:
200 pairs of a first rule (role >= .65, an unknown occupation cost nothing), 40 that only a rule by
title similarity >= .65 makes, and 122 of the rule that was chosen from these.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from resume_contrastive.dataset import read_test_only, test_only_folders
from resume_contrastive.documents import read_table
from resume_contrastive.encoder import EncoderConfig
from resume_contrastive.occupations import read_occupations
from resume_contrastive.pairs import Cosines, PairConfig, make_pairs
from resume_contrastive.registry import TestRegistry, drop_leaks
from resume_contrastive.splits import make_splits

SHEET = Path(__file__).resolve().parent.parent / "data/results/pairs_judged.csv"
ROLE, SHOWS = ("yes", "near", "no"), ("yes", "no", "?")


def training_sides(root: Path) -> tuple[list, list]:
    """Resumes and jobs of the training split, without what is TEST ONLY."""
    registry = TestRegistry()
    for name, documents in read_test_only(test_only_folders()).items():
        registry.add(documents, name)
    sides = [drop_leaks(read_table(root / "kaggle" / name, kind)[0], registry)[0]
             for name, kind in (("Resume.csv", "resume"), ("training_data.csv", "job"))]
    splits = make_splits(*sides)
    return tuple([d for d in side if splits.of(side[0].kind, d.id) == "train"] for side in sides)


def draw(pairs: pd.DataFrame, category: dict[str, str], n: int, seed: int) -> pd.DataFrame:
    """As many pairs of each category as its share, at least one, each resume once."""
    rng = np.random.default_rng(seed)
    pairs = pairs.assign(category=[category[i] for i in pairs.resume_id])
    pairs = pairs.iloc[rng.permutation(len(pairs))].drop_duplicates("resume_id")
    turn = pairs.groupby("category").cumcount() / pairs.groupby("category").resume_id.transform(
        "size")
    first = pairs[pairs.groupby("category").cumcount() < 3]
    rest = pairs[~pairs.index.isin(first.index)].assign(turn=turn).sort_values("turn")
    return pd.concat([first, rest])[:n].sort_values(["category", "resume_id"])


def main() -> int:
    """Draw or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("draw", "check"))
    parser.add_argument("--n", type=int, default=200, help="pairs to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--least", type=float, default=0.65, help="least role of a drawn pair")
    parser.add_argument("--cache", default="runs/embeddings", help="folder of window vectors")
    args = parser.parse_args()
    root = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    if args.what == "check":
        return check(root)
    resumes, jobs = training_sides(root)
    encoder = EncoderConfig().embedder(cache=args.cache)
    pairs, _ = make_pairs(resumes, jobs, occupations=read_occupations(root / "onet"),
                          similarity=lambda a, b: Cosines(encoder.embed(a), encoder.embed(b)),
                          config=PairConfig(min_match=args.least))
    show(draw(pairs, {d.id: d.category for d in resumes}, args.n, args.seed),
         {d.id: d for d in resumes}, {d.id: d for d in jobs})
    return 0


def show(table: pd.DataFrame, resumes: dict, jobs: dict) -> None:
    """Print the pairs for a judge."""
    for n, p in enumerate(table.itertuples()):
        r, j = resumes[p.resume_id], jobs[p.job_id]
        print(f"\n#{n} {p.resume_id} {p.job_id} {p.category} role {p.role:.2f} | {p.reason}")
        for d, words in ((r, 32), (j, 48)):
            body = " ".join(" ".join(d.sections.values()).split()[:words])
            print(f"  {d.kind.upper()}: {d.title} :: {body}")


def check(root: Path) -> int:
    """Every row of the sheet names documents of the data and has verdicts that are known."""
    sheet = pd.read_csv(SHEET, dtype=str)
    ids = [{d.id for d in read_table(root / "kaggle" / name, kind)[0]}
           for name, kind in (("Resume.csv", "resume"), ("training_data.csv", "job"))]
    bad = sheet[~(sheet.resume_id.isin(ids[0]) & sheet.job_id.isin(ids[1])
                  & sheet.same_role.isin(ROLE) & sheet.shows_most.isin(SHOWS))]
    print(f"{len(sheet)} rows, {len(bad)} that name no document or have no verdict")
    return int(len(bad) > 0 or sheet.duplicated(["resume_id", "job_id"]).any())


if __name__ == "__main__":
    sys.exit(main())
