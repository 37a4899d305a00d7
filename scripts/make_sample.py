"""Write the synthetic sample corpus to data/sample.

    python scripts/make_sample.py            write data/sample
    python scripts/make_sample.py --check    exit 1 where data/sample differs from the generator

Standard library only. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import sample_files as files
from sample_jobs import AdvertWriter, Job, grade, plan_job
from sample_resumes import Facts, Resume, Writer, plan_facts, render_text
from sample_text import Role, load_roles

SEED = 20250501
RESUMES_A_ROLE = 26
JOBS_A_ROLE = 14
WITHOUT_JOBS = "DESIGNER"
ID_BASE = 10_000_000
MATCH_FIT = 0.75
MAX_WORDS = 890
OTHERS_A_JOB = 12
OUT = Path(__file__).parent.parent / "data" / "sample"
KINDS = ("strong", "weak", "strong", "weak", "strong", "weak", "early", "weak", "strong")
RANKING_CVS = 12
RANKING_JOBS = 5
SECOND_ANNOTATOR = 8
SIDE_KEYS = ("skill", "competenc", "highlights", "qualifications", "language")


def rng_for(*parts: object) -> Random:
    """A generator of its own for each document, so that one edit moves few bytes."""
    return Random(f"{SEED}:" + ":".join(map(str, parts)))


# ---------------------------------------------------------------- corpus


def target_words(rng: Random) -> int:
    """Length to aim at: 200 to 860 words with a wide spread."""
    return int(200 + 660 * rng.betavariate(1.2, 1.5))


def make_facts(role: Role) -> list[Facts]:
    """The people of a role, shared out over its tracks."""
    tracks, facts = list(role.tracks), []
    for index in range(RESUMES_A_ROLE):
        track = tracks[index % len(tracks)]
        kind = KINDS[(index // len(tracks)) % len(KINDS)]
        facts.append(plan_facts(role, kind, track, rng_for(role.category, "facts", index)))
    return facts


def make_resumes(roles: dict[str, Role]) -> list[Resume]:
    """All resumes, grouped by category as in the public resume set."""
    resumes: list[Resume] = []
    for role in roles.values():
        facts = make_facts(role)
        rng_for(role.category, "order").shuffle(facts)
        for fact in facts:
            resumes.append(make_resume(role, fact, len(resumes) + 1))
    return resumes


def make_resume(role: Role, facts: Facts, number: int) -> Resume:
    """One resume of at most MAX_WORDS words."""
    for attempt in range(20):
        rng = rng_for("resume", number, attempt)
        resume = Writer(role, facts, number, rng).write(target_words(rng))
        contact, defects = rng.random() < 0.5, rng.random() < 0.2
        resume.text = render_text(resume, rng, contact, defects)
        if len(resume.text.split()) <= MAX_WORDS:
            return resume
    raise RuntimeError(f"resume {number} stays above {MAX_WORDS} words")


def make_jobs(roles: dict[str, Role], resumes: list[Resume]) -> list[Job]:
    """Jobs that at least two resumes fit, then repeats and titles gone missing."""
    jobs: list[Job] = []
    for role in roles.values():
        if role.category == WITHOUT_JOBS:
            continue
        people = [r.facts for r in resumes if r.category == role.category]
        tracks = list(role.tracks)
        for index in range(JOBS_A_ROLE):
            number = len(jobs) + 1
            rng = rng_for("job", number)
            jobs.append(feasible_job(role, tracks[index % len(tracks)], number, people, rng))
            AdvertWriter(role, jobs[-1], rng).write()
    return [*jobs, *repeats(jobs)]


def feasible_job(role: Role, track: str, number: int, people: list[Facts], rng: Random) -> Job:
    """Draw jobs until at least two people match and three of the role fall short."""
    for _ in range(400):
        job = plan_job(role, track, number, rng)
        matched = sum(is_match(*grade(job, person)) for person in people)
        if matched >= 2 and len(people) - matched >= 3:
            return job
    raise RuntimeError(f"no feasible job for {role.category}, {track}")


def is_match(fit: float, years_met: bool) -> bool:
    """Whether a person of the right role counts as matched."""
    return fit >= MATCH_FIT and years_met


def repeats(jobs: list[Job]) -> list[Job]:
    """Two exact and three near duplicates; two originals lose their title."""
    rng, copies = rng_for("repeats"), []
    for index, source in enumerate(rng.sample(jobs, 5)):
        copy = Job(**vars(source) | {"number": len(jobs) + index + 1})
        if index >= 2:
            copy.company = "Meadowgate Partners"
            copy.text = source.text + "\nThis post is advertised for a client."
        copies.append(copy)
    for job in rng.sample([j for j in jobs if not any(c.text == j.text for c in copies)], 2):
        job.title = ""
    return copies


# ---------------------------------------------------------------- tables


def csv_text(header: list[str], rows: list[list], newline: str = "\n") -> str:
    """Rows as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=newline)
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def resumes_csv(resumes: list[Resume]) -> str:
    """ID, Resume_str, Category."""
    rows = [[ID_BASE + r.number, r.text, r.category] for r in resumes]
    return csv_text(["ID", "Resume_str", "Category"], rows)


