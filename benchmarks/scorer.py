"""What a backend waits for: import, first score, a new resume, a folder of files, many at once.

    python benchmarks/scorer.py --out data/results/scorer.json

The encoder is the zero-shot one (all-MiniLM-L6-v2) unless --model names a folder; the
documents are made of the sample corpus. --onnx names a folder with ONNX graphs
(`resume-contrastive onnx FOLDER`), whose first score stands beside torch's. Import and first score
run in fresh processes. Resumes of the latency figure have 800 words each and were never seen; the
job is cached. The folder holds different PDF and DOCX files and ends as an HTML page with
--explain 20. The load of the machine is recorded: with others at work, wall clock says little, so
CPU seconds stand beside it.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
sys.path.insert(0, str(ROOT / "scripts"))
IMPORT = ("import time, resource, sys; t = time.perf_counter(); "
          "import resume_contrastive.scorer; wall = time.perf_counter() - t; "
          "heavy = {'torch', 'pandas', 'sklearn', 'numpy'} & set(sys.modules); "
          "print(wall, time.process_time(), int(bool(heavy)))")
FIRST = ("import sys, time; t = time.perf_counter(); "
         "from resume_contrastive.scorer import ContrastiveScorer; "
         "ContrastiveScorer(sys.argv[1]).score(sys.argv[2], sys.argv[3]); "
         "print(time.perf_counter() - t, time.process_time(), 0)")


def fresh(code: str, runs: int, *arguments: str) -> dict:
    """Medians of wall clock and CPU seconds of a program in fresh processes."""
    rows = []
    for _ in range(runs):
        out = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True,
                             text=True, check=True).stdout.split()
        rows.append([float(x) for x in out])
    walls, cpus, heavy = zip(*rows, strict=True)
    if any(heavy):
        raise RuntimeError("importing the scorer loads a heavy package")
    return {"wall": round(median(walls), 3), "best": round(min(walls), 3),
            "cpu": round(median(cpus), 3), "n": runs}


def texts(words: int, n: int, seed: int = 0) -> list[str]:
    """Resumes of so many words, each another mix of lines of the sample corpus."""
    from resume_contrastive.documents import read_table

    lines = [x for d in read_table(SAMPLE / "resumes.csv", "resume")[0]
             for x in d.text.split("\n") if x.strip()]
    out = []
    for i in range(n):
        mixed = random.Random(seed * 1000 + i).sample(lines, len(lines))
        kept = []
        while mixed and sum(len(x.split()) for x in kept) < words:
            kept.append(mixed.pop())
        out.append(" ".join("\n".join(kept).split(" ")[:words]))
    return out


def latency(scorer, job: str, n: int) -> dict:
    """Seconds of a new 800-word resume against a cached job."""
    scorer.score(texts(50, 1, seed=9)[0], job)
    took, cpu = [], time.process_time()
    for text in texts(800, n):
        start = time.perf_counter()
        scorer.score(text, job)
        took.append(time.perf_counter() - start)
    took.sort()
    return {"p50": round(median(took), 3), "p95": round(took[int(0.95 * (n - 1))], 3),
            "best": round(took[0], 3), "cpu": round((time.process_time() - cpu) / n, 3), "n": n}


def write_files(folder: Path, n: int) -> None:
    """Different resumes as DOCX and as PDF, half and half."""
    import docx

    for i, text in enumerate(texts(400, n, seed=2)):
        lines = text.split("\n")
        if i % 2:
            word = docx.Document()
            for line in lines:
                word.add_paragraph(line)
            word.save(folder / f"resume-{i:03d}.docx")
        else:
            (folder / f"resume-{i:03d}.pdf").write_bytes(pdf_of(lines))


def pdf_of(lines: list[str]) -> bytes:
    """A PDF of plain lines, 60 a page."""
    safe = [x.encode("ascii", "replace").decode().replace("\\", "").replace("(", "[").replace(
        ")", "]") for line in lines for x in (line[k:k + 95] for k in range(0, len(line), 95))]
    sheets = [safe[k:k + 60] for k in range(0, len(safe), 60)]
    kids = " ".join(f"{4 + 2 * k} 0 R" for k in range(len(sheets)))
    parts = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {len(sheets)}>>",
             "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    for k, sheet in enumerate(sheets):
        draw = "BT /F1 10 Tf 40 760 Td 12 TL " + " ".join(f"({x}) Tj T*" for x in sheet) + " ET"
        parts += [f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {5 + 2 * k} 0 R"
                  "/Resources<</Font<</F1 3 0 R>>>>>>",
                  f"<</Length {len(draw)}>>stream\n{draw}\nendstream"]
    body = "%PDF-1.4\n" + "".join(f"{i} 0 obj{p}endobj\n" for i, p in enumerate(parts, 1))
    return (body + f"trailer<</Root 1 0 R/Size {len(parts) + 1}>>\n%%EOF\n").encode()


def folder_to_page(model: str, n: int) -> dict:
    """The command on a folder, in a process of its own: wall clock, CPU seconds, bytes."""
    with tempfile.TemporaryDirectory() as tmp:
        folder, page = Path(tmp) / "resumes", Path(tmp) / "report.html"
        folder.mkdir()
        write_files(folder, n)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([Path(sys.executable).parent / "resume-contrastive", "rank",
                        SAMPLE / "documents" / "job.txt", folder, "-m", model, "--html", page,
                        "--explain", "20"], check=True, capture_output=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        shown = page.read_text(encoding="utf-8")
        if shown.count("data-sort") < 6 or shown.count("<details>") != min(20, n) + 1:
            raise RuntimeError("the page is not whole")
        return {"wall": round(wall, 1), "cpu": round(cpu, 1), "page_kb": len(shown) // 1024, "n": n}


def together(scorer, job: str, n: int) -> dict:
    """Requests one at a time, and all at once on as many threads."""
    alone, shared = texts(200, n, seed=5), texts(200, n, seed=6)
    start = time.perf_counter()
    for text in alone:
        scorer.score(text, job)
    one = time.perf_counter() - start
    calls, start = scorer._batcher.calls, time.perf_counter()
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(lambda t: scorer.score(t, job), shared))
    many = time.perf_counter() - start
    return {"ratio": round(one / many, 2), "one_at_a_time": round(one, 2),
            "at_once": round(many, 2), "passes": scorer._batcher.calls - calls, "n": n}


def main() -> None:
    """Command line."""
    from resume_contrastive.scorer import ContrastiveScorer
    from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", default="zero-shot", help="model folder, or 'zero-shot'")
    p.add_argument("--onnx", default="", help="model folder with graphs, for a second first score")
    p.add_argument("--runs", type=int, default=5, help="fresh processes for import and first score")
    p.add_argument("--resumes", type=int, default=30, help="new resumes of the latency figure")
    p.add_argument("--files", type=int, default=100, help="files of the folder")
    p.add_argument("--together", type=int, default=64, help="requests at once")
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    load = os.getloadavg()[0]
    job = (SAMPLE / "documents" / "job.txt").read_text(encoding="utf-8")
    parts: dict = {"import": fresh(IMPORT, args.runs),
             "first_score": fresh(FIRST, args.runs, args.model, texts(300, 1)[0], job)}
    if args.onnx:
        parts["first_score_onnx"] = fresh(FIRST, args.runs, args.onnx, texts(300, 1)[0], job)
    scorer = ContrastiveScorer(args.model).load()
    parts["new_resume"] = latency(scorer, job, args.resumes)
    parts["together"] = together(scorer, job, args.together)
    parts["folder"] = folder_to_page(args.model, args.files)
    a, b, c, d, e = (parts[k] for k in ("import", "first_score", "new_resume", "folder",
                                        "together"))
    figures = {
        "import of the scorer, s": {"value": f"{a['wall']} (best {a['best']}, CPU {a['cpu']})",
                                    "n": a["n"]},
        "first score, cold, s": {"value": f"{b['wall']} (best {b['best']}, CPU {b['cpu']})",
                                 "n": b["n"]},
        **({"first score, cold, ONNX, s": {
            "value": "{wall} (best {best}, CPU {cpu})".format(**parts["first_score_onnx"]),
            "n": parts["first_score_onnx"]["n"]}} if args.onnx else {}),
        "new 800-word resume, p50, s": {"value": f"{c['p50']} (best {c['best']}, CPU {c['cpu']})",
                                        "n": c["n"]},
        "new 800-word resume, p95, s": {"value": c["p95"], "n": c["n"]},
        f"folder of {d['n']} files to a page, s": {"value": f"{d['wall']} (CPU {d['cpu']})",
                                                   "n": 1},
        f"{e['n']} at once, times one at a time": {"value": f"{e['ratio']} ({e['passes']} passes)",
                                            "n": e["n"]}}
    record = {
        "figures": figures, "parts": parts, "settings": {k: str(v) for k, v in vars(args).items()
                                                         if k not in ("out", "onnx")},
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "data_sha256": hash_file(SAMPLE / "resumes.csv"), "code_sha256": code_hash(),
        "machine": machine(), "versions": versions("resume_contrastive", "torch", "transformers"),
    }
    for name, row in figures.items():
        print(f"{name}: {row['value']}")
    if args.out:
        write_json(args.out, record)


if __name__ == "__main__":
    main()
