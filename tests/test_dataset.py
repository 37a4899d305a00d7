"""The data set and the pipeline: nothing leaks, everything adds up, only what changed is redone."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from tiny import save_backbone

from resume_contrastive.augmentation import read_profiles
from resume_contrastive.dataset import (
    DataConfig,
    base_id,
    build_dataset,
    is_derived,
    read_dataset,
    read_side,
    read_test_only,
    write_dataset,
)
from resume_contrastive.documents import Document, ReadError, read_table
from resume_contrastive.encoder import EncoderConfig
from resume_contrastive.pairs import PairConfig
from resume_contrastive.pipeline import STAGES, Pipeline, PipelineConfig
from resume_contrastive.registry import TestRegistry, drop_leaks
from resume_contrastive.report import model_card
from resume_contrastive.splits import SplitConfig, is_generated
from resume_contrastive.store import hash_file, plain, read_json
from resume_contrastive.training import TrainConfig

DATA = DataConfig(
    pairs=PairConfig(min_role=0.5), splits=SplitConfig(train=0.6, validation=0.2, test=0.2)
)


pytestmark = pytest.mark.usefixtures("one_thread")


def sampled(sample, folder, resumes=60, jobs=60):
    "A part of the sample corpus as two tables"
    for name, step, n in (("resumes", 4, resumes), ("jobs", 2, jobs)):
        with (sample / f"{name}.csv").open(newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))[::step][:n]
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder / "resumes.csv", folder / "jobs.csv"


@pytest.fixture(scope="session")
def tables(sample, tmp_path_factory):
    return sampled(sample, tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def built(tables, sample, tmp_path_factory):
    "A data set with four documents held out as TEST ONLY, two of them in another spelling"
    resumes, jobs = (read_table(p, k)[0] for p, k in zip(tables, ("resume", "job"), strict=True))
    held = [
        *resumes[:2],
        *(
            replace(
                d,
                id=f"other-{d.id}",
                title=d.title.lower(),
                sections={"other": " ".join(d.text.upper().split())},
            )
            for d in resumes[2:4]
        ),
    ]
    made = build_dataset(
        resumes, jobs, DATA, test_only=held, profiles=read_profiles(sample / "onet")
    )
    folder = tmp_path_factory.mktemp("built")
    write_dataset(folder, *made)
    return read_dataset(folder), {d.id for d in resumes[:4]}, len(resumes), len(jobs)


# ---------------------------------------------------------------- data set


def test_test_only_texts_are_dropped_in_any_spelling(built):
    data, held, n_resumes, _ = built
    assert len(held) == 4 and {base_id(i) for i in data.resumes} & held == set()
    assert {base_id(i) for i in data.jobs if i.startswith("skills-of:")} & held == set()
    assert not set(data.pairs.resume_id) & held
    facts = data.manifest["test_only"]
    dropped = {x["document_id"] for x in facts["dropped"]}  # one more is much like a held one
    assert facts["registered"] == 4 and held <= dropped and len(dropped) <= 6
    assert sum(not is_derived(d) for d in data.resumes.values()) == n_resumes - len(dropped)


def test_no_document_and_no_origin_is_on_two_sides(built):
    data, *_ = built
    assert set(data.split["resume"]) == set(data.resumes) and set(data.split["job"]) == set(
        data.jobs
    )
    side = {}
    for kind in ("resume", "job"):
        for id, split in data.split[kind].items():
            of = {"skills-of": "resume", "requirements-of": "job"}.get(id.split(":")[0], kind)
            origin = (of, base_id(id))
            assert side.setdefault(origin, split) == split, id
    assert {*data.split["resume"].values()} == {"train", "validation", "test"}
    texts = {}
    for kind, docs in (("resume", data.resumes), ("job", data.jobs)):
        for d in docs.values():
            if not is_derived(d):
                assert (
                    texts.setdefault(d.fingerprint, data.split[kind][d.id])
                    == data.split[kind][d.id]
                )


def test_pairs_lie_inside_one_split_and_name_documents_that_exist(built):
    data, *_ = built
    for r, j, split in zip(data.pairs.resume_id, data.pairs.job_id, data.pairs.split, strict=True):
        assert data.split["resume"][r] == data.split["job"][j] == split
    assert not data.pairs.duplicated(["resume_id", "job_id", "kind"]).any()
    made = data.pairs[data.pairs.kind.isin(["eda", "synthetic"])]
    assert set(made.split) == {"train"}  # what was invented is never tested on
    changed = data.pairs[data.pairs.kind.isin(["counterfactual", "control"])]
    assert len(changed) and set(changed.split) <= {"train", "validation"}
    sides = [d for docs in (data.resumes, data.jobs) for d in docs.values() if is_generated(d)]
    assert sides and "test" not in {data.split[d.kind][d.id] for d in sides}
    assert data.pairs.label.between(0, 1).all() and data.pairs.confidence.between(0, 1).all()


def test_the_counts_of_the_manifest_add_up(built):
    data, _, _, n_jobs = built
    counts = data.manifest["counts"]
    assert counts["resumes"] == len(data.resumes) and counts["jobs"] == len(data.jobs)
    for kind, by_split in counts["pairs"].items():
        for split, n in by_split.items():
            assert n == int(((data.pairs.kind == kind) & (data.pairs.split == split)).sum())
    assert sum(sum(c.values()) for c in counts["pairs"].values()) == len(data.pairs)
    eda = [i for i in data.resumes if "~eda" in i]
    assert counts["augmented_resumes"] == len(eda) > 0
    train = data.pairs[(data.pairs.kind == "role") & (data.pairs.split == "train")]
    assert len(eda) == round(DATA.eda_share * train.resume_id.nunique())
    assert sum(not is_derived(d) for d in data.jobs.values()) == n_jobs


def test_triples_are_whole_graded_and_checked(built):
    data, *_ = built
    made = data.pairs[data.pairs.triple != ""]
    assert set(made.kind) == {"counterfactual", "control"}
    for name, two in made.groupby("triple"):
        two = two.set_index("kind")
        job, same = name.split("|")
        assert set(two.index) == {"counterfactual", "control"} and set(two.job_id) == {job}
        assert two.resume_id["control"] == same and two.split.nunique() == 1
        assert two.label["counterfactual"] < two.label["control"]
        role = data.pairs[
            (data.pairs.kind == "role")
            & (data.pairs.resume_id == base_id(same))
            & (data.pairs.job_id == job)
        ]
        assert len(role) == 1 and role.label.iloc[0] == pytest.approx(two.label["control"])
    ends = data.manifest["triples"]
    assert sum(ends[s].get("made", 0) for s in ends) == made.triple.nunique()
    assert set(ends) == {"train", "validation"}


def test_the_evidence_of_a_role_pair_adds_up(built):
    data, *_ = built
    role = data.pairs[data.pairs.kind == "role"]
    assert (role.matched + role.implied + role.missing == role.asked).all()
    assert role.grade.isin([1, 2, 3]).all() and role.years_shown.ge(0).all()
    assert role.education_asked.between(0, 5).all()
    assert (role[role.fit >= 2 / 3].grade == 3).all() and (role[role.fit < 1 / 3].grade == 1).all()


def test_wrong_category_rows_are_negatives_of_training_only(built):
    data, *_ = built
    wrong = data.pairs[data.pairs.kind == "wrong-category"]
    assert len(wrong) and set(wrong.split) == {"train"} and set(wrong.label) == {0.0}
    assert set(wrong.grade) == {0}
    names, matrix = data.manifest["affinity"]["categories"], data.manifest["affinity"]["matrix"]
    role = data.pairs[data.pairs.kind == "role"]
    for r, j in zip(wrong.resume_id, wrong.job_id, strict=True):
        for own in role.resume_id[role.job_id == j]:
            a, b = (names.index(data.resumes[i].category) for i in (r, own))
            assert matrix[a][b] is not None and matrix[a][b] < DATA.pairs.near_category


def test_own_requirements_take_the_resume_side_and_hide_their_section(built):
    data, *_ = built
    own = data.pairs[data.pairs.kind == "own-requirements"]
    assert len(own) and own.job_id.str.endswith("-without:requirements").all()
    for r, j, split in zip(own.resume_id, own.job_id, own.split, strict=True):
        assert base_id(r) == base_id(j) and data.split["job"][base_id(j)] == split
        assert set(data.resumes[r].sections) == {"skills"}
        assert "requirements" not in data.jobs[j].sections


def test_only_what_training_names_is_encoded(built):
    data, *_ = built
    used = {(d.kind, d.id) for d in data.used()}
    for kind, side in (("resume", data.resumes), ("job", data.jobs)):
        for d in side.values():
            idle = any(x in d.id for x in ("~cf", "~same", "requirements"))
            assert ((kind, d.id) in used) == (not idle), d.id
    more = data.used(("role", "own-skills", "synthetic", "eda", "counterfactual", "control"))
    assert len(more) == len(used) + 2 * data.pairs[data.pairs.triple != ""].triple.nunique()


def test_nothing_is_made_where_nothing_is_asked_for(tables):
    sides = [read_table(p, k)[0] for p, k in zip(tables, ("resume", "job"), strict=True)]
    few = replace(DATA, triples=0, own_requirements=0)
    _, _, pairs, facts = build_dataset(*sides, few)
    assert not {"counterfactual", "control", "own-requirements"} & set(pairs.kind)
    assert facts["triples"] == {"train": {}, "validation": {}}


def test_a_share_of_0_leaves_a_split_out(tables):
    sides = (read_table(p, k)[0] for p, k in zip(tables, ("resume", "job"), strict=True))
    config = replace(DATA, splits=SplitConfig(train=0.7, validation=0.3, test=0.0))
    *_, pairs, facts = build_dataset(*sides, config)
    assert {*pairs.split} == {"train", "validation"}
    assert {*facts["split"]["resume"].values(), *facts["split"]["job"].values()} == {*pairs.split}


def test_own_skills_queries_hide_the_section_they_ask_for(built):
    data, *_ = built
    own = data.pairs[data.pairs.kind == "own-skills"]
    assert len(own) and own.resume_id.str.contains("-without:").all()
    for r, j in zip(own.resume_id, own.job_id, strict=True):
        assert base_id(r) == base_id(j)
        assert "skills" not in data.resumes[r].sections
    for d in data.side("resume", "train"):
        assert not is_derived(d)
    assert any(is_derived(d) for d in data.side("resume", "train", derived=True))


def test_the_same_bytes_in_every_process(tables, tmp_path, sample):
    code = """if True:
        import sys; from resume_contrastive.documents import read_table
        from resume_contrastive.dataset import *; from resume_contrastive.pairs import PairConfig
        from resume_contrastive.splits import SplitConfig
        config = DataConfig(pairs=PairConfig(min_role=0.5),
                            splits=SplitConfig(train=0.6, validation=0.2, test=0.2))
        sides = [read_table(p, k)[0] for p, k in zip(sys.argv[1:3], ("resume", "job"))]
        write_dataset(sys.argv[3], *build_dataset(*sides, config))"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, tables), tmp_path / seed],
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    assert [c.wait() for c in children] == [0, 0]
    names = sorted(p.name for p in (tmp_path / "1").iterdir())
    assert {"manifest.json", "pairs.parquet", "resumes.parquet", "jobs.parquet"} <= set(names)
    for name in names:
        assert hash_file(tmp_path / "1" / name) == hash_file(tmp_path / "2" / name), name