def jobs_csv(jobs: list[Job]) -> str:
    """The columns of the public advert table and a job_id."""
    header = ["job_id", "company_name", "position_title", "job_description"]
    rows = [[j.id, j.company, j.title, j.text, len(j.text), j.source] for j in jobs]
    return csv_text([*header, "description_length", "source"], rows)


def label_rows(roles: dict[str, Role], resumes: list[Resume], jobs: list[Job]) -> list[list]:
    """All pairs of the same and of a near role, and a sample of the others."""
    rows = []
    for job in jobs:
        others = [r for r in resumes if relation(roles, r, job) == 0.0]
        kept = {r.number for r in rng_for("others", job.number).sample(others, OTHERS_A_JOB)}
        for resume in resumes:
            role = relation(roles, resume, job)
            if not role and resume.number not in kept:
                continue
            rows.append([ID_BASE + resume.number, job.id, *label(role, job, resume)])
    return rows


def relation(roles: dict[str, Role], resume: Resume, job: Job) -> float:
    """1 the same role, .5 a near role, 0 another."""
    if resume.category == job.category:
        return 1.0
    return 0.5 if roles[job.category].near == resume.category else 0.0


def label(role: float, job: Job, resume: Resume) -> list:
    """Label, role and fit of one pair."""
    if not role:
        return [0, 0.0, 0.0]
    fit, years_met = grade(job, resume.facts)
    if role < 1:
        return [1, role, round(fit, 3)]
    return [3 if is_match(fit, years_met) else 2, role, round(fit, 3)]


# ---------------------------------------------------------------- documents


def blocks_of(resume: Resume) -> tuple[list[files.Block], list[files.Block]]:
    """The main column and the side bar of a resume file."""
    main = [("name", resume.name), ("contact", resume.contact), ("line", resume.title)]
    side: list[files.Block] = []
    for heading, lines in resume.sections:
        column = side if any(key in heading.lower() for key in SIDE_KEYS) else main
        column += [("heading", heading), *lines]
    return main, side


def choose_documents(resumes: list[Resume], jobs: list[Job], job: Job) -> list[Resume]:
    """Twelve resumes for one job: four matched, four near-misses, four of other roles."""
    same = [r for r in resumes if r.category == job.category]
    good = [r for r in same if is_match(*grade(job, r.facts))][:4]
    poor = [r for r in same if not is_match(*grade(job, r.facts))][: 8 - len(good)]
    others = [r for r in resumes if r.category != job.category]
    extra = rng_for("documents").sample(others, 12 - len(good) - len(poor))
    return sorted([*good, *poor, *extra], key=lambda r: r.number)


