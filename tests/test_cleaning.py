"""Repairs are counted and done once; contacts go, and what only looks like one stays."""

import json
import random
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive import cleaning
from resume_contrastive.cleaning import contact_spans, repair_text, scrub_contacts

ROOT = Path(__file__).resolve().parent.parent
LOOSE = settings(deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("raw", "want", "done"),
    [
        ("cafÃ©\nnaÃ¯ve", "café\nnaïve", {"mojibake": 2}),
        ("â— Ran\nâ—† Led", "- Ran\n- Led", None),
        ("a â€œbestâ€ team", "a “best” team", None),
        ("twentyÂseven", "twenty seven", {"mojibake": 1}),
        ("C&I; R&amp;D", "C&I; R&D", {"entity": 1}),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b", {"tag": 6}),
        ("<b>R</b>ust <jo@example.com>", "Rust <jo@example.com>", {"tag": 2}),
        ("of\ufb01ce\u200b \u00adfloor", "office floor", None),
        ("self-\nmade bulle-\ntin", "self-made bulletin", {"hyphen": 2}),
        ("Anglo-\nAmerican", "Anglo-\nAmerican", {}),
        ("our goals.Results", "our goals. Results", {"glued": 1}),
        ("see www.Example.com", "see www.Example.com", {}),
        ("strong skillsAbility to bake", "strong skills\nAbility to bake", {"glued": 1}),
        ("JavaScript, PowerPoint, asp.Net", "JavaScript, PowerPoint, asp.Net", {}),
        ("\uf0a7 a\n❖ b\no Cook", "- a\n- b\n- Cook", {"bullet": 3}),
        ("qualities • drive • tact • care", "qualities\n- drive\n- tact\n- care", {"bullet": 1}),
        ("Company Name • City , State", "Company Name • City , State", {}),
        ("**Duties**\n**** pay", "Duties\n**** pay", {"emphasis": 1}),
    ],
)
def test_defects_are_mended_and_counted(raw, want, done):
    fixed, counted = repair_text(raw)
    assert fixed == want
    assert done is None or counted == Counter(done)
    assert repair_text(fixed) == (fixed, Counter())


def test_a_resume_in_one_line_gets_its_line_ends_back():
    flat = "     ".join(["COOK", "Summary", "Cooks. " * 30, "Skills", "Sauces, stocks " * 20])
    fixed, done = repair_text(flat)
    assert fixed.split("\n")[:2] == ["COOK", "Summary"] and done["line_end"] == 4


def test_a_page_of_html_keeps_its_lines_and_loses_its_styles():
    page = ("<html><head><style>p {color: red}</style></head><body><!-- no -->"
            "<div class='a' id=b><span>Skills</span></div><p>Rye<br/>Wheat</p></body></html>")
    assert repair_text(page)[0].split() == ["Skills", "Rye", "Wheat"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ada (at) example (dot) org", "email"),
        ("ada at example dot com", "email"),
        ("555-555-0142 ext. 12", "phone"),
        ("Mobile: 555-0142", "phone"),
        ("+91 98765 43210", "phone"),
        ("+44 (0)20 7946 0018", "phone"),
        ("linkedin.com/in/ada-example", "url"),
        ("example.io/ada", "url"),
        ("1200 N. Main St., Springfield, IL 62704", "address"),
        ("Flat 3, 21 Baker Street", "address"),
        ("LS1 4AP", "address"),
        ("Bangalore-560058", "address"),
    ],
)
def test_contacts_in_other_formats(text, kind):
    spans = contact_spans(f"Cook | {text}\nBakes.")
    assert [s.kind for s in spans] == [kind]
    assert scrub_contacts(f"x\n{text}\ny").count("[") == 1


@pytest.mark.parametrize(
    "text",
    [
        "01/2012 to 06/2015, Mar 2020 - Present, 2015-2019",
        "$1,250,000 and 3 400 000 euro, 1,000,000 rows",
        "10.15.7, Python 3.11.4, 192.168.100.200, build 20210304.12, ISBN 978-0-00-000000-2",
        "C++ / Java, ASP.NET/MVC, Node.js, TCP/IP, 24/7, Booking.com",
        "Worked for Harrow Mills in Saltmarsh, NJ",
        "Head Pastry Chef\nProfessional Experience",
        "ISO 9001:2015, 501(c)(3), 21 CFR Part 11",
    ],
)
def test_what_only_looks_like_a_contact_stays(text):
    assert scrub_contacts(text, name_line=True) == text


def test_the_name_line_needs_a_neighbour_or_the_option():
    cv = "Ada Example, PhD\nPastry Chef\nSpringfield, IL | ada@example.com\nAda Example, PhD bakes."
    assert scrub_contacts(cv) == "[name]\nPastry Chef\n[address] | [email]\n[name] bakes."
    assert scrub_contacts("Ada Example\nBakes.") == "Ada Example\nBakes."
    assert scrub_contacts("Ada Example\nBakes.", name_line=True) == "[name]\nBakes."
    assert scrub_contacts("Name: Ada Example\nBakes.") == "Name: [name]\nBakes."


def test_a_house_number_does_not_hide_the_telephone_number_before_it():
    spans = contact_spans("555-555-0142 12 Elm Street")
    assert [c.kind for c in spans] == ["phone", "address"]


@LOOSE
@given(st.lists(st.sampled_from(
    ["Ada Example", "\n", " ", "ada@example.com", "555-555-0142", "|", "Springfield, IL", "12",
     "Elm Street", "www.x.org", "GitHub: ada-ex", "Cook", "at", "dot", "(", "2012", ",", "Skills"]
), max_size=9).map(" ".join))  # fmt: skip
def test_spans_are_apart_in_order_and_gone_after_one_pass(text):
    spans = contact_spans(text)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert all(0 <= s.start < s.end <= len(text) for s in spans)
    left = contact_spans(scrub_contacts(text))
    assert not [s for s in left if s.kind in ("email", "url", "phone")]


def test_the_record_holds_what_the_page_says():
    record = json.loads((ROOT / "data/results/scrubber.json").read_text(encoding="utf-8"))
    for part in ("sample", "planted"):
        assert record[part]["kinds"]["all"]["recall"][1] > 0.98
    assert record["planted"]["false_alarms"]["dates"]["share"][0] == 0


@pytest.mark.parametrize("text", ["<!--" * 2_000, "<script " * 2_000, "</script\n" * 2_000,
                                  "<!-- --> <script></script>" + "<!--<head" * 2_000])
def test_an_end_that_is_missing_is_looked_for_once(text, monkeypatch):
    looked = Counter()

    class Close:
        def __init__(self, name, pattern):
            self.name, self.pattern = name, pattern

        def search(self, *place):
            found = self.pattern.search(*place)
            looked[self.name] += found is None
            return found

    monkeypatch.setattr(cleaning, "_CLOSE", {n: Close(n, p) for n, p in cleaning._CLOSE.items()})
    cleaning._without_blocks(text)
    assert max(looked.values(), default=0) <= 1


def test_blocks_go_as_the_plain_regular_expression_says():
    plain = re.compile(r"<!--.*?-->|<(style|script|head)\b.*?</\1\s*>", re.S | re.I)
    rng, parts = random.Random(0), ["<!--", "-->", "<script>", "</script >", "<STYLE x", "</style>",
                                    "<head", "</head>", "</script", "a", "\n", "<", "-"]
    for _ in range(5_000):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(0, 14)))
        assert cleaning._without_blocks(text) == plain.subn(" ", text), text