def test_reading_a_side_says_what_was_read(tmp_path, sample):
    (tmp_path / "r.csv").write_text("id,text\n1,a b c\n2,\n3,R&amp;D\n")
    docs, about = read_side(tmp_path / "r.csv", "resume")
    assert len(docs) == about["read"] == 2 and about["rejected"] == [
        {"row": "r.csv#1", "reason": "no text in it"}
    ]
    assert about["repairs"] == {"entity": 1} and about["words"] == {"min": 1, "median": 3, "max": 3}
    assert about["sha256"] == hash_file(tmp_path / "r.csv") and about["file"] == "r.csv"
    folder_docs, about = read_side(sample / "documents", "resume")
    assert about["read"] == len(folder_docs) == 26 and about["rejected"] == []
    (tmp_path / "empty.csv").write_text("id,text\n")
    for bad in ("empty.csv", "none.csv"):
        with pytest.raises(ReadError):
            read_side(tmp_path / bad, "resume")


def test_a_folder_without_a_part_is_a_sentence(built, tmp_path):
    with pytest.raises(ReadError, match="holds no data set"):
        read_dataset(tmp_path)
    (tmp_path / "manifest.json").write_text('{"split": {}}')
    with pytest.raises(ReadError, match="is no table of documents"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("id", "origin"),
    [
        ("7", "7"),
        ("skills-of:7:2", "7"),
        ("skills-of:a:b:0", "a:b"),
        ("7-without:skills", "7"),
        ("7~eda12", "7"),
        ("7~eda1-without:skills", "7"),
        ("7~cf0", "7"),
        ("7~same11", "7"),
        ("requirements-of:job-000007:2", "job-000007"),
        ("job-000007-without:requirements", "job-000007"),
        ("a~b", "a~b"),
        ("synthetic:CHEF:0", "synthetic:CHEF:0"),
    ],
)
def test_the_origin_of_an_id(id, origin):
    assert base_id(id) == origin
    assert is_derived(Document(id=id, kind="resume")) == (id not in ("7", "a~b"))


