"""Reading single rows of a split in data/raw."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from refit.data import parquet


def test_rows_come_in_the_order_asked_for_from_any_row_group(tmp_path: Path) -> None:
    """Prevents a text from being shown with another row's label."""
    path = tmp_path / "train.parquet"
    table = pa.table(
        {"text": [f"a{i}" for i in range(25)], "text_pair": [f"b{i}" for i in range(25)], "label": [0] * 25}
    )
    pq.write_table(table, path, row_group_size=10)
    assert parquet.take(path, [24, 3, 10, 3]) == [(f"a{i}", f"b{i}") for i in (24, 3, 10, 3)]
    assert parquet.take(path, []) == []
