"""One small archive for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stellar.archive.build import build_archive

SEED, SCALE = 7, 0.05


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an archive of scale 0.05."""
    folder = tmp_path_factory.mktemp("archive") / "sky"
    build_archive(folder, seed=SEED, scale=SCALE)
    return folder


@pytest.fixture(scope="session")
def table(archive: Path):
    """Read a table of the archive as numpy arrays by column."""

    def read(name: str) -> dict[str, np.ndarray]:
        return {c: v.to_numpy(zero_copy_only=False) for c, v in _columns(archive / f"{name}.parquet")}

    return read


def _columns(path: Path):
    rows = pq.ParquetFile(path).read()
    return [(name, rows[name].combine_chunks()) for name in rows.column_names]