# ---------------------------------------------------------------- pipeline


@pytest.fixture(scope="session")
def base(tables, sample, tmp_path_factory):
    "One whole run on a tiny encoder; the tests work on copies of it"
    folder = tmp_path_factory.mktemp("pipeline")
    config = PipelineConfig(
        data=replace(DATA, pairs=PairConfig(min_role=0.97)),
        encoder=EncoderConfig(
            backbone=save_backbone(folder / "backbone"), window=64, max_windows=2, dim=8
        ),
        train=TrainConfig(epochs=2, batch_size=16, patience=2, lr=1e-2),
    )
    run = Pipeline(folder / "run", config, cache=folder / "embeddings")
    results = run.run_all(
        *tables, labels=sample / "labels.csv", profiles=sample / "onet", test_only=[]
    )
    return folder, config, results


class Steps:
    "A copy of the run, and what each stage did in it"

    def __init__(self, base, tables, sample, folder, copy=True, **changes):
        self.events, self.folder = [], folder / "run"
        if copy:
            shutil.copytree(base[0] / "run", self.folder)
        self.pipeline = Pipeline(
            self.folder,
            replace(base[1], **changes),
            cache=base[0] / "embeddings",
            on_stage=lambda n, e, r: self.events.append((n, e)),
        )
        self.inputs = dict(
            resumes=tables[0],
            jobs=tables[1],
            labels=sample / "labels.csv",
            profiles=sample / "onet",
            test_only=[],
        )

    def done(self):
        return [n for n, e in self.events if e == "done"]