def document_files(resumes: list[Resume], jobs: list[Job]) -> dict[str, bytes]:
    """Resume files in three PDF and three DOCX layouts, and one advert."""
    job = next(j for j in jobs if j.category == "INFORMATION-TECHNOLOGY" and j.title)
    out: dict[str, bytes] = {}
    for index, resume in enumerate(choose_documents(resumes, jobs, job)):
        main, side = blocks_of(resume)
        footer = f"{resume.name} - resume"
        stem = f"documents/resume-{resume.number:03d}"
        out[f"{stem}.pdf"] = files.PDF_LAYOUTS[index % 3](main, side, footer)
        out[f"{stem}.docx"] = files.DOCX_LAYOUTS[(index + 1) % 3](main, side, footer)
    text = f"{job.title}\n{job.company}\n\n{job.text}\n"
    out["documents/job.txt"] = text.encode()
    lines = [line for line in text.split("\n") if line]
    body = "".join(files.paragraph("line", line) for line in lines)
    out["documents/job.docx"] = files.docx_bytes(body)
    out["documents/JOB_ID"] = f"{job.id}\n".encode()
    return out


# ---------------------------------------------------------------- rankings


def ranking_files(roles: dict[str, Role]) -> dict[str, bytes]:
    """Five vacancies, CVs and two annotators' rankings with the defects of such files."""
    role = roles["INFORMATION-TECHNOLOGY"]
    tracks, out = list(role.tracks), {}
    people = []
    for index in range(RANKING_CVS):
        rng = rng_for("ranking cv", index)
        facts = plan_facts(role, KINDS[index % 8], tracks[index % 3], rng)
        resume = Writer(role, facts, 900 + index, rng).write(target_words(rng))
        people.append(facts)
        main, side = blocks_of(resume)
        masked = [b for b in main if b[0] != "contact"]
        masked[0] = ("line", "*" * 16)
        layout = files.DOCX_LAYOUTS[index % 3]
        out[f"rankings/CV/{index + 1}.docx"] = layout(masked, side, "CV")
    jobs = []
    for index in range(RANKING_JOBS):
        rng = rng_for("ranking job", index)
        jobs.append(plan_job(role, tracks[index % 3], 500 + index, rng))
        AdvertWriter(role, jobs[-1], rng).write()
    out["rankings/5_vacancies.csv"] = vacancies_csv(jobs).encode()
    name = "rankings/annotations-for-the-first-30-vacancies.txt"
    out[name] = annotations(people, jobs).encode()
    return out


def vacancies_csv(jobs: list[Job]) -> str:
    """id, job_description, job_title, uid, with ids that leave gaps."""
    rows = []
    for job, number in zip(jobs, (4, 19, 73, 158, 402), strict=True):
        flat = " ".join(job.text.split())
        uid = hashlib.sha256(flat.encode()).hexdigest()[:32]
        rows.append([number, flat, job.title, uid])
    return csv_text(["id", "job_description", "job_title", "uid"], rows, "\r\n")


def annotations(people: list[Facts], jobs: list[Job]) -> str:
    """The annotators' arrays: one row is no permutation, the second annotator stops early."""
    first = [noisy_order(p, jobs, rng_for("first", i), 0.15) for i, p in enumerate(people)]
    second = [noisy_order(p, jobs, rng_for("second", i), 0.4) for i, p in enumerate(people)]
    first[6][3] = first[6][1]
    head = (
        f"Invented rankings of {RANKING_JOBS} vacancies (file \"5_vacancies.csv\") for the first "
        f"{RANKING_CVS} CVs (files 1-{RANKING_CVS}),\nwritten by a program with noise, in the "
        "form of a public annotation file and with its defects.\n\n"
        "For every CV the vacancies 1-5 are listed from the best (place 1) to the worst "
        f"(place 5).\nThere are {RANKING_CVS} arrays of 5 ranks for each of the two annotators.\n\n"
    )  # fmt: skip
    body = array_text("ANNOTATOR_1_RANKINGS=", first) + "\n"
    body += array_text("ANNOTATOR_2_RANKINGS= ", second[:SECOND_ANNOTATOR]) + "\n"
    return (head + body).replace("\n", "\r\n")


def noisy_order(person: Facts, jobs: list[Job], rng: Random, noise: float) -> list[int]:
    """Vacancies 1 to 5 from the best to the worst fit, with noise."""
    scores = [grade(job, person)[0] + rng.gauss(0, noise) for job in jobs]
    return [i + 1 for i in sorted(range(len(jobs)), key=lambda i: -scores[i])]


