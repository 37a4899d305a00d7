"""Denied words and entities with their places, on the installed package."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.documents import Document
from resume_contrastive.evidence import (
    affirmed,
    contact_evidence,
    denied_spans,
    education_evidence,
    rule_entities,
    years_evidence,
)
from resume_contrastive.requirements import evidence_of, years_required, years_shown


def resume(title="", **sections):
    return Document(id="r", kind="resume", title=title, sections=sections)


def job(**sections):
    return Document(id="j", kind="job", sections=sections)


def denied(doc):
    parts = {"title": doc.title, **doc.sections}
    return [parts[n][a:b] for n, spans in denied_spans(doc).items() for a, b in spans]


@pytest.mark.parametrize(("text", "words"), [
    ("no experience with Java", ["experience", "with", "Java"]),
    ("no experience with Java, Python daily", ["experience", "with", "Java", "Python"]),
    ("no experience with Java, but Python daily", ["experience", "with", "Java"]),
    ("no experience with welding, managed a team", ["experience", "with", "welding"]),
    ("no experience with welding. Java daily", ["experience", "with", "welding"]),
    ("Java daily without supervision", ["supervision"]),
    ("not only Java", []),
    ("not limited to Java", []),
    ("no less than Java", []),
    ("haven't used Kafka", ["used", "Kafka"]),
    ("Kafka: none", ["Kafka"]),
    ("Java, Kafka and payroll", []),
])
def test_denied_words(text, words):
    assert denied(resume(skills=text)) == words


@pytest.mark.parametrize(("text", "words"), [
    ("No degree required, but Java is essential", ["degree"]),
    ("Degree not required; Java essential", ["Degree"]),
    ("A degree is not essential", []),  # it is wanted, only not required
])
def test_denied_words_of_an_advert(text, words):
    assert denied(job(requirements=text)) == words


def test_blanking_keeps_offsets_titles_and_clean_documents():
    doc = resume("No cook", summary="Never used Kafka İ. Docker", skills="Docker")
    clean = affirmed(doc)
    assert clean.title == "No     "
    assert {n: len(t) for n, t in clean.sections.items()} == {
        n: len(t) for n, t in doc.sections.items()}
    assert clean.sections["skills"] is doc.sections["skills"]
    assert affirmed(clean) == clean
    plain = resume(skills="Docker")
    assert affirmed(plain) is plain


WORDS = st.sampled_from("no not without never Java Kafka payroll experience with used but and , "
                        ". ; worked the team (not required)".split())


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=14))
def test_denied_skills_are_blanked_and_shown_ones_stay(words):
    doc = resume(summary=" ".join(words))
    before = evidence_of(doc)
    text = affirmed(doc).sections["summary"]
    assert len(text) == len(doc.sections["summary"])
    for e in before:
        kept = text[e.start:e.end].strip()
        assert kept == ("" if e.state == "negated" else e.skill if e.skill != "Payroll" else
                        doc.sections["summary"][e.start:e.end])


def test_contacts_have_places_and_no_text():
    doc = resume(summary="Ana Bello\nana@example.com | (555) 555-0137 | linkedin.com/in/ana-bello",
                 experience="Cook at a hotel")
    found = contact_evidence(doc)
    assert [(e.kind, doc.sections[e.section][e.start:e.end], e.name) for e in found] == [
        ("Name", "Ana Bello", ""), ("Email Address", "ana@example.com", ""),
        ("Phone", "(555) 555-0137", ""), ("Links", "linkedin.com/in/ana-bello", "")]


@pytest.mark.parametrize(("sections", "years", "places"), [
    (dict(experience="Cook 01/2000 to 12/2001. Chef, Jan 2002 - Dec 2003"), 4,
     ["01/2000 to 12/2001", "Jan 2002 - Dec 2003"]),
    (dict(summary="Over 7 years of experience as a cook"), 7, ["7 years of experience"]),
    (dict(experience="A cook", other="Hotel, 2000 to 2001"), 13 / 12, ["2000 to 2001"]),
    (dict(education="2001 to 2005"), 0, []),
    (dict(skills="Baking"), 0, []),
])
def test_years_of_a_resume(sections, years, places):
    doc = resume(**sections)
    found = years_evidence(doc)
    assert math.isclose(found.value, years) and found.value == years_shown(doc)
    assert [doc.sections[p.section][p.start:p.end] for p in found.places] == places


@pytest.mark.parametrize(("sections", "years", "places"), [
    (dict(requirements="3+ years of experience. 5 years of experience with SAP"), 5, 1),
    (dict(preferred="9 years of experience"), 0, 0),
    (dict(about="A bakery"), 0, 0),
])
def test_years_of_a_job(sections, years, places):
    found = years_evidence(job(**sections))
    assert found.value == years == years_required(job(**sections))
    assert len(found.places) == places


def test_education_of_both_sides():
    doc = resume(education="Master's degree in law. Bachelor of Arts", skills="PhD level Excel")
    found = education_evidence(doc)
    assert (found.value, [doc.sections[p.section][p.start:p.end] for p in found.places]) == (
        4, ["Master's"])
    asked = education_evidence(job(requirements="Bachelor's or PhD", benefits="High school"))
    assert (asked.value, asked.places[0].name) == (3, "bachelor")
    assert education_evidence(resume(skills="Baking")).value == 0


def test_all_entities_by_rules():
    doc = resume("Chef", summary="Ana Bello\nana@example.com",
                 experience="Hotel, 2010 to 2014. Never used SAP",
                 education="BSc, University of Stone Hill, 2009", skills="Baking, payroll")
    parts = {"title": doc.title, **doc.sections}
    found = {(e.kind, parts[e.section][e.start:e.end]) for e in rule_entities(doc)}
    assert found == {
        ("Designation", "Chef"), ("Name", "Ana Bello"), ("Email Address", "ana@example.com"),
        ("Years of Experience", "2010 to 2014"), ("Degree", "BSc"), ("Graduation Year", "2009"),
        ("College Name", "University of Stone Hill"), ("Skills", "Baking"), ("Skills", "payroll")}


def test_places_hold_on_the_whole_sample(resumes, jobs):
    for doc in resumes[:60]:
        parts = {"title": doc.title, **doc.sections}
        assert years_evidence(doc).value == years_shown(doc)
        for e in rule_entities(doc):
            text = parts[e.section][e.start:e.end]
            assert text and text == text.strip()
    for doc in jobs[:60]:
        found = years_evidence(doc)
        assert found.value == years_required(doc)
        assert bool(found.value) == bool(found.places)
