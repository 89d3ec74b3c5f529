"""`python -m tests.chart`, or `make chart`: writes what is made from the chart's values.yaml."""

from __future__ import annotations

from tests.chart import readme, schema

if __name__ == "__main__":
    schema.write()
    readme.write()
