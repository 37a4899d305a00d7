"""Write the golden scores that `tests/test_regression.py` compares with.

    python scripts/record_golden.py            tests/golden/*.json, half a minute

Only run it when scores are meant to change, and say in the commit why. The encoder is the zero-shot
one (all-MiniLM-L6-v2), the documents are the sample corpus, so the numbers need no training.
"""

import sys
from pathlib import Path

from resume_contrastive.documents import read_table
from resume_contrastive.requirements import coverage
from resume_contrastive.scorer import ContrastiveScorer, hybrid_similarity
from resume_contrastive.store import hash_file, versions, write_json

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
FOLDER = ROOT / "tests" / "golden"
RESUMES, JOBS = range(0, 240, 24), range(0, 60, 12)  # rows of the tables
MODES = ((0, 0), (5, 2))  # (resume, job) among those rows
TOLERANCE = {"score": 0.05, "signal": 1e-3, "fit": 1e-9}
WHY = ("score: points of 100; another processor or torch version moves a similarity by some 1e-6, "
       "a score by 1e-4, a hundred times more is allowed. signal: shares. fit: exact counting.")


def documents() -> tuple[list, list]:
    """The rows that are scored."""
    sides = (read_table(SAMPLE / f"{kind}s.csv", kind)[0] for kind in ("resume", "job"))
    return tuple([side[i] for i in rows if i < len(side)]
                 for side, rows in zip(sides, (RESUMES, JOBS), strict=True))


def golden() -> dict[str, dict]:
    """File name -> content."""
    resumes, jobs = documents()
    scorer = ContrastiveScorer("zero-shot")
    scores = scorer.score_matrix(resumes, jobs).round(4).tolist()
    modes = []
    for r, j in MODES:
        e = hybrid_similarity(resumes[r], jobs[j], "explain", scorer=scorer)
        modes.append({
            "resume": resumes[r].id, "job": jobs[j].id,
            "replace": hybrid_similarity(resumes[r], jobs[j], scorer=scorer),
            "blend": hybrid_similarity(resumes[r], jobs[j], "blend", scorer=scorer),
            "five_signals": e["five_signals"], "signals": e["signals"],
            "status": {q["skill"]: q["status"] for q in e["requirements"]},
            "sections": e["sections"], "missing_required": e["missing_required"]})
    fits = [[coverage(r, j).fit for j in jobs] for r in resumes]
    about = {"tolerance": TOLERANCE, "why": WHY,
             "data_sha256": {n: hash_file(SAMPLE / n) for n in ("resumes.csv", "jobs.csv")}}
    return {"scores.json": {**about, "resumes": [d.id for d in resumes],
                            "jobs": [d.id for d in jobs], "scores": scores,
                            "fit": [[None if f != f else f for f in row] for row in fits],
                            "versions": versions("torch", "transformers", "numpy")},
            "modes.json": {**about, "pairs": modes}}


def main() -> int:
    """Write the files."""
    for name, content in golden().items():
        write_json(FOLDER / name, content)
        print(f"wrote {FOLDER.name}/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
