"""Augmentation: facts stay, copies repeat, every generated text names its source."""

import os
import random
import re
import subprocess
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

from resume_contrastive.augmentation import (
    FREE_TEXT,
    HYRE,
    OPERATIONS,
    SYNONYMS,
    Profile,
    append_hyre,
    eda,
    edit_line,
    own_skills_pairs,
    protected_tokens,
    skill_phrases,
    synonym_table,
    title_groups,
    wordnet_groups,
)
from resume_contrastive.composer import compose_job, occupations, read_profiles
from resume_contrastive.documents import Document
from resume_contrastive.pairs import PAIR_COLUMNS
from resume_contrastive.requirements import skills_shown, years_shown
from resume_contrastive.splits import is_generated

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


@pytest.fixture(scope="module")
def profiles():
    return read_profiles(SAMPLE / "onet")


def facts(d):
    names = [w for line in d.text.split("\n") for w in line.lstrip("-o ").split(" ")[1:]
             if re.match(r"\W*[A-Z]", w)]
    return ({k: e.state for k, e in skills_shown(d).items()}, years_shown(d), names,
            re.findall(r"\S*\d\S*", d.text),
            {n: t for n, t in d.sections.items() if n not in FREE_TEXT[d.kind]})


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_facts_survive_on_the_sample(resumes, jobs, rate):
    docs = [*resumes[::20], *jobs[::15]]
    copies = [eda(d, rate=rate, copy=1) for d in docs]
    assert [facts(c) for c in copies] == [facts(d) for d in docs]
    assert sum(c.text != d.text for c, d in zip(copies, docs, strict=True)) > 0.8 * len(docs)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_protected_tokens_keep_their_order(resumes, operation):
    lines = [x for d in resumes[::10] for x in d.sections.get("experience", "").split("\n")]
    changed = 0
    for n, line in enumerate(lines):
        new = edit_line(line, random.Random(n), rate=0.5, operations=[operation], skills="SAP")
        keep = [[t for t, f in zip(*protected_tokens(x, "SAP"), strict=True) if f][1:]
                for x in (line, new)]
        if operation in ("swap", "delete"):
            rest = iter(new.split())
            assert all(any(t == x for x in rest) for t in keep[0]), (line, new)
        changed += new != line
        if operation == "swap":
            assert sorted(new.split()) == sorted(line.split())
        if operation == "delete":
            rest = iter(line.split())
            assert all(any(t == x for x in rest) for t in new.split())
        if operation == "replace" and new != line:
            assert abs(len(new.split()) - len(line.split())) <= 3 * len(line.split()) // 2
    assert changed > 20


@pytest.mark.parametrize("line", [
    "Short line of managed items",
    "I have no experience of payroll but handled various other monthly tasks well",
    "Worked for a team that managed various clients and handled all of their daily mail",
    "Store clerk and later manager of various things, 2010 to 2015, in different places",
])
def test_lines_that_are_left_alone(line):
    assert {edit_line(line, random.Random(s), rate=0.9) for s in range(30)} == {line}


@pytest.mark.parametrize(("line", "kept"), [
    ("was employed by the Bank of America and the University of Texas at Austin as a helper",
     "Bank of America University of Texas at Austin"),
    ("led two teams of five people and twelve others across half of the region", "two five"),
    ("holds an associate's degree from a high school and a vocational college nearby",
     "associate's degree high school vocational college"),
    ("spent about $ 3 million or 20 percent of what the whole department could use",
     "$ 3 million 20 percent"),
])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_names_numbers_and_degrees_in_words_stay(line, kept, operation):
    for seed in range(40):
        new = edit_line(line, random.Random(seed), rate=0.6, operations=[operation])
        rest = iter(new.split())
        assert all(any(word == w for w in rest) for word in kept.split()), new
        for name in re.findall(r"[A-Z]\w+ of [A-Z]\w+", line):
            assert name in new


