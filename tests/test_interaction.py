"""Late interaction: equal to loops, what must not change it, planted requirements, the record."""

import json
import re
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_backbone

from resume_contrastive import interaction
from resume_contrastive.documents import Document
from resume_contrastive.encoder import DualEncoder, EncoderConfig, encoder_score
from resume_contrastive.interaction import (
    MOST_WORDS,
    Parts,
    interaction_score,
    late_interaction,
    learned_parts,
    parts_of,
    requirement_units,
    short_pieces,
    usual_finds,
)
from resume_contrastive.windows import Embedder


def parts(sizes, seed, d=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(sum(sizes), d)).astype(np.float32)
    return Parts(vectors=x / np.linalg.norm(x, axis=1, keepdims=True),
                 starts=np.cumsum([0, *sizes]), weights=rng.uniform(0.1, 2, sum(sizes)))


def only(p, n):
    """One document's parts."""
    s = slice(*p.starts[n:n + 2])
    return Parts(vectors=p.vectors[s], starts=np.array([0, s.stop - s.start]),
                 weights=p.weights[s])


sizes = st.lists(st.integers(0, 4), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.integers(1, 3), st.integers(1, 9), st.booleans())
def test_equals_three_loops(n_pieces, n_units, top, block, weighted):
    r, j = parts(n_pieces, 0), parts(n_units, 1)
    got = late_interaction(r, j, top=top, block=block, weighted=weighted)
    assert got.shape == (len(n_pieces), len(n_units))
    for a in range(len(r)):
        for b in range(len(j)):
            pieces, units = only(r, a), only(j, b)
            total, weight = 0.0, 0.0
            for u, w in zip(units.vectors, units.weights, strict=True):
                best = sorted((float(u @ p) for p in pieces.vectors), reverse=True)[:top]
                w = w if weighted else 1.0
                total += w * np.mean(best) if best else 0.0
                weight += w
            want = total / weight if weight else 0.0
            assert got[a, b] == pytest.approx(want, abs=1e-5)


def test_hand_worked():
    e = np.eye(3, dtype=np.float32)
    resume = Parts(vectors=e[[0, 1]], starts=np.array([0, 2]), weights=np.ones(2))
    job = Parts(vectors=e[[0, 2]], starts=np.array([0, 2]), weights=np.array([1.0, 0.5]))
    assert late_interaction(resume, job)[0, 0] == pytest.approx(1 / 1.5)
    assert late_interaction(resume, job, weighted=False)[0, 0] == pytest.approx(1 / 2)
    assert late_interaction(resume, job, top=2)[0, 0] == pytest.approx(0.5 / 1.5)


def test_order_and_company_change_nothing():
    r, j = parts([3, 1, 4], 2), parts([2, 3], 3)
    whole = late_interaction(r, j)
    for a in range(3):
        for b in range(2):
            assert late_interaction(only(r, a), only(j, b))[0, 0] == pytest.approx(whole[a, b],
                                                                                   abs=1e-6)
    turned = Parts(vectors=np.concatenate([r.vectors[:3][::-1], r.vectors[3:]]), starts=r.starts,
                   weights=r.weights)
    np.testing.assert_allclose(late_interaction(turned, j), whole, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_one_more_piece_never_lowers_the_score(seed):
    r, j = parts([4], seed), parts([3], seed + 1)
    less = Parts(vectors=r.vectors[:3], starts=np.array([0, 3]), weights=np.ones(3))
    assert late_interaction(r, j)[0, 0] >= late_interaction(less, j)[0, 0] - 1e-6


def test_what_is_usual_moves_jobs_and_not_resumes():
    r, j = parts([3, 2, 5, 1], 4), parts([2, 4], 5)
    usual = usual_finds(j, parts([3, 3, 0, 2], 6))
    plain, less = late_interaction(r, j), late_interaction(r, j, usual=usual)
    gap = plain - less
    np.testing.assert_allclose(gap, np.broadcast_to(gap[:1], gap.shape), atol=1e-6)
    assert not np.allclose(gap[:, 0], gap[:, 1])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="starts must rise from 0 to 2"):
        Parts(vectors=np.eye(2), starts=np.array([0, 2, 1, 2]), weights=np.ones(2))
    with pytest.raises(ValueError, match="2 parts need as many weights above 0"):
        Parts(vectors=np.eye(2), starts=np.array([0, 2]), weights=np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="got 1 and 0"):
        late_interaction(parts([1], 0), parts([1], 1), block=0)
    with pytest.raises(ValueError, match="no piece of a resume"):
        usual_finds(parts([1], 0), parts([0, 0], 1))


# ------------------------------------------------------------------ units


def job(**sections):
    return Document(id="j", kind="job", sections=sections)


def test_units_of_a_list_are_its_items_and_known_skills_come_once():
    units = requirement_units(job(requirements="Python, basket weaving, glass blowing, SQL"))
    assert sorted(u.text for u in units) == ["Python", "SQL", "basket weaving", "glass blowing"]
    assert {u.weight for u in units} == {1.0}


