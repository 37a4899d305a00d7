"""Sections: headings in every spelling, nothing invented, cues only where no heading has spoken."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.cleaning import repair_text
from resume_contrastive.sections import (
    HEADINGS,
    KINDS,
    SECTIONS,
    cue_of,
    heading_of,
    section_blocks,
    split_sections,
)

LOOSE = settings(deadline=None, max_examples=150)


def letters(text):
    return Counter(re.findall(r"\w", text))


@pytest.mark.parametrize("kind", KINDS)
def test_every_phrase_of_the_table_opens_its_section_in_any_case(kind):
    for phrase, section in HEADINGS[kind].items():
        assert section in SECTIONS[kind], phrase
        for spelling in (phrase.title(), phrase.upper() + ":", f"- {phrase.capitalize()} __"):
            found = heading_of(spelling, kind)
            assert found and found[0] == section, spelling


@pytest.mark.parametrize(
    ("line", "section"),
    [
        ("E X P E R I E N C E", "experience"),
        ("W O R K   H I S T O R Y", "experience"),
        ("PROFESSIONAL EXPERIENCE (continued)", "experience"),
        ("Skills & Abilities", "skills"),
        ("=== Areas of Expertise ===", "skills"),
        ("3. Education", "education"),
        ("Professional Affiliations:", "affiliations"),
        ("Publications / Presentations", "publications"),
    ],
)
def test_headings_in_other_spellings(line, section):
    assert heading_of(line, "resume")[0] == section
    assert split_sections(f"Cooks.\n{line}\nRye and wheat.", "resume") == {
        "summary": "Cooks.", section: "Rye and wheat."
    }  # fmt: skip


@pytest.mark.parametrize(
    "line", ["skills.", "experience.", "Experienced in sales", "Training and Development", "Sales"]
)
def test_lines_that_are_no_heading(line):
    text = f"Experience\nA long wrapped line that speaks of very many different\n{line}\nmore"
    assert list(split_sections(text, "resume")) == ["experience"]


def test_the_end_of_a_wrapped_sentence_is_no_heading():
    text = "Experience\nLed a team of nine that had to work on its technical\nskills\nand won."
    assert list(split_sections(text, "resume")) == ["experience"]


@pytest.mark.parametrize("weak", ["Leadership", "Training", "Software", "Research"])
def test_a_weak_phrase_has_to_stand_out(weak):
    listed = f"Skills\nBaking\n{weak}\nCooking\nKneading"
    assert list(split_sections(listed, "resume")) == ["skills"]
    shown = f"Education\nBakers' School\n\n{weak.upper()}\nTwo years of it"
    assert len(section_blocks(shown, "resume")) == 2


def test_labels_inside_a_post_stay_there_and_programming_languages_are_skills():
    post = "Experience\nDeveloper\nTools: Git\nLanguages: Java, C++\nKey Achievements: many"
    assert list(split_sections(post, "resume")) == ["experience"]
    assert split_sections("Languages\nJava, Python", "resume") == {"skills": "Java, Python"}
    assert split_sections("Languages\nJapanese", "resume") == {"languages": "Japanese"}


def test_experience_goes_on_below_awards_where_the_next_post_begins():
    text = ("Experience\nBaker\nCompany Name\nAccomplishments\nBest loaf\n"
            "Cook 01/2010 to 02/2012 Company Name City , State\nCooked.")  # fmt: skip
    assert [b.how for b in section_blocks(text, "resume")] == ["line", "line", "entry"]
    assert "Cooked." in split_sections(text, "resume")["experience"]


@pytest.mark.parametrize(
    ("text", "section", "body"),
    [
        ("We bake.ResponsibilitiesKnead dough", "responsibilities", "Knead dough"),
        ("We bake. What You'll Need: arms", "requirements", "arms"),
        ("We bake. PREFERRED QUALIFICATIONS - rye", "preferred", "rye"),
        ("We bake.\nNice to have:\nrye", "preferred", "rye"),
        ("We bake.\nWhat we offer you\nbread", "benefits", "bread"),
        ("We bake.\nHow To Apply\nby post", "other", "by post"),
    ],
)
def test_headings_of_adverts_on_and_inside_lines(text, section, body):
    sections = split_sections(text, "job")
    assert sections == {"about": "We bake.", section: body}


@pytest.mark.parametrize(
    ("sentence", "section"),
    [
        ("You will be responsible for the oven.", "responsibilities"),
        ("The post holder will knead dough.", "responsibilities"),
        ("Manage the daily bread.", "responsibilities"),
        ("You must have strong arms.", "requirements"),
        ("We are looking for a baker.", "requirements"),
        ("Previous experience of rye is essential.", "requirements"),
        ("Experience of rye would be an advantage.", "preferred"),
        ("A van is desirable.", "preferred"),
        ("We offer you a competitive salary.", "benefits"),
        ("You will receive free bread.", "benefits"),
        ("The closing date is Friday.", "other"),
        ("To apply, write to us.", "other"),
        ("We have a proven track record of good bread.", None),
        ("Apply those skills daily.", None),
        ("You will have the opportunity to see the oven.", None),
        ("Our bakery stands by the river.", None),
    ],
)
def test_cues_of_sentences(sentence, section):
    assert cue_of(sentence) == section


def test_cues_do_not_touch_what_a_heading_has_claimed():
    text = "Requirements\nYou will be happy here. We offer bread."
    assert list(split_sections(text, "job")) == ["requirements"]
    plain = "You must have arms. We offer you a competitive salary."
    assert split_sections(plain, "job", cues=False) == {"about": plain}


def test_what_follows_the_value_of_a_label_is_read_on_its_own():
    text = "Location: Harrow. You must have arms. Closing date: Friday. We bake."
    assert split_sections(text, "job") == {
        "other": "Harrow.\nFriday.", "requirements": "You must have arms.", "about": "We bake."
    }  # fmt: skip


PIECES = st.lists(
    st.sampled_from(
        ["Skills", "EDUCATION:", "Leadership", "We offer: bread", "You must bake.", "", "-", "- a",
         "We bake. You will knead; and roll. Rye is a plus", "SkillsCook", "Languages", "Java",
         "Baker 01/2010 to 02/2012", "Company Name", "Requirements: x", "team.ResponsibilitiesBake",
         "The ideal person must have:", "Location: Harrow. Good.", "•", "a: b", "Experience " * 60]
    ),
    max_size=9,
).map("\n".join)  # fmt: skip


@LOOSE
@given(PIECES, st.sampled_from(KINDS))
def test_nothing_is_invented_and_no_block_is_empty(text, kind):
    text = repair_text(text)[0]
    blocks = section_blocks(text, kind)
    kept = letters(" ".join(x for b in blocks for x in b.lines))
    assert not kept - letters(text)
    assert all(b.section in SECTIONS[kind] and any(b.lines) for b in blocks)
    assert split_sections(text, kind) == split_sections(text, kind)


@LOOSE
@given(PIECES)
def test_cues_move_words_and_lose_none(text):
    text = repair_text(text)[0]
    a, b = (letters(" ".join(split_sections(text, "job", cues=c).values())) for c in (True, False))
    assert a == b


@pytest.mark.skipif("RESUME_CONTRASTIVE_DATA" not in os.environ, reason="needs the real data")
def test_real_resumes_have_three_sections():
    import pandas as pd

    path = Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle/Resume.csv"
    texts = pd.read_csv(path, nrows=400)["Resume_str"].sample(150, random_state=0)
    found = [split_sections(repair_text(t)[0].split("\n", 1)[-1], "resume") for t in texts]
    assert sum(len(s) >= 3 for s in found) / len(found) >= 0.95
    assert sum("experience" in s for s in found) / len(found) > 0.95
