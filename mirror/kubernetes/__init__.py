"""The Helm values in Kubernetes: a ConfigMap for each release that is proven, and one for each channel.

    SyncReport ─► config_maps (pure) ─► Publisher ─► Api ─► PATCH …/configmaps/NAME, the cluster's API server

    PREFIX-DESTINATION-RELEASE   the values of a release, a key for each chart: `linkerd-viz.yaml`
    PREFIX-DESTINATION-CHANNEL   those of the newest release that the configuration asks for of a channel

Rules it keeps:
- what is not proven is not written, and what was written before stays as it was; nothing is ever deleted;
- one request a ConfigMap, server-side apply, whatever is there: the API server changes nothing where nothing differs,
  and what others set beside our fields stays theirs (docs/adr/0008);
- a failure is the release's: it is mirrored all the same, and its report says what is missing.
"""
