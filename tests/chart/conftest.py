"""What only a real API server shows is looked at where there is one (`make kubernetes`)."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("KUBE_APISERVER") else ["test_cluster.py"]
