"""Settings: one TOML file, what the environment overrides, and where each value came from.

    --config ─┐                                   MIRROR_SECTION__KEY
    MIRROR_CONFIG ─► ./mirror.toml ─► /etc/mirror/config.toml ─► layers ─► Settings (frozen)

Rules: an unknown key in the file is an error that names the nearest known one; an unknown MIRROR_* variable is a
warning, because Kubernetes sets such for a Service named mirror. A password is never in the file: `password_file`, or
the environment. Every problem is one sentence: source, key, value, what is allowed. Relative paths are relative to
the working directory. The environment is the mapping that `load` is given: `Settings` itself looks at none.

Vocabulary: a *path* is the way to a key (`("policy", "accept")`), a *source* is the file or the variable that set it.
pydantic and pydantic-settings stay inside of this room:

    models ◄─ tree ◄─ layers ◄─ environment, problems ◄─ loaded
"""

from __future__ import annotations

from mirror.settings.loaded import Effective, Loaded, load
from mirror.settings.models import (
    Channel,
    ConfigMaps,
    Destination,
    EcrDestination,
    EcrRepository,
    HarborDestination,
    HarborProject,
    LayoutDestination,
    Overrides,
    Policy,
    PolicyIdentity,
    Record,
    Registry,
    RegistryDestination,
    Retention,
    Schedule,
    Server,
    Settings,
    schema,
)

__all__ = [
    "Channel",
    "ConfigMaps",
    "Destination",
    "EcrDestination",
    "EcrRepository",
    "Effective",
    "HarborDestination",
    "HarborProject",
    "LayoutDestination",
    "Loaded",
    "Overrides",
    "Policy",
    "PolicyIdentity",
    "Record",
    "Registry",
    "RegistryDestination",
    "Retention",
    "Schedule",
    "Server",
    "Settings",
    "load",
    "schema",
]