@pytest.fixture
def steps(base, tables, sample, tmp_path):
    return lambda **options: Steps(base, tables, sample, tmp_path, **options)


def weights(folder):
    return hash_file(folder / "model" / "model.safetensors")


def test_a_second_run_reuses_everything(base, steps):
    s = steps()
    results = s.pipeline.run_all(**s.inputs)
    assert s.events == [(n, "reused") for n in STAGES] and results == base[2]


def test_the_run_folder_says_what_it_is(base):
    folder, config, results = base
    assert read_json(folder / "run" / "config.json") == json.loads(json.dumps(plain(config)))
    assert results["config"] == json.loads(json.dumps(plain(config)))
    assert set(results["stages"]) == set(STAGES) - {"export"} and results["seed"] == 0
    assert results["data_hash"] == read_json(folder / "run" / "data" / "manifest.json")["data_hash"]
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(x)["round"] for x in lines} == {0, 1}
    assert not list(folder.rglob("*.tmp*"))


def test_no_text_of_a_document_is_in_what_may_be_shown(base, tables):
    folder = base[0]
    phrases = [
        " ".join(d.sections[s].split()[:6])
        for d in read_table(tables[0], "resume")[0][:20]
        for s in ("experience",)
        if s in d.sections
    ]
    assert phrases
    for path in (folder / "run").rglob("*"):
        if path.suffix in (".json", ".jsonl", ".md"):
            text = " ".join(path.read_text(encoding="utf-8").split())
            assert not [p for p in phrases if p in text], path