def test_phrases_are_replaced_as_a_whole():
    line = "was responsible for the mail, dealt with visitors and carried out other small duties"
    new = {edit_line(line, random.Random(s), rate=0.4, operations=["replace"]) for s in range(60)}
    text = " ".join(new)
    assert "in charge of the mail" in text and "accountable for the mail" in text
    assert "handled visitors" in text and "processed visitors" in text and "performed other" in text
    assert not re.search(r"\b(?:in charge of for|responsible of)\b", text)
    opened = {edit_line("Responsible for all of the mail in the office", random.Random(s), rate=0.1,
                        operations=["replace"]) for s in range(20)}
    assert "In charge of all of the mail in the office" in opened


def test_titles_of_onet_are_synonyms_only_where_onet_says_so(profiles):
    listed = Profile(code="1", title="Analysts", alternate_titles=(
        "Ops Analyst (Operations Analyst)", "Risk Analyst", "Nurse (RN)", "Cook II (Line Cook)",
        "Senior Cook (Head Cook)", "Ops Analyst (Operations Analyst)", "Clerk (Typist)"))
    assert title_groups([listed]) == [("ops analyst", "operations analyst")]
    table = synonym_table([listed])
    assert table == {**SYNONYMS, "ops analyst": ("operations analyst",),
                     "operations analyst": ("ops analyst",)}
    line = "worked as an operations analyst at a bank that is rather small"
    new = {edit_line(line, random.Random(s), rate=0.1, operations=["replace"], synonyms=table)
           for s in range(9)}
    assert new == {line.replace("operations analyst", "ops analyst")}
    assert edit_line(line, random.Random(1), rate=0.1, operations=["replace"]) == line


def fake_wordnet(synsets):
    """An nltk whose WordNet holds (words, part of speech) and nothing else."""
    made = [types.SimpleNamespace(lemma_names=lambda ws=ws: ws, pos=lambda p=p: p)
            for ws, p in synsets]
    corpus = types.ModuleType("nltk.corpus")
    corpus.wordnet = types.SimpleNamespace(
        all_synsets=lambda pos: [s for s in made if s.pos() == pos],
        synsets=lambda word: [s for s in made if word in s.lemma_names()])
    return {"nltk": types.ModuleType("nltk"), "nltk.corpus": corpus}


def test_wordnet_gives_words_with_one_sense_and_only_when_asked(monkeypatch):
    for name, module in fake_wordnet([
            (["accurately", "precisely", "to_the_letter"], "r"), (["clear", "clean", "exact"], "a"),
            (["clear", "plain"], "a"), (["exact", "precise"], "a"), (["double", "twofold"], "a"),
            (["calmly", "serenely"], "r"), (["strong", "sturdy", "stout"], "a")]).items():
        monkeypatch.setitem(sys.modules, name, module)
    assert wordnet_groups() == [("stout", "strong", "sturdy"), ("accurately", "precisely"),
                                ("calmly", "serenely")]  # adjectives, then adverbs
    table = synonym_table(wordnet=True)
    assert table["accurately"] == ("precisely",) and table["strong"] == SYNONYMS["strong"]
    assert "accurately" not in synonym_table()


@pytest.mark.parametrize("broken", [None, "lookup"])
def test_wordnet_that_is_missing_is_a_sentence(monkeypatch, broken):
    if broken:
        def missing(pos):
            raise LookupError("Resource wordnet not found")
        modules = fake_wordnet([])
        modules["nltk.corpus"].wordnet.all_synsets = missing
    else:
        modules = {"nltk": None, "nltk.corpus": None}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(ValueError, match="wordnet=True needs nltk and its WordNet data"):
        synonym_table(wordnet=True)


def test_own_skills_of_the_document_are_protected():
    line = "handled customer mail and cooking of various dishes in a large kitchen"
    tokens, fixed = protected_tokens(line, skills="Cooking, dishes")
    assert {t for t, f in zip(tokens, fixed, strict=True) if f} >= {"cooking", "dishes"}
    edits = [edit_line(line, random.Random(s), rate=0.9, skills="Cooking, dishes").split()
             for s in range(50)]
    assert all("cooking" in e and "dishes" in e for e in edits)


