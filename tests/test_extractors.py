"""Taggers from local folders, O*NET's technologies and span scores, on the installed package."""

import json
import socket
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_backbone

from resume_contrastive.documents import Document
from resume_contrastive.extractors import (
    ENTITY_MODEL,
    SKILL_MODEL,
    Taggers,
    TokenTagger,
    bio_spans,
    chunk_owners,
    extended,
    extract_entities,
    extract_skills,
    find_tagger,
    find_taggers,
    read_technologies,
    span_counts,
    span_scores,
    technology_names,
)
from resume_contrastive.lexicon import default_lexicon

KINDS = ["O", "B-Skills", "I-Skills", "B-Degree", "I-Degree"]
TEXT = "cook and chef, rice sauce; nurse team python (software) engineer a1 b2. "


def save_tagger(folder: Path, labels: list[str], context: bool = True) -> Path:
    """A tiny random token classifier; without context a word's label depends on itself alone."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    save_backbone(folder, max_position_embeddings=512)
    config = BertConfig.from_pretrained(folder, id2label=dict(enumerate(labels)),
                                        label2id={v: k for k, v in enumerate(labels)})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = BertForTokenClassification(config)
        model.classifier.weight.data.mul_(200)
        if not context:
            model.bert.embeddings.position_embeddings.weight.data.zero_()
            for layer in model.bert.encoder.layer:
                layer.attention.output.dense.weight.data.zero_()
        model.save_pretrained(folder)
    return folder


def in_hub(cache: Path, name: str) -> Path:
    """Where the hub's cache keeps a commit of a model."""
    root = cache / f"models--{name.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs/main").write_text("abc123\n")
    return root / "snapshots/abc123"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A hub cache with a tagger of each kind."""
    folder = tmp_path_factory.mktemp("hub")
    save_tagger(in_hub(folder, SKILL_MODEL), ["B", "I", "O"], context=False)
    save_tagger(in_hub(folder, ENTITY_MODEL), KINDS)
    return folder


@pytest.fixture
def offline(monkeypatch):
    """Any connection is a failure."""
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_taggers_are_found_in_the_cache_and_used_without_a_network(cache, offline, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    taggers = find_taggers()
    assert taggers.used == {"skills": SKILL_MODEL, "entities": ENTITY_MODEL}
    doc = Document(id="r", kind="resume", sections={"skills": TEXT, "summary": TEXT})
    for got, name in ((extract_skills(doc, tagger=taggers.skills), SKILL_MODEL),
                      (extract_entities(doc, tagger=taggers.entities), ENTITY_MODEL)):
        assert got.by == name and got.found
        assert {e.section for e in got.found} == {"skills", "summary"}
        assert all(doc.sections[e.section][e.start:e.end].strip() for e in got.found)
        assert {e.kind for e in got.found} <= {"Skills", "Degree"}


def test_rules_where_there_are_no_weights(tmp_path, offline, monkeypatch):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert find_taggers() == Taggers()
    assert find_taggers().used == {"skills": "rules", "entities": "rules"}
    text = "Payroll. No Java. Eager to learn SQL"
    doc = Document(id="r", kind="resume", sections={"skills": text})
    assert [e.name for e in extract_skills(doc).found] == ["Payroll", "SQL"]
    assert {e.name for e in extract_entities(doc).found if e.kind == "Skills"} == {"Payroll"}


def test_pickled_or_partial_weights_are_no_tagger(tmp_path):
    folder = in_hub(tmp_path, SKILL_MODEL)
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "pytorch_model.bin"):
        (folder / name).write_text("{}")
    assert find_tagger(SKILL_MODEL, tmp_path) is None
    with pytest.raises(ValueError, match="is no tagger"):
        TokenTagger(folder)
    (folder / "model.safetensors").write_text("")
    assert find_tagger(SKILL_MODEL, tmp_path) == folder
    (folder.parent.parent / "refs/main").write_text("another")
    assert find_tagger(SKILL_MODEL, tmp_path) == folder  # any whole snapshot
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    with pytest.raises(ValueError, match="holds BertModel, expected one for token classification"):
        TokenTagger(folder)("cook")
    with pytest.raises(ValueError, match="overlap must be >= 0"):
        TokenTagger(folder, window=16, overlap=14)


def spans(found):
    return [(t.label, t.start, t.end) for t in found]


@pytest.mark.parametrize(("window", "overlap"), [(8, 0), (9, 3), (32, 16), (128, 64)])
def test_chunks_change_nothing_where_words_stand_alone(cache, window, overlap):
    folder, text = find_tagger(SKILL_MODEL, cache), TEXT * 6
    whole = TokenTagger(folder)(text)
    assert spans(TokenTagger(folder, window=window, overlap=overlap, batch=3)(text)) == spans(whole)
    assert len(whole) > 5 and whole == sorted(whole, key=lambda t: t.start)


def test_a_text_of_any_length_is_read_to_its_end(cache):
    tagger = TokenTagger(find_tagger(ENTITY_MODEL, cache))
    text = TEXT * 60  # more than 512 tokens
    found = tagger(text)
    assert found[-1].end > len(text) - 2 * len(TEXT)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert tagger("") == tagger("\n ") == []


def test_equal_to_the_pipeline_of_transformers(cache):
    from transformers import pipeline

    folder = find_tagger(ENTITY_MODEL, cache)
    theirs = pipeline("token-classification", model=str(folder), aggregation_strategy="first")
    text = TEXT * 3
    want = [(e["entity_group"], e["start"], e["end"]) for e in theirs(text)]
    assert spans(TokenTagger(folder)(text)) == want and want


@settings(max_examples=200, deadline=None)
@given(n=st.integers(0, 60), size=st.integers(1, 12), overlap=st.integers(0, 11))
def test_every_token_has_one_owner_far_from_the_cuts(n, size, overlap):
    if overlap >= size:
        with pytest.raises(ValueError, match="overlap must be"):
            chunk_owners(n, size, overlap)
        return
    chunks = chunk_owners(n, size, overlap)
    kept = [i for _, a, b in chunks for i in range(a, b)]
    assert kept == list(range(n))
    for k, (start, a, b) in enumerate(chunks):
        assert start <= a and b <= min(start + size, n)
        if k:
            assert a - start >= overlap // 2
        if k + 1 < len(chunks):
            assert start + size - b >= overlap // 2


@given(st.lists(st.sampled_from(KINDS), max_size=12))
def test_spans_cover_the_labelled_words(labels):
    words = [(3 * i, 3 * i + 2) for i in range(len(labels))]
    found = bio_spans(words, labels, [1.0] * len(labels))
    covered = {i for t in found for i in range(len(labels)) if t.start <= 3 * i < t.end}
    assert covered == {i for i, x in enumerate(labels) if x != "O"}
    assert len(found) >= sum(x.startswith("B") for x in labels)


@pytest.mark.parametrize(("name", "spelled"), [
    ("Microsoft Excel", ["Microsoft Excel", "Excel?"]),
    ("Microsoft SharePoint", ["Microsoft SharePoint", "SharePoint!"]),
    ("Microsoft", ["Microsoft?"]),
    ("Customer relationship management CRM software",
     ["Customer relationship management CRM software", "Customer relationship management CRM",
      "Customer relationship management", "CRM!"]),
    ("C", []),
])
def test_spellings_of_a_technology(name, spelled):
    assert technology_names(name, {"Microsoft"}) == spelled


def test_a_lexicon_keeps_what_it_knows(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("Example,Commodity Title,Hot Technology\nPython,Language,Y\n"
                     "Quark Forge,Design,N\nQuark Forge,Design,N\n")
    more = extended(read_technologies(table))
    assert more.names == (*default_lexicon().names, "Quark Forge")
    assert more.implied["Django"] == default_lexicon().implied["Django"]
    assert [s.name for s in read_technologies(table, hot=True)] == ["Python"]
    table.write_text("Example\nx\n")
    with pytest.raises(ValueError, match="lacks the columns Commodity Title, Hot Technology"):
        read_technologies(table)


@pytest.mark.real
def test_the_real_table_of_onet(real_data):
    more = extended(read_technologies(real_data / "onet/technology_skills.csv"))
    assert len(more.names) > 8000
    text = "Minitab software, Autodesk Revit and QuickBooks; a minitab"
    found = [more.names[i] for i, _, _ in more.find(text)]
    assert found == ["Minitab", "Revit", "QuickBooks"]
    assert not more.find("we work in a team and go to the office by bus")


def test_span_scores_by_hand():
    counts = [span_counts([(0, 2), (4, 6)], [(0, 2), (5, 9), (9, 12)]), span_counts([(1, 2)], [])]
    scores = span_scores(counts)
    assert scores["exact_precision"] == scores["exact_recall"] == pytest.approx(1 / 3)
    assert scores["overlap_precision"] == scores["overlap_recall"] == pytest.approx(2 / 3)
    assert np.isnan(span_scores([span_counts([(0, 1)], [])])["exact_precision"])


@pytest.mark.real
def test_the_record_on_skillspan_is_what_the_extractor_does(real_data, root, monkeypatch):
    from resume_contrastive.store import read_json

    monkeypatch.syspath_prepend(str(root / "scripts"))
    sys.modules.pop("record_skillspan", None)
    import record_skillspan as script

    record = read_json(root / "data/results/skillspan.json")
    sentences = [s for s in script.read(real_data / "skillspan/test.json")
                 if script.half_of(s["advert"]) == record["half"] == "held_out"]
    found = [script.predicted(s, lexicon=default_lexicon()) for s in sentences]
    for kind in script.MARKS:
        got = span_scores(span_counts(s["marks"][kind], p)
                          for s, p in zip(sentences, found, strict=True))
        for name, value in got.items():
            assert record["systems"]["lexicon"][kind][name][0] == pytest.approx(value, abs=1e-4)
