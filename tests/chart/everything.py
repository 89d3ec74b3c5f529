"""Values that turn everything on, so that every line of every template is rendered."""

from __future__ import annotations

from typing import Any

from tests.chart.render import DESTINATION

_SECURE = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
}

EVERYTHING: dict[str, Any] = {
    "global": {"imagePullSecrets": ["global-pull"]},
    "image": {"digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "commonLabels": {"team": "platform"},
    "commonAnnotations": {"contact": "platform@example.com"},
    "podLabels": {"tier": "infra"},
    "podAnnotations": {"example.com/note": "yes"},
    "config": {
        "releases": ["edge:2"],
        "registries": {
            "ghcr.io": {"requests_per_second": 2.5, "max_connections": 8},
            "plain.example.com:5001": {"endpoint": "http://plain.example.com:5001"},
        },
        "destinations": {
            "production": DESTINATION,
            "aws": {"kind": "ecr", "registry": "123456789012.dkr.ecr.eu-west-1.amazonaws.com"},
        },
        "overrides": {"config_maps": {"enabled": True, "namespace": "flux-system"}},
        "policy": {"identities": [{"images": "registry.example.com/*", "key": "/etc/mirror/cosign.pub"}]},
    },
    "configFiles": {"cosign.pub": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"},
    "registryCredentials": {
        "ghcr.io": {"existingSecret": "ghcr-token"},
        "registry.example.com:5000": {"existingSecret": "robot", "username": "robot$mirror", "passwordKey": "token"},
    },
    "dockerConfig": {"existingSecret": "docker"},
    "caCertificates": {"existingConfigMap": "bundle", "key": "bundle.pem"},
    "proxy": {"httpsProxy": "http://proxy.example.com:3128", "noProxy": "10.0.0.0/8"},
    "serviceAccount": {
        "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/mirror"},
        "labels": {"azure.workload.identity/use": "true"},
    },
    "rbac": {"extraRules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]},
    "job": {"shards": 4, "ttlSecondsAfterFinished": 3600},
    "cronJob": {"timeZone": "Europe/Berlin"},
    "service": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"], "annotations": {"a": "b"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/auth-type": "basic"},
        "hosts": [{"host": "mirror.example.com"}, {"host": "m.example.com", "paths": [{"path": "/m"}]}],
        "tls": [{"secretName": "tls", "hosts": ["mirror.example.com"]}],
    },
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "gateway", "namespace": "gateways"}],
        "hostnames": ["mirror.example.com"],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-user"]}}],
    },
    "networkPolicy": {
        "enabled": True,
        "ingress": {"namespaces": ["monitoring"], "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "egress": {"extra": [{"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}], "ports": [{"port": 80}]}]},
    },
    "ciliumNetworkPolicy": {"enabled": True, "extraEgress": [{"toCIDR": ["169.254.170.23/32"]}]},
    "podDisruptionBudget": {"enabled": True},
    "serviceMonitor": {
        "enabled": True,
        "namespace": "monitoring",
        "additionalLabels": {"release": "prometheus"},
        "relabelings": [{"action": "labeldrop", "regex": "pod"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "le"}],
    },
    "prometheusRule": {
        "enabled": True,
        "additionalLabels": {"release": "prometheus"},
        "alertLabels": {"team": "platform"},
        "runbookBaseUrl": "https://runbooks.example.com/mirror#",
        "extraRules": [{"alert": "Own", "expr": "vector(1)"}],
    },
    "grafanaDashboard": {"enabled": True, "annotations": {"folder": "Linkerd"}},
    "extraEnv": [{"name": "RELEASE_NAME", "value": "{{ .Release.Name }}"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "initContainers": [{"name": "init", "image": "registry.example.com/init:1", **_SECURE}],
    "extraContainers": [{"name": "beside", "image": "registry.example.com/beside:1", **_SECURE}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-map"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-text}\n",
    ],
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "{{ .Release.Name }}"}},
        }
    ],
    "priorityClassName": "system-cluster-critical",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["registry.example.com"]}],
    "dnsPolicy": "ClusterFirst",
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
}