WRAPPED = {  # a name or a number that runs over the end of a line, and the gap that must stay
    "a skill": ("built and kept various models of machine",
                "learning for some customers of the firm"),
    "an indented skill": ("built and kept various models of machine",
                          "      learning for some customers of the firm"),
    "an employer": ("handled the daily mail of some customers at the Bank",
                    "of Umberline and the reports of various others there"),
    "a number": ("handled the daily mail of some customers and about",
                 "200 reports of various others in the same house"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_wrapped_over_the_end_of_a_line_is_protected(name):
    lines = WRAPPED[name]
    end, start = lines[0].split()[-1], lines[1].split()[0]
    document = Document(id="w", kind="resume", sections={"experience": "\n".join(lines)})
    changed = 0
    for seed in range(60):
        text = eda(document, rate=0.9, seed=seed).sections["experience"]
        changed += text != document.sections["experience"]
        assert f"{end} {start}" in " ".join(text.split()), text
    assert changed > 50


def test_copies_repeat_and_differ_by_seed_and_number(resumes):
    d = resumes[0]
    assert eda(d, seed=1, copy=2) == eda(d, seed=1, copy=2)
    assert len({eda(d, seed=s, copy=c).text for s in (1, 2) for c in (0, 1)}) == 4
    c = eda(d, copy=3)
    assert (c.id, c.source, c.category) == (f"{d.id}~eda3", f"eda:{d.id}", d.category)
    assert is_generated(c)
    assert eda(d, rate=0).sections == d.sections


def test_copies_are_the_same_in_every_process():
    code = ("from resume_contrastive.augmentation import eda\n"
            "from resume_contrastive.documents import Document\n"
            "d = Document(id='a', kind='resume', sections={'experience': "
            "'Managed the mail of various clients and handled other daily tasks'})\n"
            "print(eda(d, rate=0.4).text)")
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONHASHSEED": s}).stdout for s in "12"}
    assert len(runs) == 1


def test_bad_arguments_are_a_sentence(resumes):
    with pytest.raises(ValueError, match=r"rate must be between 0 and 1, got 1\.5"):
        eda(resumes[0], rate=1.5)
    with pytest.raises(ValueError, match="no such operation: mix"):
        eda(resumes[0], operations=["mix"])
    with pytest.raises(ValueError, match="none given"):
        eda(resumes[0], operations=[])


def test_synonyms_are_mutual():
    assert all(word in SYNONYMS[other] for word, others in SYNONYMS.items() for other in others)


def test_profiles_and_the_jobs_written_from_them(profiles, resumes, tmp_path):
    for p in profiles:
        job = compose_job(p, category="X")
        assert job == compose_job(p, category="X") and job.category == "X"
        assert job.source == f"profile:{p.code}" and is_generated(job)
        assert {x[2:] for x in job.sections["responsibilities"].split("\n")} <= set(p.tasks)
        named = [x for x in p.technologies if f"Working knowledge of {x}" in job.text]
        assert 1 <= len(named) <= 8
    chosen = occupations(resumes, profiles, most=1)
    assert set(chosen) == {d.category for d in resumes}
    assert chosen["CHEF"][0].title.startswith("Chefs") and "Nurse" in chosen["HEALTHCARE"][0].title
    assert occupations(resumes[::-1], profiles, most=1) == chosen
    assert chosen["CHEF"][0].alternate_titles[0] in next(
        p for p in profiles if p.code == chosen["CHEF"][0].code).alternate_titles
    nurses = [d for d in resumes if d.category == "HEALTHCARE"]
    assert "Nurse" in occupations(nurses, profiles)["HEALTHCARE"][0].title
    stranger = Document(id="x", kind="resume", title="Zzz", category="X")
    assert occupations([stranger], profiles) == {"X": []}
    with pytest.raises(ValueError, match=r"holds no alternate_titles\.csv"):
        read_profiles(tmp_path)
    (tmp_path / "alternate_titles.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column 'O\\*NET-SOC Code'"):
        read_profiles(tmp_path)
    with pytest.raises(ValueError, match="lists no task"):
        compose_job(Profile(code="1", title="Nobody"))


def test_a_title_that_nothing_in_the_resumes_names_does_not_win():
    """'Solar Sales Representatives' list 'Sales Consultant', and no resume speaks of the sun."""
    sell = "Sell goods to customers, take orders, visit customers and close sales."
    solar = Profile(code="1", title="Solar Sales Representatives", tasks=(f"{sell} Solar panels.",),
                    alternate_titles=("Sales Consultant",))
    plain = Profile(code="2", title="Sales Representatives", tasks=(sell,))
    cook = Profile(code="3", title="Cooks", tasks=("Cook meals and soups.",))
    people = [Document(id=str(n), kind="resume", title="Sales Consultant", category="SALES",
                       sections={"summary": f"Sales representative. {sell}"}) for n in range(5)]
    cooks = [Document(id=f"c{n}", kind="resume", title="Cook", category="CHEF",
                      sections={"summary": "Cook of meals and soups."}) for n in range(5)]
    chosen = occupations([*people, *cooks], [solar, plain, cook])
    assert chosen["SALES"][0].title == "Sales Representatives"
    assert [p.title for p in chosen["CHEF"]] == ["Cooks"]


@pytest.mark.parametrize(("text", "phrases"), [
    ("a b, c d; e f | g h", ["a b", "c d", "e f", "g h"]),
    ("• Welding\n• Pipe fitting\n\n* Blueprint reading",
     ["Welding", "Pipe fitting", "Blueprint reading"]),
    ("Languages: Python, R, C\nTools: Git", ["Python", "R", "C", "Git"]),
    ("Office (Word, Excel), SAP", ["Office (Word, Excel)", "SAP"]),
    ("cash handling, customer\nservice, sales, stock, tax", ["cash handling", "customer service",
                                                            "sales", "stock", "tax"]),
    ("No knowledge of SAP\nEager to learn Oracle\nExcel", ["Excel"]),
    ("SAP, sap, Sap", ["SAP"]),
    ("This is a whole sentence about many things that nobody would call a skill", []),
    ("", []), ("- \n...\n2019", []),
])
def test_skill_phrases(text, phrases):
    assert skill_phrases(text) == phrases


def test_own_skills_pairs(resumes):
    queries, documents, pairs = own_skills_pairs(resumes, draws=3, phrases=(3, 8))
    assert list(pairs.columns) == list(PAIR_COLUMNS) and (pairs.kind == "own-skills").all()
    assert set(pairs.resume_id) == {d.id for d in documents}
    assert list(pairs.job_id) == [q.id for q in queries]
    assert len(set(pairs.job_id)) == len(pairs) and len(documents) > 0.9 * len(resumes)
    base = {d.id: d for d in resumes}
    for r, q in zip(pairs.resume_id, queries, strict=True):
        id = r.removesuffix("-without:skills")
        assert q.source == f"own-skills:{id}" and not is_generated(q)
        listed = skill_phrases(base[id].sections["skills"])
        drawn = q.sections["requirements"]
        assert sum(p in drawn for p in listed) >= 3
    assert all("skills" not in d.sections for d in documents)
    assert own_skills_pairs(resumes, seed=1)[0] != queries
    some = {q.id: q for q in own_skills_pairs(resumes[::-2])[0]}
    assert all(some[q.id] == q for q in queries if q.id in some)


def test_resumes_without_enough_to_go_on_give_none():
    text = "word " * 60
    docs = [Document(id="a", kind="resume", sections={"experience": text}),
            Document(id="b", kind="resume", sections={"experience": text, "skills": "x1y, z"}),
            Document(id="c", kind="resume",
                     sections={"experience": "few", "skills": "p, q r, s t"})]
    queries, documents, pairs = own_skills_pairs(docs)
    assert queries == documents == [] and isinstance(pairs, pd.DataFrame) and pairs.empty
    with pytest.raises(ValueError, match="fewest <= most"):
        own_skills_pairs(docs, phrases=(4, 3))


def test_append_hyre(jobs, resumes):
    job = append_hyre(jobs[0], " A person. ")
    assert job.text.endswith(f"{HYRE}A person.") and job.id == jobs[0].id
    assert job.source == jobs[0].source + "+hyre"
    assert append_hyre(job, "again") == job
    assert append_hyre(jobs[0], "  ") == append_hyre(jobs[0], None) == jobs[0]
    for section in jobs[0].sections:
        assert section == "other" or job.sections[section] == jobs[0].sections[section]
    with pytest.raises(ValueError, match="belongs to a job"):
        append_hyre(resumes[0], "text")
