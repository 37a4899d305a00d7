"""Fill the marked places of nbs/index.ipynb from records, and write README.md from the notebook.

A marked place is a pair of comments in a markdown cell, `<!-- begin: NAME -->` and
`<!-- end: NAME -->`. What stands between them is written here, never by hand:

- `chapters`: the title and the subtitle of each numbered notebook;
- `demo-printed`, `demo-table`: what the recorded `make demo` printed, and its table of results,
  from `data/results/demo.json`; `real-table`, `real-decision`: the same of the run on real
  data, from `data/results/real.json`. A record is a JSON object with
    `printed`: the lines on the screen (a string),
    `table`:   a list of rows, each an object from column name to text or number, in order, or
               a markdown table as the run folder's `evaluation.md` holds it,
    `note`:    one sentence about the run: the data, its size, the machine, the time (optional).
- `small-table`: the model that comes with the package beside the untrained encoder, from
  `data/results/small.json`; `five-cuts`: the default beside the controls over five cuts of the
  documents that are not test data, from `data/results/crossvalidation.json`.

The README holds the notebook's prose, its visible code and its stored text outputs. Links to a
notebook become links into `nbs/`. The same notebook gives the same README, byte for byte.
"""

import argparse
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
NOT_YET = "*No recorded run yet: this place is filled from a record in `data/results/`.*"
NUMBERED = re.compile(r"^(\d\d)([a-z]?)_")
HIDDEN = re.compile(r"^#\|\s*(hide|include:\s*false|echo:\s*false)", re.M)
DIRECTIVE = re.compile(r"^#\|.*\n?", re.M)


def source(cell: dict) -> str:
    """A cell's text, whether it is stored as one string or as lines."""
    return "".join(cell["source"])


def title_and_subtitle(notebook: Path) -> tuple[str, str]:
    """The H1 and the `>` line of a notebook's first cell."""
    first = source(json.loads(notebook.read_text(encoding="utf-8"))["cells"][0])
    title = re.search(r"^# (.+)$", first, re.M)
    subtitle = re.search(r"^> (.+)$", first, re.M)
    if not title:
        raise ValueError(f"{notebook.name}: the first cell has no '# Title'")
    return title[1].strip(), subtitle[1].strip() if subtitle else ""


def chapter_notebooks(nbs: Path) -> list[tuple[str, Path]]:
    """Each numbered notebook with its label (`0`, `0a`, `1`, ...), in the order of the story."""
    found = [(m, p) for p in nbs.glob("*.ipynb") if (m := NUMBERED.match(p.name))]
    return [(f"{int(m[1])}{m[2]}", p) for m, p in sorted(found, key=lambda x: x[0].groups())]


def table(rows: list[dict] | str) -> str:
    """A markdown table; numbers are aligned to the right."""
    if not rows:
        return NOT_YET
    if isinstance(rows, str):
        return rows.strip()
    names = list(rows[0])
    right = [all(isinstance(r.get(n), int | float) for r in rows) for n in names]

    def text(value: object) -> str:
        return str("" if value is None else value).replace("|", "\\|").replace("\n", " ")

    lines = ["| " + " | ".join(names) + " |"]
    lines.append("|" + "|".join("---:" if r else "---" for r in right) + "|")
    lines += ["| " + " | ".join(text(row.get(n)) for n in names) + " |" for row in rows]
    return "\n".join(lines)


def chapters(root: Path) -> str:
    """The list of chapters, from the notebooks that are there."""
    rows = []
    for label, path in chapter_notebooks(root / "nbs"):
        title, subtitle = title_and_subtitle(path)
        rows.append({"": label, "chapter": f"[{title}]({path.name})", "what it shows": subtitle})
    return table(rows)


def filled(root: Path) -> dict[str, str]:
    """What stands in each marked place."""
    places = {"chapters": chapters(root)}
    for name, make, file in (("small-table", small_table, "small"),
                             ("five-cuts", five_cuts, "crossvalidation")):
        path = root / "data" / "results" / f"{file}.json"
        places[name] = make(json.loads(path.read_text(encoding="utf-8"))
                            if path.exists() else {})
    for name in ("demo", "real"):
        path = root / "data" / "results" / f"{name}.json"
        record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        printed, decision = record.get("printed", "").strip("\n"), record.get("decision", {})
        note = "\n\n" + record["note"] if record.get("note") else ""
        reasons = "".join(f"\n- {reason}" for reason in decision.get("reasons", ()))
        places |= {
            f"{name}-printed": f"```text\n{printed}\n```" if printed else NOT_YET,
            f"{name}-table": table(record.get("table", [])) + note,
            f"{name}-decision": f"**{decision['option']}**\n{reasons}" if decision else NOT_YET,
        }
    return places


