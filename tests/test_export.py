"""A model folder proves itself: what is wrong with it is said in a sentence before it is opened."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_backbone

from resume_contrastive.documents import Document
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.export import (
    LICENCES,
    NO_CALIBRATION,
    check_model,
    export_model,
    folder_files,
    inexpressible,
    migrate,
    seal,
    to_sentence_transformers,
    write_card,
)
from resume_contrastive.scorer import Calibration
from resume_contrastive.store import hash_file, read_json, write_json

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_backbone(tmp_path_factory.mktemp("backbone"), "bert")


def make(backbone, folder, **changes):
    """A model of a tiny trunk whose two heads differ."""
    config = EncoderConfig(backbone=backbone, **{"window": 32, "dim": 8, **changes})
    torch.manual_seed(0)
    model, embedder = DualEncoder(32, config).eval(), config.embedder()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    export_model(model, embedder, folder, card="# Card\n", calibration=Calibration(slope=5), seed=3)
    return model, embedder, folder


@pytest.fixture(scope="module")
def exported(backbone, tmp_path_factory):
    return make(backbone, tmp_path_factory.mktemp("models") / "model")[2]


@pytest.fixture
def copy(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "model"))


def changed(folder, **changes):
    config = {**read_json(folder / "config.json"), **changes}
    write_json(folder / "config.json", {k: v for k, v in config.items() if v != "gone"})
    seal(folder)


def refused(folder) -> str:
    with pytest.raises(ValueError) as e:
        check_model(folder)
    assert "\n" not in str(e.value) and len(str(e.value)) < 600
    return str(e.value)


# ---------------------------------------------------------------- what is written


def test_a_folder_has_all_its_files_named_and_its_config(exported):
    names = set(folder_files(exported))
    assert set(read_json(exported / "checksums.json")) == names
    assert {"card.md", "prompts.json", "tokenizer/tokenizer.json", "model.safetensors"} <= names
    config = check_model(exported)
    assert config["format"] == 2 and config["about"] == {"seed": 3}
    assert "torch" in config["versions"]
    assert Calibration(**config["calibration"]) == Calibration(slope=5)


def test_the_same_model_gives_the_same_bytes(backbone, tmp_path):
    a, b = (make(backbone, tmp_path / name)[2] for name in "ab")
    assert (a / "checksums.json").read_bytes() == (b / "checksums.json").read_bytes()
    assert str(tmp_path) not in (a / "tokenizer" / "tokenizer_config.json").read_text()


def test_an_export_replaces_what_was_there(backbone, copy):
    (copy / "stale.bin").write_text("old")
    make(backbone, copy, dim=4)
    assert not (copy / "stale.bin").exists() and check_model(copy)["encoder"]["dim"] == 4


def test_the_import_is_light():
    code = "import sys, resume_contrastive.export; print({'torch', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "checksums.json", "card.md",
                                  "prompts.json", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize("change", ["missing", "cut", "grown", "other bit"])
def test_any_damaged_file_is_one_sentence(copy, name, change):
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if change == "other bit":
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    elif change != "missing":
        path.write_bytes(data[: len(data) // 2] if change == "cut" else data + b" x")
    said = refused(copy)
    assert "again" in said or "There is no model" in said


def test_truncated_weights_with_a_true_checksum_are_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    seal(copy)
    assert "no whole safetensors file" in refused(copy)


@pytest.mark.parametrize(("number", "said"), [(3, "Update resume_contrastive"), (0, "Export the"),
                                              ("2", "has format '2'"), (True, "has format True"),
                                              (None, "no model of this package")])
def test_formats_that_are_not_known_are_refused(copy, number, said):
    changed(copy, format=number)
    found = refused(copy)
    assert said in found and "this version reads formats 1 and 2" in found


def test_foreign_folders_are_named(tmp_path, backbone, copy):
    assert "a transformers folder" in refused(backbone)
    peer = to_sentence_transformers(copy, tmp_path / "peer")
    assert "a sentence-transformers folder" in refused(peer)
    files = tmp_path / "files"
    files.mkdir()
    (files / "holiday.jpg").write_bytes(b"\xff\xd8")
    assert "There is no model in" in refused(files)
    assert "There is no model in" in refused(tmp_path / "nothing")
    (files / "config.json").write_text("[1, 2]")
    assert "has format None" in refused(files)
    (files / "config.json").write_text("{" * 9)
    assert "is not a JSON file" in refused(files)
    (files / "config.json").write_text("[" * 100_000)
    assert "nested too deeply" in refused(files)
    (files / "config.json").write_text(" " * 1_000_001)
    assert "which no config has" in refused(files)


def test_dimensions_must_be_those_of_the_weights(copy):
    changed(copy, d=16)
    assert "has shape [8, 16], its weights have [8, 32]" in refused(copy)
    changed(copy, d=32, encoder={**read_json(copy / "config.json")["encoder"], "dim": 9})
    assert "has shape [9, 32]" in refused(copy)


def test_links_out_of_the_folder_are_refused_and_links_inside_are_not(copy, tmp_path):
    (tmp_path / "secret.txt").write_text("x")
    (copy / "card.md").unlink()
    (copy / "card.md").symlink_to(tmp_path / "secret.txt")
    assert "link that leaves the folder" in refused(copy)
    (copy / "card.md").unlink()
    (copy / "card.md").symlink_to(copy / "prompts.json")
    seal(copy)
    assert check_model(copy)
    (copy / "backbone").symlink_to(tmp_path, target_is_directory=True)
    assert "link that leaves the folder" in refused(copy)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b", "", "x\0"])
def test_names_that_leave_the_folder_are_refused(copy, name):
    sums = read_json(copy / "checksums.json")
    write_json(copy / "checksums.json", {**sums, name: "0" * 64})
    assert "outside of the folder" in refused(copy)


def test_a_file_that_no_checksum_names_is_refused_and_a_hidden_one_is_not(copy):
    (copy / ".DS_Store").write_text("x")
    assert check_model(copy)
    (copy / "backbone").mkdir()
    (copy / "backbone" / "config.json").write_text("{}")
    assert "backbone/config.json, which its checksums don't name" in refused(copy)


@pytest.mark.parametrize("change", [{"calibration": "gone"}, {"calibration": {"a": 1}}, {"d": "32"},
                                    {"calibration": {**NO_CALIBRATION, "slope": "1"}}, {"d": -1},
                                    {"backbone_sha256": "gone"}, {"encoder": {}}, {"encoder": []}])
def test_a_config_of_another_shape_is_one_sentence(copy, change):
    changed(copy, **change)
    assert "is not whole" in refused(copy)


@pytest.mark.parametrize("text", ["[]", '{"resume": ""}', '{"resume": 1, "job": ""}'])
def test_prompts_of_another_shape_are_one_sentence(copy, text):
    (copy / "prompts.json").write_text(text)
    seal(copy)
    assert "prompts.json must hold a text" in refused(copy)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x),
                    max_leaves=6)


@settings(max_examples=30, deadline=None)
@given(value=JSON, key=st.sampled_from(["format", "d", "encoder", "calibration", "about", "blend"]))
def test_any_value_in_the_config_opens_or_is_a_sentence(exported, tmp_path_factory, value, key):
    folder = tmp_path_factory.mktemp("any") / "model"
    shutil.copytree(exported, folder)
    try:
        changed(folder, **{key: value})
        check_model(folder)
    except ValueError as e:
        assert "\n" not in str(e)
    finally:
        shutil.rmtree(folder)


# ---------------------------------------------------------------- the older format


def test_format_1_opens_and_is_migrated(exported, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(exported / "model.safetensors", old)
    config = {**read_json(exported / "config.json"), "format": 1,
              "about": {"versions": {"torch": "2.4"}}}
    config.pop("versions")
    write_json(old / "config.json", config)
    assert "checksum differs" in refused(old)
    write_json(old / "checksums.json", {n: hash_file(old / n) for n in ("config.json",
                                                                        "model.safetensors")})
    found = check_model(old)
    assert found["format"] == 2 and found["migrated_from"] == 1
    assert found["versions"] == {"torch": "2.4"} and found["calibration"] == config["calibration"]
    assert migrate(found) is found
    (old / "note.txt").write_text("format 1 never listed everything")
    assert check_model(old)
    (old / "model.safetensors").write_bytes(b"x")
    assert "checksum differs" in refused(old)


# ---------------------------------------------------------------- sentence-transformers

TEXTS = ["head chef rice", "nurse and team", "software engineer python", "sauce"]


@pytest.mark.parametrize("settings", [{}, {"sides": "separate"}, {"dim": 0}, {"merge": "attention"},
                                      {"similarity": "dot"}, {"merge": "learned"},
                                      {"layout": "flat", "field_prefix": True, "window": 200}],
                         ids=str)
def test_sentence_transformers_gives_our_vectors(backbone, tmp_path, settings):
    peers = pytest.importorskip("sentence_transformers")
    model, embedder, folder = make(backbone, tmp_path / "m", **settings)
    peer = peers.SentenceTransformer(str(to_sentence_transformers(folder, tmp_path / "p")),
                                     device="cpu")
    for kind, encode in (("resume", peer.encode_document), ("job", peer.encode_query)):
        documents = [Document(id="x", kind=kind, sections={"other": t}) for t in TEXTS]
        with torch.inference_mode():
            want = model(embedder.fields(documents), kind).numpy()
        heading = "Other\n" if settings.get("layout") == "flat" else ""  # flat texts name sections
        texts = [heading + t for t in TEXTS]
        assert np.abs(encode(texts, show_progress_bar=False) - want).max() < 1e-5
    assert peer.max_seq_length == embedder.window


def test_a_trained_trunk_goes_along(backbone, tmp_path):
    peers = pytest.importorskip("sentence_transformers")
    model, embedder, folder = make(backbone, tmp_path / "m")
    export_model(model, embedder, folder, backbone=backbone)
    shutil.copytree(folder, tmp_path / "moved")
    assert "backbone/model.safetensors" in read_json(folder / "checksums.json")
    peer = peers.SentenceTransformer(str(to_sentence_transformers(tmp_path / "moved",
                                                                  tmp_path / "p")), device="cpu")
    assert peer.encode_query(["rice"]).shape == (1, 8)


@pytest.mark.parametrize(("settings", "why"), [
    ({"interaction": "attention"}, "attend to one another"),
    ({"missing": "unknown"}, "read as 'unknown'"), ({"field_prefix": True}, "words of its own"),
    ({"native_head": True}, "own heads")])
def test_what_cannot_be_expressed_is_said(backbone, tmp_path, settings, why):
    assert why in inexpressible(settings)[0]
    if "native_head" not in settings:
        folder = make(backbone, tmp_path / "m", window=200, **settings)[2]
        with pytest.raises(ValueError, match=why):
            to_sentence_transformers(folder, tmp_path / "p")
        assert not (tmp_path / "p").exists()


# ---------------------------------------------------------------- the card


def test_the_card_of_a_real_record_has_every_part(root):
    results = read_json(root / "data" / "results" / "real.json")
    card = write_card(results)
    for part in ("## Data", "## Licences of the training data", "## Training", "95 % interval",
                 "## Intended use", "## Must not be used for", "## Limits", "CC0", "research use"):
        assert part in card
    assert str(results["config"]["train"]["lr"]) in card
    assert write_card({**results, "inputs": {"resumes": {"file": "x", "sha256": "0" * 64,
                                                         "read": 1}}}).count("not recorded") == 1


def test_licences_of_the_sample_are_those_of_its_files(root):
    for name in ("resumes.csv", "jobs.csv"):
        assert "Apache-2.0" in LICENCES[hash_file(root / "data" / "sample" / name)[:16]]


def test_sealing_is_idempotent(copy):
    before = (copy / "checksums.json").read_bytes()
    seal(copy)
    assert (copy / "checksums.json").read_bytes() == before
    assert json.loads(before) and not os.path.exists(copy / "checksums.json.tmp")
