"""What the two real files hold: lines against records, words, tokens, and what a limit would drop.

`python scripts/record_corpus.py` reads `kaggle/Resume.csv` and `kaggle/training_data.csv` below
RESUME_CONTRASTIVE_DATA and writes `data/results/corpus.json`: counts and quantiles, no text.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

import numpy as np

from resume_contrastive.backbones import load_backbone
from resume_contrastive.documents import read_table
from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json

BELIEVED = {"resumes": 66_000, "jobs": 38_000}
LIMITS = (128, 256, 512)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def lengths(documents: list, tokenizer) -> np.ndarray:
    """Tokens of each document under the default encoder's tokenizer, special tokens left out."""
    found = []
    for i in range(0, len(documents), 256):
        texts = [d.text for d in documents[i:i + 256]]
        found += [len(x) for x in tokenizer(texts, add_special_tokens=False,
                                            truncation=False)["input_ids"]]
    return np.array(found)


def main() -> None:
    """Read, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/results/corpus.json"))
    args = parser.parse_args()
    root = Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle"
    tokenizer = load_backbone("minilm")[0]
    tokenizer.model_max_length = 10**9  # whole documents are measured: no warning is meant
    sides = {}
    for name, file, kind in (("resumes", "Resume.csv", "resume"),
                             ("jobs", "training_data.csv", "job")):
        documents, rejects = read_table(root / file, kind)
        words, tokens = np.array([d.n_words for d in documents]), lengths(documents, tokenizer)
        with (root / file).open("rb") as f:
            lines = sum(1 for _ in f)
        sides[name] = {
            "file": file, "sha256": hash_file(root / file), "lines": lines,
            "believed": BELIEVED[name], "records": len(documents), "rejected": len(rejects),
            "without_title": sum(not d.title for d in documents),
            "titles": len({d.title.lower() for d in documents if d.title}),
            "sections": dict(Counter(s for d in documents for s in d.sections).most_common()),
            "sections_of_a_document": dict(sorted(Counter(len(d.sections)
                                                          for d in documents).items())),
            "categories": dict(sorted(Counter(d.category for d in documents).items())),
            "words": dict(zip(map(str, QUANTILES), np.quantile(words, QUANTILES).tolist(),
                              strict=True)),
            "tokens": dict(zip(map(str, QUANTILES), np.quantile(tokens, QUANTILES).tolist(),
                               strict=True)),
            "histogram": np.histogram(tokens, np.arange(0, 4097, 128))[0].tolist(),
            "longer_than_histogram": int((tokens >= 4096).sum()),
            "limits": {str(k): {"documents_cut": float((tokens > k).mean()), "tokens_dropped":
                                float(np.maximum(tokens - k, 0).sum() / tokens.sum())}
                       for k in LIMITS}}
    write_json(args.out, {"sides": sides, "tokenizer": "minilm", "code": code_hash(),
                          "machine": machine(), "versions": versions()})


if __name__ == "__main__":
    main()
