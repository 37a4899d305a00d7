"""The graphs give torch's vectors without torch; int8 is offered only where it was measured."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import WORDS, save_backbone

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from resume_contrastive import cutting, windows
from resume_contrastive.cutting import Cutter, FileTokenizer
from resume_contrastive.documents import SECTIONS, Document
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.export import check_model, export_model, seal
from resume_contrastive.onnx_export import (
    OnnxEncoder,
    add_onnx,
    compare_graphs,
    offer,
    quantise,
    write_graph,
)
from resume_contrastive.store import read_json, write_json
from resume_contrastive.windows import Embedder

pytestmark = pytest.mark.usefixtures("one_thread")
LIMIT = 1e-4


def make(folder, kind="bert", **changes):
    backbone = save_backbone(folder / f"trunk-{kind}", kind)
    config = EncoderConfig(backbone=backbone, **{"window": 24, "dim": 8, **changes})
    torch.manual_seed(0)
    model, embedder = DualEncoder(32, config).eval(), config.embedder()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model, embedder, export_model(model, embedder, folder / "model", backbone=backbone)


def reference(model, embedder, documents):
    with torch.inference_mode():
        return np.concatenate([model(embedder.fields([d]), d.kind).numpy() for d in documents])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Sections, attention between fields, a learned merge, two heads, a trained trunk."""
    model, embedder, folder = make(tmp_path_factory.mktemp("onnx"), interaction="attention",
                                   merge="learned")
    report = add_onnx(folder, embedder=embedder)
    return model, embedder, folder, report


@pytest.fixture
def copy(built, tmp_path):
    return Path(shutil.copytree(built[2], tmp_path / "model"))


TEXT = st.lists(st.sampled_from([*WORDS, ".", "\n", "x1"]), max_size=60).map(" ".join)
DOCUMENT = st.sampled_from(["resume", "job"]).flatmap(lambda kind: st.builds(
    lambda title, parts: Document(id="x", kind=kind, title=title, sections=parts),
    st.sampled_from(["", "chef", "software engineer"]),
    st.dictionaries(st.sampled_from(SECTIONS[kind]), TEXT, max_size=3)))


# ---------------------------------------------------------------- parity


@settings(max_examples=25, deadline=None)
@given(documents=st.lists(DOCUMENT, min_size=1, max_size=6), budget=st.sampled_from([1, 40, 512]))
def test_any_documents_have_the_vectors_of_torch(built, documents, budget):
    model, embedder, folder, _ = built
    encoder = OnnxEncoder(folder, precision="fp32", batch_tokens=budget)
    assert np.abs(encoder.encode(documents) - reference(model, embedder, documents)).max() < LIMIT


@pytest.mark.parametrize("changes", [
    {"sides": "separate", "layout": "flat", "similarity": "dot"},
    {"merge": "attention", "missing": "unknown", "dim": 0, "window": 200, "field_prefix": True}],
    ids=str)
def test_other_configurations_have_the_vectors_of_torch(tmp_path, changes, resumes, jobs):
    model, embedder, folder = make(tmp_path, **changes)
    write_graph(embedder._load()[1], model, tmp_path / "g.onnx")
    encoder = OnnxEncoder(folder, graph=tmp_path / "g.onnx", precision="fp32")
    documents = [*resumes[:3], *jobs[:3], Document(id="e", kind="job")]
    assert np.abs(encoder.encode(documents) - reference(model, embedder, documents)).max() < LIMIT


def test_a_trunk_of_another_kind_is_written_as_it_is(tmp_path, resumes):
    model, embedder, folder = make(tmp_path, "mpnet")
    write_graph(embedder._load()[1], model, tmp_path / "g.onnx")
    encoder = OnnxEncoder(folder, graph=tmp_path / "g.onnx", precision="fp32")
    assert np.abs(encoder.encode(resumes[:4])
                  - reference(model, embedder, resumes[:4])).max() < LIMIT


def test_int8_is_near_and_only_the_trunk_is_quantised(built, tmp_path, resumes):
    import onnx

    model, embedder, folder, report = built
    assert report["int8"]["products"] == 2 * 6  # of two layers; the heads stay fp32
    assert report["int8"]["bytes"] < report["fp32"]["bytes"]
    int8 = OnnxEncoder(folder, graph=folder / "onnx" / "model-int8.onnx", precision="int8")
    cosine = (int8.encode(resumes[:8]) * reference(model, embedder, resumes[:8])).sum(1)
    assert cosine.min() > 0.97
    assert quantise(folder / "onnx" / "model.onnx", tmp_path / "q.onnx") == 12
    weights = [x for x in onnx.load(tmp_path / "q.onnx").graph.initializer
               if x.data_type == onnx.TensorProto.INT8 and len(x.dims) == 2]
    assert len(weights) == 12
    assert all(np.abs(onnx.numpy_helper.to_array(x).astype(int)).max() <= 64 for x in weights)


def test_attention_of_bert_is_one_operator(built):
    import onnx

    ops = [n.op_type for n in onnx.load(built[2] / "onnx" / "model.onnx").graph.node]
    assert ops.count("MultiHeadAttention") == 2 and ops.count("BiasGelu") == 2


def test_threads_share_an_encoder(built, resumes):
    encoder = OnnxEncoder(built[2], precision="fp32", threads=2)
    want = encoder.encode(resumes[:6])
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(lambda _: encoder.encode(resumes[:6]), range(12)):
            assert np.abs(found - want).max() < LIMIT


