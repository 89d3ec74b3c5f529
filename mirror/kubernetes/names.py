"""What Kubernetes takes as names, and what our ConfigMaps are called. Pure.

kubernetes.io/docs/concepts/overview/working-with-objects: names (DNS-1123 subdomains), labels (#syntax).
"""

from __future__ import annotations

import re

NAME_MAX = 253
LABEL_MAX = 63


def config_map_name(prefix: str, destination: str, last: str) -> str:
    """PREFIX-DESTINATION-LAST in lower case, as a DNS-1123 subdomain; it may be longer than NAME_MAX.

    *prefix* and *last* begin and end with a letter or a digit; what else cannot be in a name is `-` instead.
    """
    spelled = re.sub(r"[^a-z0-9.-]", "-", f"{prefix}-{destination}-{last}".lower())
    return re.sub(r"-*\.[-.]*", ".", spelled)  # each part between dots begins and ends with a letter or a digit


def label_value(text: str) -> str:
    """*text* as the value of a label: shortened, and `-` for what cannot be in one."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:LABEL_MAX].strip("-._")
