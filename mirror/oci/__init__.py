"""The OCI world: content, references, manifests, registries and layouts.

Knows neither Linkerd nor AWS nor our settings.
"""