def test_another_learning_rate_redoes_the_training_and_what_follows(base, steps):
    s = steps(train=replace(base[1].train, lr=0.02))
    s.pipeline.run_all(**s.inputs)
    assert s.done() == ["train", "mine", "evaluate", "compare", "export"]
    assert [n for n, e in s.events if e == "reused"] == ["prepare", "encode"]
    logs = [(f / "metrics.jsonl").read_text() for f in (s.folder, base[0] / "run")]
    assert logs[0] != logs[1]  # the kept weights may be the same: those of epoch 0


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (dict(role_weight=0.5), "train"),
        (dict(seed=1), "train"),
        (dict(rounds=0), "mine"),
    ],
)
def test_each_setting_redoes_from_its_own_stage_on(steps, change, first):
    s = steps(**change)
    s.pipeline.prepare(**s.inputs)
    for stage in ("encode", "train", "mine"):
        getattr(s.pipeline, stage)()
    order = list(STAGES[:4])
    assert s.done() == order[order.index(first) :]


def test_another_window_reads_again_and_other_data_starts_again(base, steps):
    s = steps(encoder=replace(base[1].encoder, max_windows=1))
    s.pipeline.prepare(**s.inputs)
    s.pipeline.encode()
    assert s.done() == ["encode"]
    s.pipeline.config = replace(s.pipeline.config, data=replace(base[1].data, seed=1))
    s.pipeline.prepare(**s.inputs)
    assert s.done() == ["encode", "prepare"]


def test_the_config_on_disk_is_that_of_the_last_run(base, steps):
    s = steps(train=replace(base[1].train, lr=0.02))
    s.pipeline.prepare(**s.inputs)
    for stage in ("encode", "train"):
        getattr(s.pipeline, stage)()
    assert (
        Pipeline(s.folder).config.train.lr == 0.02
    )  # what `resume-contrastive mine RUN` would use


def test_new_data_is_not_judged_with_an_old_result(base, steps):
    s = steps(data=replace(base[1].data, seed=1))
    s.pipeline.prepare(**s.inputs)  # other pairs than those the run was trained on
    s.events.clear()
    try:
        s.pipeline.evaluate()
    except ValueError:
        return  # 'train first' is a good answer
    assert ("evaluate", "reused") not in s.events