def array_text(name: str, rows: list[list[int]]) -> str:
    """Rows as a Python-like list of lists with comments, five rows a line."""
    lines = []
    for start in range(0, len(rows), 5):
        part = rows[start : start + 5]
        arrays = ",".join("[" + ",".join(map(str, row)) + "]" for row in part)
        is_last = start + 5 >= len(rows)
        end = start + 3 if is_last else start + len(part)  # the last comment is wrong
        lines.append(f"{arrays}{']' if is_last else ','} #{start + 1}-{end}")
    return f"{name}[" + "\n       ".join(lines) + "\n"


# ---------------------------------------------------------------- occupations


def onet_files(roles: dict[str, Role]) -> dict[str, bytes]:
    """Occupation tables in O*NET's columns, in our own words."""
    code = "O*NET-SOC Code"
    rows: dict[str, list[list[str]]] = {"o": [], "a": [], "t": [], "s": []}
    for r in roles.values():
        key = [r.soc, r.occupation]
        rows["o"].append([*key, r.description])
        rows["a"] += [[*key, title] for title in r.alternates]
        rows["t"] += [
            [*key, task, "Core" if i < 6 else "Supplemental"]
            for i, task in enumerate(r.lists["tasks"])
        ]
        rows["s"] += [[*key, *item] for item in r.tech]
    tech = [code, "Title", "Example", "Commodity Title", "Hot Technology"]
    tables = {
        "occupations": csv_text([code, "Title", "Description"], rows["o"]),
        "alternate_titles": csv_text([code, "Title", "Alternate Title"], rows["a"]),
        "tasks": csv_text([code, "Title", "Task", "Task Type"], rows["t"]),
        "technology_skills": csv_text(tech, rows["s"]),
    }
    return {f"onet/{name}.csv": text.encode() for name, text in tables.items()}


# ---------------------------------------------------------------- the folder


def build() -> dict[str, bytes]:
    """Every file of the corpus by its path inside the folder."""
    roles = load_roles()
    resumes = make_resumes(roles)
    jobs = make_jobs(roles, resumes)
    labels = label_rows(roles, resumes, jobs)
    out = {
        "resumes.csv": resumes_csv(resumes).encode(),
        "jobs.csv": jobs_csv(jobs).encode(),
        "labels.csv": csv_text(["resume_id", "job_id", "label", "role", "fit"], labels).encode(),
    }
    documents = document_files(resumes, jobs)
    job_id = documents.pop("documents/JOB_ID").decode().strip()
    out |= documents | ranking_files(roles) | onet_files(roles)
    counts = {
        "resumes": len(resumes), "jobs": len(jobs), "categories": len(roles),
        "labels": {str(k): n for k, n in sorted(Counter(r[2] for r in labels).items())},
        "documents": len(documents), "ranking_cvs": RANKING_CVS, "vacancies": RANKING_JOBS,
    }  # fmt: skip
    manifest = {
        "seed": SEED, "now": "2025-05", "counts": counts, "job_file": job_id,
        "category_without_jobs": WITHOUT_JOBS,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(out.items())},
    }  # fmt: skip
    out["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    return out


def corpus_hash(out: dict[str, bytes]) -> str:
    """One hash over the hashes of all files."""
    lines = [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(out.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder by their relative path."""
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def write(out: dict[str, bytes], folder: Path) -> None:
    """Write the files that changed; report nothing else in the folder as ours."""
    for name, data in out.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
    for name in sorted(set(read_folder(folder)) - set(out)):
        print(f"not written by the generator: {folder / name}")


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the corpus")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    args = parser.parse_args(argv)
    out = build()
    if args.check:
        found = read_folder(args.out) if args.out.is_dir() else {}
        names = sorted(n for n in {*out, *found} if out.get(n) != found.get(n))
        for name in names:
            print(f"differs: {name}")
        return 1 if names else 0
    write(out, args.out)
    print(f"{args.out}: {len(out)} files, sha256 {corpus_hash(out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
