"""What the tests share. They run on the installed package, offline."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sample(root) -> Path:
    """The sample corpus."""
    return root / "data" / "sample"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("RESUME_CONTRASTIVE_DATA")
    if not folder:
        pytest.skip("RESUME_CONTRASTIVE_DATA is not set: no real data here")
    if not Path(folder).is_dir():
        pytest.fail(f"RESUME_CONTRASTIVE_DATA names no folder: {folder}")
    return Path(folder)


@pytest.fixture(scope="module")
def resumes(sample):
    """The sample's resumes, as documents."""
    from resume_contrastive.documents import read_table

    return read_table(sample / "resumes.csv", "resume")[0]


@pytest.fixture(scope="module")
def jobs(sample):
    """The sample's jobs, as documents."""
    from resume_contrastive.documents import read_table

    return read_table(sample / "jobs.csv", "job")[0]


@pytest.fixture(scope="module")
def one_thread():
    """Tiny matrices gain nothing from threads, and on a busy machine threads wait for others."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