@pytest.mark.parametrize("stage", ["encode", "train", "mine"])
def test_a_stop_leaves_no_record_and_the_run_goes_on_to_the_same_model(
    base, steps, stage, tmp_path
):
    s = steps(copy=False)
    if stage == "encode":
        s.pipeline.cache = tmp_path / "embeddings"
    part = {"encode": "reading windows", "train": "training, round 0", "mine": "training, round 1"}[
        stage
    ]

    def stop(what, done, total):
        if what == part and ("encode", "start") in s.events:
            raise KeyboardInterrupt

    s.pipeline.progress = stop
    with pytest.raises(KeyboardInterrupt):
        s.pipeline.run_all(**s.inputs)
    assert not (s.folder / "stages" / f"{stage}.json").exists()
    assert s.events[-1] == (stage, "start") and not (s.folder / "model").exists()
    if stage == "encode":  # the rest is the same as for the others
        return
    s.pipeline.progress = lambda *_: None
    s.pipeline.prepare(**s.inputs)
    for name in STAGES[1:4]:
        getattr(s.pipeline, name)()
    assert hash_file(s.folder / "best" / "model.safetensors") == hash_file(
        base[0] / "run" / "best" / "model.safetensors"
    )


def test_training_refuses_a_test_only_text(base, steps, tables):
    from resume_contrastive.registry import LeakError, TestRegistry

    s = steps(train=replace(base[1].train, lr=0.02))
    trained = s.pipeline.data.side("resume", "train")[0]
    copy = replace(trained, id="x", title="", sections={"other": trained.text.upper()})
    TestRegistry().add([copy], "TEST ONLY").save(s.folder / "data" / "registry.json")
    with pytest.raises(LeakError):
        s.pipeline.train()
    assert not (s.folder / "stages" / "train.json").exists()


def test_a_lost_output_is_made_again(base, steps):
    s = steps()
    (s.folder / "evaluation.json").unlink()
    s.pipeline.run_all(**s.inputs)
    assert s.done() == ["evaluate", "compare", "export"]  # and what was made from it


def test_an_export_to_a_second_place_is_the_same_model(base, steps, tmp_path):
    s = steps()
    s.pipeline.export(tmp_path / "models" / "here")
    assert hash_file(tmp_path / "models" / "here") == hash_file(base[0] / "run" / "model")


def bad_labels(folder):
    (folder / "labels.csv").write_text("a,b\n1,2\n")
    return dict(labels=folder / "labels.csv")


def bad_profiles(folder):
    (folder / "profiles").mkdir()
    return dict(profiles=folder / "profiles")


@pytest.mark.parametrize(
    "bad",
    [
        lambda f: dict(resumes=f / "none.csv"),
        lambda f: dict(test_only=[f / "none"]),
        lambda f: dict(labels=f / "none.csv"),
        bad_profiles,
        bad_labels,
    ],
)
def test_bad_input_is_refused_before_anything_is_written(base, steps, tmp_path, bad):
    s = steps(copy=False)
    with pytest.raises(ValueError) as e:
        s.pipeline.prepare(**{**s.inputs, **bad(tmp_path)})
    assert "\n" not in str(e.value) and not s.folder.exists()


def test_stages_ask_for_the_one_before(base, steps):
    s = steps(copy=False)
    for stage, before in zip(STAGES[1:], STAGES, strict=False):
        with pytest.raises(ValueError, match=f"has no finished stage '{before}'"):
            getattr(s.pipeline, stage)()
    assert not s.folder.exists()


def test_the_run_evaluates_beside_the_controls(base):
    rows = pd.DataFrame(base[2]["evaluation"])
    assert {"random", "prior", "TF-IDF", "BM25", "zero-shot", "five signals", "learned"} <= set(
        rows.system
    )


def test_the_card_can_be_written_when_an_interval_is_missing(base):
    rows = [dict(r, low=None, high=None) for r in base[2]["evaluation"]]
    assert "learned" in model_card({**base[2], "evaluation": rows})


@pytest.mark.parametrize("name", ["triples", "own_requirements", "triples_per_resume", "draws"])
def test_data_config_says_what_is_wrong(name):
    with pytest.raises(ValueError, match=f"{name} must be >= "):
        DataConfig(**{name: -1})


