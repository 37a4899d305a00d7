"""On real texts no edit touches a fact. Failures name ids and counts, never the text."""

import csv
import re
from collections import Counter

import pytest

from resume_contrastive.augmentation import FREE_TEXT, OPERATIONS, SYNONYMS, eda, synonym_table
from resume_contrastive.composer import read_profiles
from resume_contrastive.documents import read_table
from resume_contrastive.lexicon import default_lexicon
from resume_contrastive.requirements import education_level, evidence_of, years_shown

N = 300  # documents of each side
MONTHS = ("jan feb mar apr may jun jul aug sep oct nov dec january february march april june july "
          "august september october november december").split()
COUNTS = ("one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty "
          "forty fifty hundred hundreds thousand thousands million billion dozen dozens first "
          "second third half quarter quarterly double percent").split()
DEGREES = ("bachelor bachelor's bachelors master master's masters doctor doctorate phd ph.d mba "
           "degree degrees diploma associate associate's certificate certification certified "
           "license licensed licence college university school high ged graduate").split()


def words(text):
    """Words in lower case, in order."""
    return re.findall(r"[a-z][a-z'.]*[a-z]|[a-z]", text.lower().replace("’", "'"))


OPENERS = {w.split()[0] for w in SYNONYMS}  # a synonym may take these where they open a line


def names(text):
    """Capitalised words in order, without the words of the table, which may open a line."""
    return [t for t in text.split() if re.match(r"\W*[A-Z]", t)
            and t.strip(".,;:()").lower() not in OPENERS]


def long_names(text):
    """Names with a small word inside, such as 'Bank of America'."""
    found = re.findall(r"(?<= )(?=([A-Z]\S* (?:of|for|the|at|in|on) [A-Z]\S*))", text)
    return Counter(f for f in found if f.split()[0].lower() not in OPENERS)


def facts(document):
    """What an edit may not change, read without the code that protects it."""
    text = "\n".join(document.sections.values())
    return {
        "numbers and dates": re.findall(r"\S*\d\S*", text),
        "number words": Counter(w for w in words(text) if w in COUNTS),
        "months": Counter(w for w in words(text) if w in MONTHS),
        "degrees": Counter(w for w in words(text) if w in DEGREES),
        "education": [education_level(t) for t in document.sections.values()],
        "years": years_shown(document),
        "skills": Counter((e.skill, e.section, e.state) for e in evidence_of(document)),
        "skill spellings": Counter(  # one that wraps over a line end counts as a skill only
            t[a:b].lower() for t in document.sections.values()
            for _, a, b in default_lexicon().find(t) if "\n" not in t[a:b]),
        "names": names(text),
        "long names": long_names(text),
        "other sections": {k: v for k, v in document.sections.items()
                           if k not in FREE_TEXT[document.kind]},
    }


@pytest.fixture(scope="module")
def documents(real_data, tmp_path_factory):
    """300 resumes and 300 adverts, spread over the tables."""
    folder, found = tmp_path_factory.mktemp("real"), []
    csv.field_size_limit(1 << 30)
    for name, kind in (("Resume.csv", "resume"), ("training_data.csv", "job")):
        with (real_data / "kaggle" / name).open(encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        step = len(rows) // N
        with (folder / name).open("w", encoding="utf-8", newline="") as f:
            out = csv.DictWriter(f, fieldnames=list(rows[0]))
            out.writeheader()
            out.writerows(rows[::step][:N])
        found += read_table(folder / name, kind)[0]
    assert len(found) >= 2 * N - 5
    return found


@pytest.fixture(scope="module")
def table(real_data):
    """Resume verbs and O*NET's titles."""
    found = synonym_table(read_profiles(real_data / "onet"))
    assert len(found) > len(SYNONYMS) + 500
    return found


def test_no_edit_changes_a_fact(documents, table):
    changed, broken, edited = Counter(), [], Counter()
    for n, document in enumerate(documents):
        truth = facts(document)
        for rate in (0.1, 0.3):
            runs = [[name] for name in OPERATIONS] if n % 6 == 0 else [list(OPERATIONS)]
            for operations in runs:
                copy = eda(document, rate=rate, copy=n, operations=operations, synonyms=table)
                key = (document.kind, rate, "+".join(operations))
                edited[key] += 1
                changed[key] += copy.sections != document.sections
                got = facts(copy)
                # a deletion may bring two words together that make another long name, or
                # another spelling of the same skill; those that were there must stay
                low = "\n".join(copy.sections.values()).lower()
                gone = {"long names": truth["long names"] - got["long names"],
                        "skill spellings": [x for x, k in truth["skill spellings"].items()
                                            if low.count(x) < k]}
                broken += [(document.id, rate, "+".join(operations), what) for what in truth
                           if gone.get(what, got[what] != truth[what])]
    if broken:  # without a traceback, which would show the texts
        pytest.fail(f"{len(broken)} broken facts: {Counter(b[-1] for b in broken)}, such as "
                    f"{broken[:10]}", pytrace=False)
    share = {k: changed[k] / n for k, n in edited.items()}
    least = {kind: min(v for k, v in share.items() if k[0] == kind) for kind in ("resume", "job")}
    if least["resume"] < 0.8 or least["job"] < 0.15:  # many adverts have no free text of their own
        pytest.fail(f"too few copies differ from their originals: {least}", pytrace=False)
