"""Write the small JSON record of a run.

`python scripts/record_run.py runs/real data/results/real.json` writes what a reader of a figure
must know (inputs by hash, configuration, seed, versions, machine, cost of each stage) and
the figures: no text of any document. The front page and the README are filled from these records.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from resume_contrastive.report import headline_markdown
from resume_contrastive.store import read_json, write_json

SECRET = {"key", "model_sha256"}
KEPT = ("system", "benchmark", "aspect", "direction", "metric", "value", "low", "high", "n",
        "chance")


def note(results: dict) -> str:
    """One sentence about the run."""
    encode, machine = results["stages"]["encode"], results["machine"]
    speed = encode["windows_per_second"]
    inputs = " and ".join(f"{about['read']:,} {side}" for side, about in results["inputs"].items())
    fresh = encode["encoded"] > encode["windows"] / 2
    return (f"{inputs}, {encode['windows']:,} windows, seed {results['seed']}, "
            f"{results['seconds'] / 60:.1f} minutes"
            + (f" ({speed} windows a second)" if fresh else " with cached windows")
            + f" and {results['peak_mb'] / 1024:.1f} GB on {machine['cores']} cores "
            f"({machine['cpu']}); data hash `{results['data_hash'][:12]}`. Cells: value and "
            "95 % interval, clustered by job.")


def cold_note(cold: dict) -> str:
    """One sentence about a run that began with an empty cache."""
    encode = cold["stages"]["encode"]
    return (f" From an empty cache the same run took {cold['seconds'] / 60:.0f} minutes, at "
            f"{encode['windows_per_second']} windows a second, with a peak of "
            f"{cold['peak_mb'] / 1024:.1f} GB.")


def record(run: Path, printed: Path | None, cold: Path | None) -> dict:
    """The record of a run folder."""
    results, compare = (read_json(run / name) for name in ("results.json", "stages/compare.json"))
    manifest = read_json(run / "data" / "manifest.json")
    stages = {name: {k: v for k, v in stage.items() if k not in SECRET}
              for name, stage in results["stages"].items()}
    rows = [{k: r[k] for k in KEPT} for r in results["evaluation"]]
    out = {**{k: results[k] for k in ("inputs", "config", "seed", "versions", "machine", "seconds",
                                      "peak_mb", "data_hash", "backbone_sha256")},
           "stages": stages, "evaluation": rows, "table": headline_markdown(rows),
           "history": [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()],
           "decision": {k: compare[k] for k in ("option", "reasons")}, "note": note(results),
           "counts": manifest["counts"]["pairs"], "pairing": manifest["pairing"],
           "test_only": {"registered": manifest["test_only"]["registered"],
                         "dropped": len(manifest["test_only"]["dropped"])}}
    if cold:
        first = read_json(cold)
        out["cold"] = {"seconds": first["seconds"], "peak_mb": first["peak_mb"], "stages": {
            name: {k: v for k, v in stage.items() if isinstance(v, (int, float))}
            for name, stage in first["stages"].items()}}
        out["note"] += cold_note(first)
    if printed:
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", printed.read_text(encoding="utf-8"))
        out["printed"] = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return out


def main() -> int:
    """Read the run folder, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder with a finished export")
    parser.add_argument("record", type=Path, help="the JSON file to write")
    parser.add_argument("--printed", type=Path, help="file with what the command printed")
    parser.add_argument("--cold", type=Path, help="results.json of a run with an empty cache")
    args = parser.parse_args()
    write_json(args.record, record(args.run, args.printed, args.cold))
    print(f"wrote {args.record}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
