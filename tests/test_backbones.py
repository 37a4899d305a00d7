"""Backbones: pooling, prompts and heads are those of the model's folder, by path and by hub id."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import ARCHITECTURES, save_backbone

from resume_contrastive.backbones import (
    Trunk,
    find_backbone,
    read_heads,
    read_pooling,
    read_prompts,
)
from resume_contrastive.documents import Document
from resume_contrastive.encoder import DualEncoder, EncoderConfig, encoder_score
from resume_contrastive.windows import Embedder

TEXTS = ["cook rice and sauce", "python software engineer (team)", "x", "chef " * 12]
JOB = Document(id="j", kind="job", title="Head chef", sections={"requirements": "cook rice"})
RESUME = Document(id="r", kind="resume", title="Chef", sections={"skills": "sauce, team"})
NATIVE = {"qwen2": "lasttoken", "qwen3": "lasttoken", "modernbert": "cls"}


def save_peer(folder, kind="mpnet", pooling="mean", heads=None, dense=(), **kwargs):
    "A model's folder as sentence-transformers writes it, and the model"
    st = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import modules as m

    def layer(width, out, seed, act):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return m.Dense(width, out, activation_function=act)

    first = m.Transformer(save_backbone(folder / "plain", kind), max_seq_length=64)
    parts = [first, m.Pooling(32, pooling_mode=pooling)]
    parts += [layer(32, 32, 9, torch.nn.GELU()) for _ in dense]
    if heads:
        chains = {r: [layer(32, 48, n, torch.nn.Tanh())] for n, r in enumerate(heads)}
        parts.append(m.Router(chains, allow_empty_key=True))
    peer = st.SentenceTransformer(modules=parts, device="cpu", **kwargs)
    peer.save(str(folder / "peer"), create_model_card=False)
    return str(folder / "peer"), peer


def as_old_files(folder):
    "Rewrites a folder as sentence-transformers 3 wrote it, which is how JobBERT-v2 lies on the hub"
    folder = Path(folder)
    modules = json.loads((folder / "modules.json").read_text())
    for m in modules:
        m["type"] = "sentence_transformers.models." + m["type"].rsplit(".", 1)[-1]
        if m["type"].endswith("Router"):
            (folder / m["path"]).rename(folder / "2_Asym")
            m |= {"type": "sentence_transformers.models.Asym", "path": "2_Asym"}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Asym" / "router_config.json").rename(folder / "2_Asym" / "config.json")
    pooling = {f"pooling_mode_{k}": k == "mean_tokens" for k in ("cls_token", "mean_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def hub_cache(folder, name, source):
    "Copies a model's folder to a hub cache, as a download leaves it"
    at = folder / f"models--{name.replace('/', '--')}"
    shutil.copytree(source, at / "snapshots" / ("0" * 40))
    (at / "refs").mkdir()
    (at / "refs" / "main").write_text("0" * 40)


# ---------------------------------------------------------------- parity with the peer


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_each_pooling_equals_the_peers(tmp_path, kind):
    for pooling in ("mean", "cls", "lasttoken"):
        folder, peer = save_peer(tmp_path / pooling, kind, pooling)
        want = peer.encode(TEXTS, normalize_embeddings=True)
        got = Embedder(folder, window=64).embed(TEXTS)
        assert np.abs(got - want).max() < 1e-5, pooling


@pytest.mark.parametrize("old", [False, True])
def test_routed_heads_equal_the_peers(tmp_path, old):
    folder, peer = save_peer(tmp_path, heads=("anchor", "positive"))
    routes = ("anchor", "positive")
    want = {r: peer.encode(TEXTS, task=r, normalize_embeddings=True) for r in routes}
    if old:
        as_old_files(folder)
    embedder = Embedder(folder, window=64, native_head=True, cache=tmp_path / "cache")
    assert embedder.dim == 48 and embedder.routes == ["anchor", "positive"]
    for route, vectors in want.items():
        assert np.abs(embedder.embed(TEXTS, [route] * len(TEXTS)) - vectors).max() < 1e-5
    assert np.array_equal(embedder.embed(TEXTS), embedder.embed(TEXTS, ["anchor"] * len(TEXTS)))
    assert embedder.encoded == len(TEXTS)  # a window is read once for all routes
    for document in (RESUME, JOB):  # titles are titles and the rest is skills, on both sides
        assert [w.route for w in embedder.windows(document)] == ["anchor", "positive"]
        batch = embedder.fields([document])
        texts = [document.title, *document.sections.values()]
        for n, route in enumerate(("anchor", "positive")):
            vector = peer.encode(texts[n], task=route, normalize_embeddings=True)
            assert np.abs(batch.vectors[0, n].numpy() - vector).max() < 1e-5
    # neither the vectors nor the model's hash may be taken for those without heads
    plain = Embedder(folder, window=64, cache=tmp_path / "cache")
    assert plain.embed(TEXTS).shape == (4, 32) and plain.encoded == 4
    assert plain.backbone_hash != embedder.backbone_hash


def test_one_chain_of_layers_and_routes_by_side(tmp_path):
    folder, peer = save_peer(tmp_path / "a", dense=(1,), pooling="cls")
    want = peer.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(Embedder(folder, window=64, native_head=True).embed(TEXTS) - want).max() < 1e-5
    folder, peer = save_peer(tmp_path / "b", dense=(1,), heads=("query", "document"))
    embedder = Embedder(folder, window=64, native_head=True)
    for document, task in ((JOB, "query"), (RESUME, "document")):
        assert {w.route for w in embedder.windows(document)} == {task}
        vector = peer.encode(document.title, task=task, normalize_embeddings=True)
        assert np.abs(embedder.fields([document]).vectors[0, 0].numpy() - vector).max() < 1e-5


def test_prompts_go_before_every_window(tmp_path):
    prompts = {"query": "cook: ", "document": "team: "}
    folder, peer = save_peer(tmp_path, prompts=prompts)
    embedder = Embedder(folder, window=64)
    assert [w.text for w in embedder.windows(JOB)] == ["cook: Head chef", "cook: cook rice"]
    assert [w.text for w in embedder.windows(RESUME)] == ["team: Chef", "team: sauce, team"]
    want = peer.encode("Chef", prompt_name="document", normalize_embeddings=True)
    assert np.abs(embedder.fields([RESUME]).vectors[0, 0].numpy() - want).max() < 1e-5
    assert read_prompts(folder) == {"job": "cook: ", "resume": "team: "}
    everything = save_peer(tmp_path / "d", prompts={"a": "and: "}, default_prompt_name="a")[0]
    assert read_prompts(everything) == {"job": "and: ", "resume": "and: "}


def test_a_model_with_its_own_heads_trains_and_scores(tmp_path):
    folder, _ = save_peer(tmp_path, heads=("anchor", "positive"))
    config = EncoderConfig(backbone=folder, native_head=True, window=32, dim=8)
    embedder = config.embedder()
    sides = [embedder.fields([d]) for d in (RESUME, JOB)]
    model = DualEncoder(embedder.dim, config).start_from(torch.cat([s.mean() for s in sides]))
    assert encoder_score(embedder, model)([RESUME], [JOB]).shape == (1, 1)


# ---------------------------------------------------------------- by hub id, offline


def test_every_architecture_loads_by_hub_id_offline(tmp_path):
    where = {}
    for kind in ARCHITECTURES:
        source, _ = save_peer(tmp_path / kind, kind, NATIVE.get(kind, "mean"))
        hub_cache(tmp_path / "hub", f"org/{kind}", source)
        where[f"org/{kind}"] = source
    source, _ = save_peer(tmp_path / "jobbert", heads=("anchor", "positive"))
    as_old_files(source)
    hub_cache(tmp_path / "hub", "TechWolf/JobBERT-v2", source)
    code = """if True:
        import json, sys
        from resume_contrastive.windows import Embedder
        names, texts = json.load(sys.stdin)
        out = {n: Embedder(n, window=64).embed(texts).tolist() for n in names}
        heads = Embedder("jobbert", window=64, native_head=True)
        out["jobbert"] = heads.embed(texts, ["positive"] * len(texts)).tolist()
        print(json.dumps(out))
    """
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([list(where), TEXTS]),
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    got = json.loads(run.stdout)
    for name, folder in where.items():
        assert np.abs(np.float32(got[name]) - Embedder(folder, window=64).embed(TEXTS)).max() < 1e-6
    want = Embedder(source, window=64, native_head=True).embed(TEXTS, ["positive"] * len(TEXTS))
    assert np.abs(np.float32(got["jobbert"]) - want).max() < 1e-6


def test_a_decoder_sees_only_what_comes_before(tmp_path):
    folder = save_backbone(tmp_path, "qwen3")
    first, last = (Trunk(folder, pooling=p).eval() for p in ("cls", "last"))
    ids, other = torch.tensor([[40, 41, 42, 0]]), torch.tensor([[40, 50, 51, 0]])
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        assert torch.allclose(first(ids, mask), first(other, mask), atol=1e-6)
        assert not torch.allclose(last(ids, mask), last(other, mask), atol=1e-3)


# ---------------------------------------------------------------- caches and damage


def test_the_default_encoder_keeps_its_cache(tmp_path):
    import hashlib

    embedder = Embedder(cache=tmp_path)
    key = hashlib.sha256(f"{embedder.backbone_hash}:mean:unit".encode()).hexdigest()[:16]
    assert embedder.cache.folder == tmp_path / key
    weights = Path(find_backbone("minilm")) / "model.safetensors"
    assert embedder.backbone_hash == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_other_pooling_of_the_same_weights_is_another_model(tmp_path):
    found = [Embedder(save_peer(tmp_path / p, pooling=p)[0], cache=tmp_path / "c")
             for p in ("mean", "cls")]  # fmt: skip
    assert found[0].backbone_hash != found[1].backbone_hash
    assert found[0].cache.folder != found[1].cache.folder


def test_what_a_folder_says_and_is_not_known_is_one_sentence(tmp_path):
    folder, _ = save_peer(tmp_path / "a", pooling="max")
    with pytest.raises(ValueError, match="is pooled by max; known are mean"):
        Embedder(folder)
    folder, _ = save_peer(tmp_path / "b", heads=("anchor", "positive"))
    config = Path(folder) / "2_Router" / "anchor_0_Dense" / "config.json"
    config.write_text(config.read_text().replace("Tanh", "Tanhshrink"))
    with pytest.raises(ValueError, match="has activation Tanhshrink"):
        read_heads(folder)
    (config.parent / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="download the whole model"):
        Embedder(folder, native_head=True)
    with pytest.raises(ValueError, match="has no head of its own"):
        Embedder(save_backbone(tmp_path / "c"), native_head=True)


def test_a_folder_that_says_nothing_is_averaged(tmp_path):
    folder = save_backbone(tmp_path)
    assert (read_pooling(folder), read_prompts(folder)) == ("mean", {})
    assert (read_pooling("org/not-here"), read_prompts("org/not-here")) == ("mean", {})