@pytest.mark.parametrize("change", [dict(role_weight=-1), dict(rounds=-1)])
def test_config_says_what_is_wrong(change):
    with pytest.raises(ValueError, match="must be >= 0, got -1"):
        PipelineConfig(**change)
    with pytest.raises(ValueError, match=r"eda_share must be in \[0, 1\], got -1"):
        DataConfig(eda_share=-1)


def test_test_only_folders_with_equal_file_names_are_both_registered(tmp_path):
    for name, text in (("a", "Baker of rye bread"), ("b", "Pilot of small planes")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text(text)
    sets = read_test_only([tmp_path / "a", tmp_path / "b"])
    registry = TestRegistry()
    for name, documents in sets.items():
        registry.add(documents, name)
    assert len(registry) == 2


def test_vacancies_of_a_table_are_registered_as_jobs(sample, jobs):
    table = sample / "rankings" / "5_vacancies.csv"
    held = read_test_only([table])[str(table)]
    assert len(held) == 5 and {d.kind for d in held} == {"job"}
    registry = TestRegistry().add(held, "vacancies")
    planted = replace(held[0], id="planted", title="")
    assert [x.document_id for x in drop_leaks([planted], registry)[1]] == ["planted"]
    assert not drop_leaks(jobs, registry)[1]


class Writer:
    """A language model that answers every prompt of a task in one way."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def complete(self, prompts):
        self.asked += prompts
        return [self.answers(p) for p in prompts]


def test_what_a_model_writes_goes_to_its_place(tables, sample, tmp_path):
    def answer(prompt):
        if prompt.task.startswith("hyre"):
            return "Experience\nRan things.\nSkills\nPython"
        if prompt.task.startswith("paraphrase"):
            return prompt.user.replace(" the ", " said ")
        return None  # the composer writes the reference jobs

    resumes, jobs = (read_side(p, k)[0] for p, k in zip(tables, ("resume", "job"), strict=True))
    config = replace(DATA, generate=("hyre", "paraphrase", "reference-job"), llm="m",
                     paraphrase_share=0.5)
    client = Writer(answer)
    made = build_dataset(resumes, jobs, config, client=client,
                         profiles=read_profiles(sample / "onet"))
    write_dataset(tmp_path, *made)
    data = read_dataset(tmp_path)
    copies = [d for d in data.resumes.values() if d.id.endswith("~paraphrase")]
    assert copies and {data.split["resume"][d.id] for d in copies} == {"train"}
    assert all(is_derived(d) and base_id(d.id) in data.resumes for d in copies)
    rows = data.pairs[data.pairs.kind == "paraphrase"]
    assert set(rows.resume_id) == {d.id for d in copies} and set(rows.split) == {"train"}
    real = [d for d in data.jobs.values() if not is_derived(d)]
    assert set(data.hyre) == {d.id for d in jobs} and not {*data.hyre} - {d.id for d in real}
    plain = data.jobs[jobs[0].id]
    (read,) = data.for_encoder([plain])
    assert "[Example resume]" in read.text and "[Example resume]" not in plain.text
    assert data.for_encoder(copies) == copies
    with pytest.raises(ValueError, match="a client is needed to generate hyre"):
        build_dataset(resumes, jobs, config)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"generate": ("poem",)}, "generate knows hyre"), ({"generate": ("hyre",)}, "needs llm"),
     ({"paraphrase_share": 2}, "paraphrase_share must be in")],
)
def test_generation_settings_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**change)


@pytest.mark.parametrize("content", [None, b"%PDF-1.7 broken"])
def test_a_test_only_folder_is_registered_whole_or_refused(tmp_path, content):
    if content:
        (tmp_path / "good.txt").write_text("Baker of rye bread")
        (tmp_path / "bad.pdf").write_bytes(content)
    with pytest.raises(ReadError, match="can't be registered whole"):
        read_test_only([tmp_path])