def test_required_and_preferred_weigh_as_the_requirements_do():
    weight = {u.text: u.weight for u in requirement_units(
        job(requirements="You must know Python.", preferred="Docker would be great."))}
    assert weight == {"Python": 1.0, "Docker": 0.5}
    said = requirement_units(job(requirements="Know A. Know B.", preferred="Know C."), "sentences")
    assert [(u.text, u.weight) for u in said] == [("Know A.", 1.0), ("Know B.", 1.0),
                                                  ("Know C.", 0.5)]


def test_every_job_with_a_word_has_a_unit(jobs):
    for kind in ("skills", "sentences"):
        for j in jobs:
            units = requirement_units(j, kind)
            assert units and all(u.text.strip() and u.weight > 0 for u in units)
            assert len({u.text for u in units}) == len(units)
    assert requirement_units(Document(id="x", kind="job")) == []
    assert [u.text for u in requirement_units(Document(id="x", kind="job", title="Cook"))
            ] == ["Cook"]


def test_a_short_skill_takes_no_longer_word_away():
    units = requirement_units(job(requirements="Python, R, core sampling, drilling rigs, trees"))
    assert {u.text for u in units} == {"Python", "R", "core sampling", "drilling rigs", "trees"}


def test_a_unit_stands_where_it_came_first():
    said = requirement_units(job(requirements="Lift. Smile. Lift."), "sentences")
    assert [u.text for u in said] == ["Lift.", "Smile."]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab(),;) ", max_size=40))
def test_a_comma_in_brackets_cuts_nothing(text):
    plain = re.split(r"[,;](?![^()]*\))", text)
    assert interaction._listed(text) == [x.strip() for x in plain if x.strip()]


def test_a_long_list_takes_no_long_time():
    start = time.perf_counter()
    assert len(short_pieces(", ".join(["ab"] * 20_000))) == 20_000
    assert time.perf_counter() - start < 5


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="ab .,\nX•", max_size=400))
def test_pieces_keep_every_word(text):
    for lists in (True, False):
        pieces = short_pieces(text, lists)
        kept, had = (re.sub(r"[•,\s]", "", x) for x in ("".join(pieces), text))
        assert kept == had and all(len(p.split()) <= MOST_WORDS for p in pieces)


# ------------------------------------------------------------------ documents


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return Embedder(save_backbone(tmp_path_factory.mktemp("bert")), window=64)


def person(n, **sections):
    return Document(id=f"r{n}", kind="resume", sections=sections)


def test_score_of_documents(embedder, one_thread):
    people = [person(0, experience="cook chef rice"), person(1, skills="nurse team"),
              person(2, experience="")]
    posts = [job(requirements="rice sauce, chef team, nurse python"), job(about="cook")]
    score = interaction_score(embedder)(people, posts)
    assert score.shape == (3, 2) and np.isfinite(score).all()
    assert (score[2] == 0).all() and (np.abs(score) <= 1 + 1e-6).all()
    texts = [u.text for u in requirement_units(posts[0])]
    want = np.mean([embedder.embed([t])[0] @ embedder.embed(["cook chef rice"])[0]
                    for t in texts])
    assert score[0, 0] == pytest.approx(want, abs=1e-5)
    fine = interaction_score(embedder, pieces="sentences", units="sentences", top=2)(people, posts)
    assert fine.shape == (3, 2)
    with pytest.raises(ValueError, match="a resume has 'windows' or 'sentences', got 'skills'"):
        parts_of(embedder, people, "skills")


def test_one_window_and_one_unit_equal_the_pooled_score(embedder, one_thread):
    """With nothing to choose from, late interaction is the pooled cosine, heads or none."""
    config = EncoderConfig(dim=8)
    torch.manual_seed(0)
    model = DualEncoder(embedder.dim, config)
    people = [person(n, experience=t) for n, t in enumerate(("cook rice", "nurse team"))]
    posts = [job(about="chef sauce"), job(about="team and and")]
    for m in (None, model):
        np.testing.assert_allclose(interaction_score(embedder, m)(people, posts),
                                   encoder_score(embedder, m)(people, posts), atol=1e-5)
    x = learned_parts(model, parts_of(embedder, people), "resume")
    np.testing.assert_allclose(np.linalg.norm(x.vectors, axis=1), 1, atol=1e-5)


# ------------------------------------------------------------------ the record


def test_the_record_is_whole_and_says_what_the_page_says(root):
    path = root / "data" / "results" / "interaction.json"
    record = json.loads(path.read_text())
    rows = {(r["figure"], r["system"]): r for r in record["rows"]}
    assert record["learned_again"]["mean_difference"] < 1e-3  # as the cross-validation had it
    for row in record["rows"]:
        assert row["low"] <= row["mean"] <= row["high"] and row["n"] > 0
        for name in ("minus_learned", "minus_bm25", "minus_blend"):
            if name in row:
                d = row[name]
                assert d["low"] <= d["difference"] <= d["high"]
    learned = rows["own skills, AUC", "learned, pooled"]
    known = json.loads((root / "data" / "results" / "crossvalidation.json").read_text())
    same = next(r for r in known["rows"] if r["figure"] == "own skills, AUC"
                and r["system"] == "default")
    if record["cuts"] == known["cuts"]:
        assert learned["mean"] == pytest.approx(same["mean"], abs=2e-3)
        assert learned["n"] == same["n"]
    assert record["data_hash"] == known["data_hash"]