def signed(d: dict) -> str:
    """A paired difference with its interval; bold where the interval leaves 0 out."""
    text = f"{d['difference']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f})"
    return f"**{text}**" if d["low"] > 0 or d["high"] < 0 else text


def small_table(record: dict) -> str:
    """The package's own model against zero-shot, one row for each headline figure."""
    shown = [r for r in record.get("rows", ()) if r["metric"] in ("nDCG@10", "pairwise accuracy")]
    plain = {(r["benchmark"], r["direction"]): r for r in shown if r["system"] == "zero-shot"}
    rows = [{"benchmark": f"{r['aspect']}: {r['benchmark']}, {r['direction']}",
             "metric": r["metric"], "n": r["n"],
             "zero-shot": f"{plain[r['benchmark'], r['direction']]['value']:.3f}",
             "small model": f"{r['value']:.3f}", "difference": signed(r["minus_zero_shot"])}
            for r in shown if r["system"] == "small"]
    return table(rows)


def five_cuts(record: dict) -> str:
    """The default minus each control, one row for each figure."""
    by_figure: dict[str, dict[str, dict]] = {}
    for r in record.get("rows", ()):
        if "shown" not in r["figure"]:
            by_figure.setdefault(r["figure"], {})[r["system"]] = r
    order = sorted(by_figure, key=lambda f: (not f.startswith("role"), f))
    controls = ("five signals", "zero-shot", "TF-IDF", "BM25")
    return table([{
        "figure": f.replace(", titles hidden", ""), "queries": by_figure[f]["default"]["n"],
        "learned": f"{by_figure[f]['default']['mean']:.3f}",
        **{f"minus {c}": signed(by_figure[f][c]["default_minus_it"]) for c in controls}}
        for f in order])


def fill(text: str, places: dict[str, str]) -> str:
    """Put the records into the marked places of one cell."""
    for name, content in places.items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.S)
        text = pattern.sub(lambda _, new=f"{begin}\n{content}\n{end}": new, text)
    return text


def stored_text(output: dict) -> str:
    """One stored output as markdown, or nothing when it has no text."""
    if output.get("output_type") == "stream":
        plain = "".join(output["text"])
    else:
        data = output.get("data", {})
        if "text/markdown" in data:
            return "".join(data["text/markdown"]).strip()
        plain = "".join(data.get("text/plain", ""))
    return f"```text\n{plain.rstrip()}\n```" if plain.strip() else ""


def relink(text: str) -> str:
    """Links of a page in nbs/ as links of a page in the root."""
    text = re.sub(r"\]\((?!\w+:|#|/|\.\.?/|nbs/)([^)\s]+)\)", r"](nbs/\1)", text)
    return text.replace("](../", "](")


def readme(notebook: dict) -> str:
    """The README of a notebook."""
    parts = ["<!-- Written from nbs/index.ipynb by scripts/write_readme.py: edit the notebook. -->"]
    for cell in notebook["cells"]:
        text = source(cell)
        if cell["cell_type"] == "markdown":
            parts.append(relink(text).strip())
        elif cell["cell_type"] == "code" and not HIDDEN.search(text):
            code = DIRECTIVE.sub("", text).strip()
            parts += [f"```python\n{code}\n```"] if code else []
            parts += [out for o in cell.get("outputs", []) if (out := stored_text(o))]
    return "\n\n".join(parts) + "\n"


def build(root: Path) -> dict[Path, str]:
    """The two files this script writes, with what they should hold."""
    path = root / "nbs" / "index.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    places = filled(root)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = fill(source(cell), places).splitlines(keepends=True)
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return {path: text, root / "README.md": readme(notebook)}


def main() -> int:
    """Write the files, or with `--check` say which of them differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if one differs")
    parser.add_argument("--root", type=Path, default=HERE, help="another copy of the repository")
    args = parser.parse_args()
    stale = {}
    for path, text in build(args.root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale[path.relative_to(args.root).as_posix()] = (path, text)
    if args.check:
        for name in stale:
            print(f"{name} is not what the records and the notebooks say: run `make readme`")
        return int(bool(stale))
    for path, text in stale.values():
        path.write_text(text, encoding="utf-8")
    print(f"wrote {', '.join(stale)}" if stale else "nbs/index.ipynb and README.md are current")
    return 0


if __name__ == "__main__":
    sys.exit(main())
