"""Windows: every word is read, vectors are those of the peer, and a stop costs only time."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tiny import ARCHITECTURES, save_backbone

from resume_contrastive import backbones
from resume_contrastive import windows as module
from resume_contrastive.documents import SECTIONS, Document
from resume_contrastive.windows import (
    FIELDS,
    Embedder,
    VectorCache,
    Window,
    cut_windows,
    find_backbone,
    load_backbone,
    pool_fields,
    reading_report,
    token_batches,
)

TEXTS = [
    "pastry chef",
    "Software engineer (Python, SQL)",
    "registered nurse, intensive care",
    "Ran a kitchen of twelve. Cut waste by 14 %.",
    "x",
    "Café – São Paulo",
    "R&D / C++ / .NET",
    "Led the yearly audit of three subsidiaries and closed the books on time every month.",
]


@pytest.fixture(scope="module")
def minilm():
    return load_backbone("minilm")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_backbone(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture(scope="module")
def tokenizers(minilm, tmp_path_factory):
    found = {
        k: load_backbone(save_backbone(tmp_path_factory.mktemp(k), k))[0] for k in ARCHITECTURES
    }
    return {"minilm": minilm[0], **found}


def doc(text, **kwargs):
    return Document(**{"id": "d", "kind": "job", "sections": {"about": text}, **kwargs})


def length(tokenizer, text):
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


# ---------------------------------------------------------------- the peer


def test_vectors_equal_those_of_sentence_transformers(minilm):
    peer = pytest.importorskip("sentence_transformers").SentenceTransformer(
        find_backbone("minilm"), device="cpu"
    )
    want = peer.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(Embedder().embed(TEXTS) - want).max() < 1e-5


# ---------------------------------------------------------------- cutting

WORDS = st.sampled_from(
    [
        "cook",
        "and",
        "Software",
        "don't",
        "C++,",
        "résumé",
        "naïve.",
        "日本語",
        "履歴書です",
        "👩‍🍳",
        "👍🏽",
        "مرحبا",
        "x" * 130,
        "a.b.c",
        "1,250,000",
        "e-mail",
        "—",
    ]
)
GAPS = st.sampled_from([" ", "\n", "\n\n", " \t ", ". ", "; "])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(WORDS, GAPS), max_size=40),
    st.sampled_from([6, 14, 30]),
    st.sampled_from(["minilm", *ARCHITECTURES]),
)
def test_every_character_is_in_one_window_in_order(tokenizers, parts, size, name):
    text = "".join(w + g for w, g in parts)
    windows = cut_windows(text, tokenizers[name], size)
    assert "".join("".join(w for w, _ in windows).split()) == "".join(text.split())
    assert all(1 <= n <= size for _, n in windows)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["cook", "rice", "don't", "résumé", "C++"]), max_size=60),
    st.sampled_from(["minilm", "bert", "mpnet", "modernbert"]),
)
def test_words_are_not_cut_where_there_is_a_space(tokenizers, tokens, name):
    windows = cut_windows(" ".join(tokens), tokenizers[name], 16)
    assert [w for text, _ in windows for w in text.split()] == tokens
    for text, n in windows:  # and a window read alone has the tokens that were counted
        assert length(tokenizers[name], text) == n


def test_a_cut_goes_to_the_sentence_end_in_the_last_quarter(minilm):
    text = "one two three four five six seven. eight nine ten eleven twelve"
    assert [w for w, _ in cut_windows(text, minilm[0], 10)] == [
        "one two three four five six seven.",
        "eight nine ten eleven twelve",
    ]
    early = "one two. three four five six seven eight nine ten eleven twelve"
    assert (
        cut_windows(early, minilm[0], 10)[0][0] == "one two. three four five six seven eight nine"
    )
    assert cut_windows("a\nb c d e f g h\ni j k", minilm[0], 9)[0][0] == "a\nb c d e f g h"


def test_a_word_of_only_dropped_characters_gives_no_window(minilm):
    assert cut_windows(" \n\t ", minilm[0], 10) == []
    assert cut_windows("\u200d\u200b", minilm[0], 10) == []


def test_a_long_text_without_spaces_fits_its_windows_when_read_alone(minilm):
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = "".join(rng.choice(list("abcdefgXYZ.-_/0123"), 80))
        for window, _ in cut_windows(text, minilm[0], 20):
            assert length(minilm[0], window) <= 20


def test_a_prompt_does_not_push_words_out_of_the_window(minilm, monkeypatch):
    monkeypatch.setitem(backbones.PROMPTS, find_backbone("minilm"), {"job": "query: "})
    embedder = Embedder(window=16)
    embedder._loaded = minilm[0], None
    windows = embedder.windows(doc("cook rice " * 30))
    assert all(w.text.startswith("query: ") for w in windows)
    assert max(len(minilm[0](w.text)["input_ids"]) for w in windows) <= 16


def test_a_window_longer_than_the_model_is_one_sentence():
    with pytest.raises(ValueError, match="window"):
        Embedder(window=1024).fields([doc("cook rice " * 600)])


# ---------------------------------------------------------------- batches


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_every_text_once_and_keep_the_budget(lengths, budget):
    batches = token_batches(lengths, budget)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for b in batches:
        assert len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget
    assert sorted(lengths) == [lengths[i] for b in batches for i in b]


# ---------------------------------------------------------------- reading


def test_equal_texts_are_read_once(tiny):
    embedder = Embedder(tiny, window=16)
    a = embedder.embed(["cook", "rice", "cook"])
    assert embedder.encoded == 2 and np.array_equal(a[0], a[2]) and not np.array_equal(a[0], a[1])
    embedder.fields(
        [doc("cook"), doc("cook", id="e"), doc("rice", kind="resume", sections={"skills": "rice"})]
    )
    assert embedder.encoded == 2


def test_the_order_of_the_request_changes_no_bit(tiny):
    texts = [f"cook {n} rice" * (1 + n % 3) for n in range(30)]
    forth = Embedder(tiny, window=32, batch_tokens=100).embed(texts)
    back = Embedder(tiny, window=32, batch_tokens=100).embed(texts[::-1])
    assert np.array_equal(forth, back[::-1])


def test_the_number_of_workers_changes_no_bit(tiny):
    texts = [f"cook {n} rice" * (1 + n % 5) for n in range(60)]
    threads = torch.get_num_threads()
    found = [Embedder(tiny, window=32, batch_tokens=100, workers=n).embed(texts) for n in (1, 2, 5)]
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    assert torch.get_num_threads() == threads


def test_an_error_while_reading_is_not_swallowed(tiny):
    embedder = Embedder(tiny, window=32, batch_tokens=32)
    embedder._load()[1].model.forward = lambda **_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        embedder.embed(["cook", "rice", "sauce and team"])


def test_missing_fields_and_prefixes_as_in_confit_v1(tiny):
    job = Document(id="j", kind="job", sections={"about": "cook " * 90, "requirements": " "})
    embedder = Embedder(tiny, window=64, missing="unknown", field_prefix=True)
    windows = embedder.windows(job)
    assert [w.field for w in windows if w.text.endswith("UNKNOWN")] == [
        n for n in ("title", *SECTIONS["job"]) if n != "about"
    ]
    about = [w.text for w in windows if w.field == "about"]
    assert len(about) > 1 and all(t.startswith("Job Information: section about. ") for t in about)
    assert max(length(embedder._load()[0], w.text) for w in windows) <= 62
    flat = Embedder(tiny, window=64, missing="unknown", layout="flat")
    assert [w.text for w in flat.windows(Document(id="e", kind="job"))] == ["UNKNOWN"]
    plain = Embedder(tiny, window=64).windows(doc("cook rice", title="Chef"))
    assert [w.text for w in plain] == ["Chef", "cook rice"]


def test_progress_counts_the_tokens_up_to_all_of_them(tiny):
    seen = []
    Embedder(tiny, window=16, batch_tokens=32, progress=lambda a, b: seen.append((a, b))).embed(
        ["cook rice", "sauce", "team and chef"]
    )
    assert [a for a, _ in seen] == sorted(a for a, _ in seen) and len({b for _, b in seen}) == 1
    assert seen[-1] == (4 + 3 + 5, 4 + 3 + 5)  # words known to the tokenizer, and two special ones


def test_nothing_to_read_gives_no_rows(tiny):
    assert Embedder(tiny).embed([]).shape == (0, 32)
    empty = Embedder(tiny).fields([doc(""), Document(id="e", kind="resume")])
    assert empty.vectors.shape == (2, 1, 32) and not empty.vectors.any()
    assert empty.mean().isfinite().all()


def test_limits_and_layout(tiny):
    long = doc("cook rice sauce " * 20, title="Head chef")
    everything = Embedder(tiny, window=12)
    first = Embedder(tiny, window=12, max_windows=2)
    assert first.windows(long) == everything.windows(long)[:2]
    assert [w.field for w in first.windows(long)] == ["title", "about"]
    assert {w.field for w in Embedder(tiny, window=12, layout="flat").windows(long)} == {"all"}
    assert len(first.windows(long, limit=0)) == len(everything.windows(long)) > 2
    report = reading_report(first, [long, doc("cook")])
    read = sum(w.tokens for w in first.windows(long)) + 1
    have = sum(w.tokens for w in everything.windows(long)) + 1
    assert report["tokens"] == have and report["share_read"] == pytest.approx(read / have)
    assert report["whole"] == 0.5 and report["windows"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(window=7), "window must be >= 8 tokens, got 7"),
        (dict(missing="drop"), "missing must be 'mask' or 'unknown', got 'drop'"),
        (dict(layout="tree"), "layout must be 'sections' or 'flat', got 'tree'"),
    ],
)
def test_settings_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        Embedder(**change)


# ---------------------------------------------------------------- fields


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(["title", "skills", "experience"]), st.integers(1, 9)),
            max_size=5,
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 10**6),
)
def test_fields_are_weighted_means_by_brute_force(documents, seed):
    windows = [[Window("", name, n) for name, n in ws] for ws in documents]
    vectors = (
        np.random.default_rng(seed).normal(size=(sum(map(len, windows)), 3)).astype(np.float32)
    )
    batch, row = pool_fields(vectors, windows), 0
    for i, ws in enumerate(windows):
        own, row = vectors[row : row + len(ws)], row + len(ws)
        for f, name in enumerate(dict.fromkeys(w.field for w in ws)):
            inside = [k for k, w in enumerate(ws) if w.field == name]
            tokens = np.array([ws[k].tokens for k in inside])
            want = (own[inside] * tokens[:, None]).sum(0) / tokens.sum()
            assert np.allclose(batch.vectors[i, f], want, atol=1e-5)
            assert batch.weights[i, f] == tokens.sum() and FIELDS[batch.names[i, f]] == name
        assert int((batch.weights[i] > 0).sum()) == len({w.field for w in ws})
        if ws:  # the mean over fields is the mean over windows
            mean = (own * np.array([w.tokens for w in ws])[:, None]).sum(0)
            assert np.allclose(batch.mean()[i], mean / np.linalg.norm(mean), atol=1e-3)


# ---------------------------------------------------------------- cache


def read_cache(folder):
    cache = VectorCache(folder)
    return {k: cache.get([k])[0].tobytes() for k in cache.index}


def test_a_stop_in_the_middle_changes_no_bit(tiny, tmp_path):
    texts = [
        f"{a} {b} {n} cook"
        for n in range(400)
        for a, b in (("rice", "sauce"), ("team", "and"), ("chef", "nurse rice"))
    ]
    whole = Embedder(tiny, window=32, batch_tokens=600, cache=tmp_path / "whole").embed(texts)

    def stop(done, total):
        if done > 0.9 * total:
            raise KeyboardInterrupt

    stopped = Embedder(tiny, window=32, batch_tokens=600, cache=tmp_path / "cut", progress=stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.embed(texts)
    kept = len(VectorCache(next((tmp_path / "cut").iterdir())).index)
    assert 1024 <= kept < len(texts)
    again = Embedder(tiny, window=32, batch_tokens=600, cache=tmp_path / "cut")
    assert np.array_equal(again.embed(texts), whole) and again.encoded == len(texts) - kept
    assert read_cache(next((tmp_path / "cut").iterdir())) == read_cache(
        next((tmp_path / "whole").iterdir())
    )
    # the embedder that was stopped may go on too, with what it has in memory
    stopped.progress = None
    assert np.array_equal(stopped.embed(texts), whole)


def test_a_damaged_part_is_computed_again(tiny, tmp_path):
    first = Embedder(tiny, window=16, cache=tmp_path)
    want = np.concatenate([first.embed(["cook", "rice"]), first.embed(["sauce"])])
    parts = sorted(next(tmp_path.iterdir()).iterdir())
    assert [p.name for p in parts] == ["part-000001.safetensors", "part-000002.safetensors"]
    parts[0].write_bytes(parts[0].read_bytes()[:-9])
    again = Embedder(tiny, window=16, cache=tmp_path)
    assert np.array_equal(again.embed(["cook", "rice", "sauce"]), want) and again.encoded == 2
    warm = Embedder(tiny, window=16, cache=tmp_path)
    assert np.array_equal(warm.embed(["cook", "rice", "sauce"]), want) and warm.encoded == 0


def test_a_part_whose_tables_disagree_is_damaged_too(tmp_path):
    save_file(
        {"keys": np.zeros((2, 32), np.uint8), "vectors": np.zeros((1, 4), np.float32)},
        tmp_path / "part-000001.safetensors",
    )
    assert VectorCache(tmp_path).index == {}


def test_the_cache_keeps_no_text_and_no_other_encoders_vectors(tiny, tmp_path, tmp_path_factory):
    Embedder(tiny, window=16, cache=tmp_path).embed(["unmistakable"])
    other = save_backbone(tmp_path_factory.mktemp("other"), "mpnet")
    second = Embedder(other, window=16, cache=tmp_path)
    second.embed(["unmistakable"])
    assert second.encoded == 1 and len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"unmistakable" not in path.read_bytes()


def test_a_vector_does_not_depend_on_what_else_is_read(minilm):
    alone, among = Embedder(), Embedder()
    alone._loaded = among._loaded = minilm[0], module.Trunk(model=minilm[1])
    # matrix products of other shapes round otherwise: equal to 1e-6, not bit for bit
    np.testing.assert_allclose(alone.embed(TEXTS[:1]), among.embed(TEXTS)[:1], atol=1e-6)


def test_half_a_character_pair_can_be_read(tiny):
    assert np.isfinite(Embedder(tiny).fields([doc("cook \ud83d rice")]).vectors.numpy()).all()


# ---------------------------------------------------------------- loading


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no such folder/at all"])
def test_a_missing_encoder_is_one_sentence(name):
    with pytest.raises(ValueError, match="could not be loaded") as e:
        load_backbone(name)
    assert "\n" not in str(e.value) and "'minilm'" in str(e.value)


def copied(tiny, folder, **changes):
    for p in os.scandir(tiny):
        with open(p.path, "rb") as source, open(folder / p.name, "wb") as target:
            target.write(changes.get(p.name.replace(".", "_"), source.read()))
    return str(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_safetensors": b"half"},
        {"config_json": b'{"a'},
        {"config_json": b'{"model_type": "no such thing"}'},
        {"tokenizer_json": b"{"},
    ],
)
def test_a_damaged_encoder_folder_is_one_sentence(tiny, tmp_path, changes):
    with pytest.raises(ValueError, match="could not be loaded") as e:
        load_backbone(copied(tiny, tmp_path, **changes))
    assert "\n" not in str(e.value)


def test_an_encoder_folder_without_its_tokenizer_is_one_sentence(tiny, tmp_path):
    copied(tiny, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError):
        load_backbone(str(tmp_path))


def test_code_in_an_encoder_folder_is_never_run(tiny, tmp_path):
    copied(
        tiny,
        tmp_path,
        config_json=b'{"model_type": "unheard", "hidden_size": 32, "auto_map": '
        b'{"AutoConfig": "code.C", "AutoModel": "code.M"}}',
    )
    (tmp_path / "code.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "from transformers import BertConfig as C, BertModel as M\n"
    )
    code = f"from resume_contrastive.windows import load_backbone; load_backbone({str(tmp_path)!r})"
    subprocess.run(
        [sys.executable, "-c", code],
        input="y\ny\n",
        text=True,
        capture_output=True,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        check=False,
    )
    assert not (tmp_path / "ran").exists()


def test_weights_load_as_float32_and_stay_frozen(tiny):
    tokenizer, trunk = Embedder(tiny)._load()
    assert tokenizer.is_fast and not trunk.model.training
    assert {p.dtype for p in trunk.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in trunk.parameters())