def test_a_backend_loads_no_torch(built):
    code = ("import sys; from resume_contrastive.onnx_export import OnnxEncoder\n"
            "from resume_contrastive.documents import Document\n"
            f"e = OnnxEncoder({str(built[2])!r}); e.encode([Document(id='x', kind='job')])\n"
            "print(sorted({'torch', 'transformers', 'pandas', 'sklearn'} & set(sys.modules)))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ---------------------------------------------------------------- what is offered


def test_int8_without_a_measurement_is_not_offered(built):
    assert built[3]["int8"]["offered"] is False and built[3]["fp32"]["largest_difference"] is None
    assert OnnxEncoder(built[2]).precision == "fp32"
    with pytest.raises(ValueError, match="does not offer int8: no benchmark was given"):
        OnnxEncoder(built[2], precision="int8")


def test_the_offer_follows_the_worst_row():
    row = {"aspect": "fit", "direction": "job->resume", "low": -1.0, "high": 2.0, "n": 9}
    assert offer({"rows": [{**row, "loss_points": 0.5}, {**row, "loss_points": -3}]})["offered"]
    found = offer({"rows": [{**row, "loss_points": 0.51}, {**row, "loss_points": -3}]})
    assert not found["offered"] and found["reason"].startswith("0.51 points of nDCG@10 lost in fit")


def test_losses_by_hand():
    from resume_contrastive.benchmarks import Benchmark

    resumes = [Document(id=f"r{i}", kind="resume") for i in range(2)]
    jobs = [Document(id=f"j{i}", kind="job") for i in range(2)]
    benchmark = Benchmark(name="x", aspect="role", resumes=resumes, jobs=jobs, gains=np.eye(2),
                          directions=("job->resume",))

    def vectors(swap):
        return lambda ds: np.eye(2)[::-1] if swap and ds[0].kind == "job" else np.eye(2)

    found = compare_graphs({"torch": vectors(0), "fp32": vectors(0), "int8": vectors(1)},
                           [benchmark])
    assert found["parity"] == {"fp32": 0.0, "int8": 1.0}
    # the relevant one falls from rank 1 to rank 2: 1 - 1 / log2(3)
    assert found["rows"][0]["loss_points"] == pytest.approx(100 * (1 - 1 / np.log2(3)))


def test_auto_takes_int8_where_it_is_offered(copy):
    report = read_json(copy / "onnx" / "report.json")
    report["int8"]["offered"] = True
    write_json(copy / "onnx" / "report.json", report)
    with pytest.raises(ValueError, match=r"report.json is missing or damaged"):
        OnnxEncoder(copy)
    seal(copy)
    assert OnnxEncoder(copy).precision == "int8"


# ---------------------------------------------------------------- faults


def test_a_folder_without_graphs_says_so(copy):
    shutil.rmtree(copy / "onnx")
    seal(copy)
    assert check_model(copy)
    with pytest.raises(ValueError, match="holds no ONNX graphs"):
        OnnxEncoder(copy)


def test_a_damaged_graph_is_one_sentence(copy):
    path = copy / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"model\.onnx is missing or damaged"):
        OnnxEncoder(copy)
    seal(copy)
    with pytest.raises(ValueError, match="could not be opened"):
        OnnxEncoder(copy)


@pytest.mark.parametrize(("settings_", "said"), [({"precision": "int4"}, "precision must be"),
                                                 ({"threads": -1}, "threads must be"),
                                                 ({"batch_tokens": 0}, "batch_tokens >= 1")])
def test_bad_settings_are_sentences(built, settings_, said):
    with pytest.raises(ValueError, match=said):
        OnnxEncoder(built[2], **settings_)


def test_a_trunk_with_heads_of_its_own_is_refused(built):
    class Trunk:
        heads = object()

    with pytest.raises(ValueError, match="native_head"):
        write_graph(Trunk(), built[0], "nowhere.onnx")


# ---------------------------------------------------------------- cutting


@settings(max_examples=60, deadline=None)
@given(document=DOCUMENT, window=st.sampled_from([8, 13, 24]), most=st.sampled_from([0, 2]),
       flat=st.booleans(), unknown=st.booleans())
def test_windows_are_those_of_the_torch_reader(built, document, window, most, flat, unknown):
    shared = dict(window=window, max_windows=most, layout="flat" if flat else "sections",
                  missing="unknown" if unknown else "mask")
    embedder = Embedder(built[1].backbone, **shared)
    embedder._loaded = built[1]._load()
    ours = Cutter(tokenizer=FileTokenizer(built[2] / "tokenizer"), **shared)(document)
    assert [(w.text, w.field, w.tokens) for w in ours] == [
        (w.text, w.field, w.tokens) for w in embedder.windows(document)]


def test_the_two_readers_know_the_same_fields():
    assert cutting.FIELDS == windows.FIELDS and cutting.TAXA == windows.TAXA
    lengths = list(np.random.default_rng(0).integers(1, 99, 50))
    assert cutting.token_batches(lengths, 128) == windows.token_batches(lengths, 128)


def test_a_graph_of_another_trunk_is_refused(copy, tmp_path):
    """Its own reference would agree with it, and the scorer would take it for the model's."""
    _, other, _ = make(tmp_path / "other", kind="mpnet")
    with pytest.raises(ValueError, match="its graph would be another model's"):
        add_onnx(copy, embedder=other)
    assert check_model(copy)
