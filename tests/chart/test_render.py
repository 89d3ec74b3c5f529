"""What is rendered is valid for every Kubernetes that is supported, and the same each time."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.chart.everything import EVERYTHING
from tests.chart.policies import violations
from tests.chart.render import (
    DESTINATION,
    KINDS,
    Manifest,
    Refused,
    helm,
    manifests,
    of_kind,
    pod_templates,
    rendered,
)
from tests.chart.values import CHART

VERSIONS = [f"1.{minor}.0" for minor in range(25, int(kubernetes_validate.latest_version().split(".")[1]) + 1)]
RENDERS = [({"kind": kind}, f"{kind}-default") for kind in KINDS] + [
    ({**EVERYTHING, "kind": kind}, f"{kind}-everything") for kind in KINDS
]
OUT_OF_TREE = {"CiliumNetworkPolicy", "HTTPRoute", "PrometheusRule", "ServiceMonitor"}

every_render = pytest.mark.parametrize("values", [values for values, _ in RENDERS], ids=[name for _, name in RENDERS])


@pytest.mark.parametrize("kind", KINDS)
def test_lint(kind: str, tmp_path: Path) -> None:
    """Helm's linter has nothing to say, not even a warning."""
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({**EVERYTHING, "kind": kind}))

    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", str(CHART), "--set", f"kind={kind}")
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "--values", str(tmp_path / "values.yaml"))


@every_render
@pytest.mark.parametrize("version", VERSIONS)
def test_valid(version: str, values: dict[str, Any]) -> None:
    """Every manifest is valid, no field of it unknown."""
    oldest = ("--kube-version", version) if version < "1.29" else ()  # what differs by version is only there
    found = manifests(values, *oldest)

    for manifest in found:
        if manifest["kind"] not in OUT_OF_TREE:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_kinds_out_of_tree() -> None:
    """Those that Kubernetes has no schema of have the fields that their definitions ask for."""
    found = manifests(EVERYTHING)
    monitor, rule, route, cilium = (
        of_kind(kind, found)["spec"]
        for kind in ("ServiceMonitor", "PrometheusRule", "HTTPRoute", "CiliumNetworkPolicy")
    )
    service = of_kind("Service", found)

    # monitoring.coreos.com/v1
    assert {"selector", "namespaceSelector", "endpoints"} == monitor.keys()
    assert service["metadata"]["labels"].items() >= monitor["selector"]["matchLabels"].items()
    assert {"matchNames": [service["metadata"]["namespace"]]} == monitor["namespaceSelector"]
    assert {"port": "http", "path": "/metrics", "interval": "60s", "scrapeTimeout": "10s"}.items() <= monitor[
        "endpoints"
    ][0].items()
    for group in rule["groups"]:
        assert {"name", "rules"} <= group.keys() <= {"name", "rules", "interval", "labels", "limit"}
        for each in group["rules"]:
            assert "expr" in each
            assert ("alert" in each) != ("record" in each)
    # gateway.networking.k8s.io/v1
    assert {"parentRefs", "hostnames", "rules"} == route.keys()
    assert [{"name": service["metadata"]["name"], "port": 8080}] == route["rules"][0]["backendRefs"]
    # cilium.io/v2
    assert {"endpointSelector", "egress"} == cilium.keys()
    assert all(each.keys() <= {"matchName", "matchPattern"} for each in cilium["egress"][1]["toFQDNs"])


@every_render
def test_twice(values: dict[str, Any]) -> None:
    """Two renders are the same to the byte: nothing is made up or looked up."""
    # said or not, this is no upgrade: it only has Helm run once more
    assert rendered(values) == rendered(values, "--is-upgrade=false")


@every_render
def test_admitted(values: dict[str, Any]) -> None:
    """Each pod is fit for the restricted profile and for common policies; a token is mounted only for ConfigMaps."""
    expected = ["other/restrict-automount-sa-token"] if "config" in values else []

    for manifest, pod in pod_templates(manifests(values)):
        refused = violations(pod, is_service=manifest["kind"] == "Deployment")

        assert ([] if manifest["kind"] == "Pod" else expected) == refused


def test_what_a_policy_sees() -> None:
    """The policies find what is wrong; a render that is not secure would not pass."""
    lax = {"podSecurityContext": {"seccompProfile": None, "runAsUser": None}, "resources": {"limits": {"memory": None}}}
    ((_, pod), *_) = pod_templates(manifests({**lax, "securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}))

    assert [
        "mirror: runAsUser is no number, so that the kubelet cannot tell it from root",
        "mirror: seccompProfile",
        "mirror: capabilities",
        "mirror: best-practices/require-pod-requests-limits",
    ] == violations(pod, is_service=True)


@pytest.mark.parametrize("kind", KINDS)
def test_linkerd_and_links(kind: str) -> None:
    """No proxy is injected, and no variable of a Service named mirror."""
    for _, pod in pod_templates(manifests({"kind": kind})):
        assert "disabled" == pod["metadata"]["annotations"]["linkerd.io/inject"]
        assert pod["spec"]["enableServiceLinks"] is False


def images(found: list[Manifest]) -> set[str]:
    """The images of every container of the chart's own."""
    return {
        container["image"]
        for _, pod in pod_templates(found)
        for container in pod["spec"]["containers"]
        if container["name"] != "beside"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_global_registry(kind: str) -> None:
    """It alone moves every image, those of tests included."""
    values = {"kind": kind, "global": {"imageRegistry": "r.example.com/mirrors"}}

    assert {"r.example.com/mirrors/linkerd-mirror/mirror:0.1.0"} == images(manifests(values))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "ghcr.io/linkerd-mirror/mirror:0.1.0"),
        ({"registry": ""}, "linkerd-mirror/mirror:0.1.0"),
        ({"tag": "1"}, "ghcr.io/linkerd-mirror/mirror:1"),
        ({"digest": f"sha256:{'a' * 64}"}, f"ghcr.io/linkerd-mirror/mirror@sha256:{'a' * 64}"),
        ({"tag": "1", "digest": f"sha256:{'a' * 64}"}, f"ghcr.io/linkerd-mirror/mirror:1@sha256:{'a' * 64}"),
    ],
)
def test_image(image: dict[str, str], expected: str) -> None:
    """A digest is enough; without tag and digest it is the chart's appVersion."""
    assert {expected} == images(manifests({"image": image}))


def test_version() -> None:
    """The chart's versions are the package's."""
    import tomllib

    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert project["version"] == chart["appVersion"]
    assert f":{project['version']}\n" in chart["annotations"]["artifacthub.io/images"]


@pytest.mark.parametrize("version", ["1.31.7-eks-abc", "1.33.4-gke.1036000", "1.25.0"])
def test_versions_of_providers(version: str) -> None:
    """What providers append to a version is no reason to refuse it; without the -0 older Helms do."""
    assert rendered({}, "--kube-version", version)
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].endswith("-0")


def test_too_old() -> None:
    """What is too old is."""
    with pytest.raises(Refused, match=r"incompatible with Kubernetes v1\.24\.9"):
        rendered({}, "--kube-version", "1.24.9")


def test_subchart(tmp_path: Path) -> None:
    """It renders below another chart, with `global` and the condition that such a chart has."""
    umbrella = tmp_path / "umbrella"
    (umbrella / "charts").mkdir(parents=True)
    (umbrella / "charts" / "mirror").symlink_to(CHART)
    dependency = {"name": "mirror", "version": "0.1.0", "condition": "mirror.enabled"}
    chart = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency]}
    (umbrella / "Chart.yaml").write_text(yaml.safe_dump(chart))
    shared = {"imageRegistry": "r.example.com", "of": {"others": True}}
    enabled = manifests({"global": shared, "mirror": {"enabled": True, "kind": "Job"}}, chart=umbrella)

    assert {"r.example.com/linkerd-mirror/mirror:0.1.0"} == images(enabled)
    assert [] == manifests({"global": shared, "mirror": {"enabled": False}}, chart=umbrella)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"imagee": {}}, "'imagee'"),
        ({"image": {"taag": "1"}}, "'taag'"),
        ({"kind": "StatefulSet"}, "/kind"),
        ({"replicaCount": 2}, "'replicaCount'"),
        ({"config": {"shedule": {}}}, "'shedule'"),
        ({"config": {"schedule": {"evry": "1h"}}}, "'evry'"),
        ({"config": {"destinations": {"x": {**DESTINATION, "prefx": "y"}}}}, "'prefx'"),
        ({"registryCredentials": {"ghcr.io": {"secret": "x"}}}, "'secret'"),
        ({"prometheusRule": {"enabled": True, "alerts": {"MirrorUp": {}}}}, "there is no alert MirrorUp; known: "),
        ({"ingress": {"enabled": True}}, "ingress.hosts is empty"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is empty"),
    ],
)
def test_what_is_wrong(values: dict[str, Any], named: str) -> None:
    """It is refused, and named."""
    with pytest.raises(Refused) as refused:
        rendered(values)

    assert named in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_names(kind: str) -> None:
    """They are cut to what Kubernetes allows, and what is appended stays."""
    long = "a-release-with-a-name-that-goes-on-and-on-for-fifty-3"
    values = {**EVERYTHING, "kind": kind, "fullnameOverride": f"{long}-and-ten-more", "extraObjects": []}
    found = manifests(values | {"job": {"hooks": []}})
    bounds = {"CronJob": 52, "Job": 52}

    for manifest in found:
        name = manifest["metadata"]["name"]

        assert all(len(label) <= bounds.get(manifest["kind"], 63) for label in name.split("."))
        assert name.startswith("a-release")
        assert not name.endswith("-")
    if kind == "Deployment":
        assert 1 == sum(each["metadata"]["name"].endswith("-dashboard") for each in found)
        assert of_kind("Pod", found)["metadata"]["name"].endswith("-test")


def test_names_in_namespaces_of_others() -> None:
    """Releases of one name, each in a namespace of its own, share nothing where both have something in a third."""
    shared = {key: {**EVERYTHING[key], "namespace": "shared"} for key in ("prometheusRule", "grafanaDashboard")}

    def made(namespace: str) -> set[tuple[str, str, str]]:
        found = manifests({**EVERYTHING, **shared, "namespaceOverride": namespace, "extraObjects": []})
        return {(each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]) for each in found}

    assert not made("a") & made("b")
    assert {
        ("Role", "flux-system", "r-mirror.a"),
        ("RoleBinding", "flux-system", "r-mirror.a"),
        ("ServiceMonitor", "monitoring", "r-mirror.a"),
        ("PrometheusRule", "shared", "r-mirror.a"),
        ("ConfigMap", "shared", "r-mirror-dashboard.a"),
    } == {each for each in made("a") if each[1] != "a"}


def test_selector() -> None:
    """It does not change with labels or the chart's version, since it cannot; pods have its labels."""
    plain = of_kind("Deployment", manifests({}))["spec"]
    hostile = {"app.kubernetes.io/name": "other", "team": "x"}
    labelled = of_kind("Deployment", manifests({"commonLabels": hostile, "podLabels": hostile}))["spec"]

    assert {"app.kubernetes.io/name": "mirror", "app.kubernetes.io/instance": "r"} == plain["selector"]["matchLabels"]
    assert plain["selector"] == labelled["selector"]
    assert labelled["selector"]["matchLabels"] | {"team": "x"} == labelled["template"]["metadata"]["labels"]


def test_rights() -> None:
    """They are to ConfigMaps in the namespace that is configured; without that there are none, and no token."""
    found = manifests({"config": {"overrides": {"config_maps": {"enabled": True, "namespace": "flux-system"}}}})
    role, binding = of_kind("Role", found), of_kind("RoleBinding", found)
    without = manifests({})

    assert [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]}] == role["rules"]
    assert ("flux-system", "flux-system") == (role["metadata"]["namespace"], binding["metadata"]["namespace"])
    assert {role["metadata"]["name"]} == {binding["metadata"]["name"], binding["roleRef"]["name"]}
    assert [{"kind": "ServiceAccount", "name": "r-mirror", "namespace": "linkerd-mirror"}] == binding["subjects"]
    assert of_kind("Deployment", found)["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert not {"Role", "RoleBinding"} & {each["kind"] for each in without}
    assert of_kind("Deployment", without)["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert of_kind("ServiceAccount", without)["automountServiceAccountToken"] is False


def test_what_is_written() -> None:
    """It lands in /tmp, the only place that can be written to; the root file system is read-only."""
    (container,) = of_kind("Deployment", manifests({}))["spec"]["template"]["spec"]["containers"]
    homes = {each["name"]: each["value"] for each in container["env"]}

    assert {"HOME", "XDG_CACHE_HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} == homes.keys()
    assert {"/tmp"} == {f"/{home.split('/')[1]}" for home in homes.values()}
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


class TestJobs:
    @pytest.mark.parametrize("kind", ["CronJob", "Job"])
    def test_shards(self, kind: str) -> None:
        """They are an Indexed Job's pods, each with the share of its index."""
        (spec,) = job_specs({"kind": kind, "job": {"shards": 8}})

        assert ("Indexed", 8, 8) == (spec["completionMode"], spec["completions"], spec["parallelism"])
        assert ["sync", "--shard", "$(JOB_COMPLETION_INDEX)/8"] == arguments(spec)

    def test_one(self) -> None:
        """One does it all."""
        (spec,) = job_specs({"kind": "Job"})

        assert "completionMode" not in spec
        assert ["sync"] == arguments(spec)

    def test_a_hook_with_what_it_needs(self) -> None:
        """Before an installation there is nothing but hooks; what a Job needs comes before it."""
        found = manifests({**EVERYTHING, "kind": "Job", "extraObjects": []})
        weights = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in found}

        assert {"pre-install,pre-upgrade"} == {each["metadata"]["annotations"]["helm.sh/hook"] for each in found}
        assert 0 == weights.pop("Job")
        assert {-10} == set(weights.values())

    def test_hooks_are_of_the_release(self) -> None:
        """Helm leaves them behind, and takes over only what names the release: another `kind` can come after them."""
        owner = {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "linkerd-mirror"}

        for each in manifests({**EVERYTHING, "kind": "Job", "extraObjects": [], "namespaceOverride": "elsewhere"}):
            assert owner.items() <= each["metadata"]["annotations"].items()

    def test_no_hook(self) -> None:
        """A Job cannot be changed: what changes it makes another."""

        def name(**values: Any) -> str:
            found: str = of_kind("Job", manifests({"kind": "Job", "job": {"hooks": []}} | values))["metadata"]["name"]
            return found

        assert name() == name(commonAnnotations={"a": "b"})
        assert name() != name(config={"releases": ["stable"]})

    def test_a_human_must_decide(self) -> None:
        """What bad input or a refusal ended is not tried again."""
        (spec,) = job_specs({"kind": "Job"})
        rule = spec["podFailurePolicy"]["rules"][0]

        assert ("FailJob", [2, 3]) == (rule["action"], rule["onExitCodes"]["values"])
        assert 3 == spec["backoffLimit"]

    @pytest.mark.parametrize("kind", ["CronJob", "Job"])
    def test_a_shard_fails_alone(self, kind: str) -> None:
        """One that is refused, or that fails for good, ends no other; each may fail as often as is said."""
        (spec,) = job_specs({"kind": kind, "job": {"shards": 8}}, "--kube-version", "1.29.0")
        rule, disrupted = spec["podFailurePolicy"]["rules"]

        assert ("FailIndex", [2, 3]) == (rule["action"], rule["onExitCodes"]["values"])
        assert "Ignore" == disrupted["action"]
        assert 3 == spec["backoffLimitPerIndex"]
        assert not {"backoffLimit", "maxFailedIndexes"} & spec.keys()

    @pytest.mark.parametrize("kind", ["CronJob", "Job"])
    def test_a_shard_fails_alone_before_1_29(self, kind: str) -> None:
        """Where failures are counted by Job alone, no number and no exit code of them ends the other shards."""
        (spec,) = job_specs({"kind": kind, "job": {"shards": 8}}, "--kube-version", "1.28.9-eks-abc")

        assert ["Ignore"] == [each["action"] for each in spec["podFailurePolicy"]["rules"]]
        assert 2**31 - 1 == spec["backoffLimit"]
        assert "backoffLimitPerIndex" not in spec

    @pytest.mark.parametrize("kind", ["CronJob", "Job"])
    def test_nothing_to_scrape(self, kind: str) -> None:
        """There is no page and no target, and nothing that asks for one."""
        found = {each["kind"] for each in manifests({**EVERYTHING, "kind": kind})}

        assert not found & {"Service", "Ingress", "HTTPRoute", "ServiceMonitor", "PrometheusRule", "Pod", "Deployment"}


def job_specs(values: dict[str, Any], *options: str) -> list[Mapping[str, Any]]:
    found = manifests(values, *options)
    return [each["spec"] for each in found if each["kind"] == "Job"] + [
        each["spec"]["jobTemplate"]["spec"] for each in found if each["kind"] == "CronJob"
    ]


def arguments(spec: Mapping[str, Any]) -> list[str]:
    """Of mirror's container, from the command on."""
    found: list[str] = spec["template"]["spec"]["containers"][0]["args"]
    return found[found.index("sync") :]


def test_what_mirror_is_called_with() -> None:
    """The command line is one that it knows."""
    from click.testing import CliRunner

    from mirror.cli.main import cli

    (container,) = of_kind("Deployment", manifests({}))["spec"]["template"]["spec"]["containers"]
    answered = CliRunner().invoke(cli, [*container["args"], "--help"])

    assert ["--config", "/etc/mirror/config.toml"] == container["args"][:2]
    assert "serve" == container["args"][-1]
    assert 0 == answered.exit_code, answered.output


class TestNetworks:
    VALUES: Mapping[str, Any] = {"config": EVERYTHING["config"], "proxy": EVERYTHING["proxy"]}

    def test_in(self) -> None:
        """Who is named comes in, and `helm test`; nobody else."""
        found = manifests({"networkPolicy": {"enabled": True, "ingress": {"namespaces": ["monitoring"]}}})
        (rule,) = of_kind("NetworkPolicy", found)["spec"]["ingress"]
        tested, named = rule["from"]
        namespaces = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["monitoring"]}

        assert [{"port": "http", "protocol": "TCP"}] == rule["ports"]
        assert {"namespaceSelector": {"matchExpressions": [namespaces]}} == named
        assert tested["podSelector"]["matchLabels"] == of_kind("Pod", found)["metadata"]["labels"]
        assert tested["podSelector"]["matchLabels"] != of_kind("Service", found)["spec"]["selector"]

    def test_out(self) -> None:
        """To names, https, and whatever ports the configuration says."""
        (dns, rest) = of_kind("NetworkPolicy", manifests({**self.VALUES, "networkPolicy": {"enabled": True}}))["spec"][
            "egress"
        ]

        assert {53} == {each["port"] for each in dns["ports"]}
        assert [3128, 443, 5000, 5001, 6443] == [each["port"] for each in rest["ports"]]

    def test_out_by_name(self) -> None:
        """To upstream's hosts and to those of the configuration, with what ECR needs; the wider policy is silent."""
        both = {"networkPolicy": {"enabled": True}, "ciliumNetworkPolicy": {"enabled": True}}
        found = manifests({**self.VALUES, **both})
        rules = of_kind("CiliumNetworkPolicy", found)["spec"]["egress"]
        hosts = {name for each in rules[1]["toFQDNs"] for name in each.values()}

        assert {
            "ghcr.io",
            "pkg-containers.githubusercontent.com",
            "proxy.example.com",
            "registry.example.com",
            "plain.example.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "api.ecr.eu-west-1.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
        } <= hosts
        assert {"toEntities": ["kube-apiserver"]} == rules[2]
        assert ["Ingress"] == of_kind("NetworkPolicy", found)["spec"]["policyTypes"]


class TestAlerts:
    GROUPS: Sequence[Mapping[str, Any]] = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    TWICE = "MirrorNotInStep"
    """There are two of this name, of two severities."""

    def rules(self, **more: Any) -> list[dict[str, Any]]:
        found = of_kind("PrometheusRule", manifests({"prometheusRule": {"enabled": True, **more}}))
        return [each for group in found["spec"]["groups"] for each in group["rules"]]

    def test_as_they_are(self) -> None:
        """They are those of the file, Prometheus's templates left alone, each with its heading of the runbook."""
        base = "https://example.com/operations.md"
        expected = copy.deepcopy(self.GROUPS)
        for rule in (rule for group in expected for rule in group["rules"]):
            rule["annotations"]["runbook_url"] = base + rule["annotations"]["runbook_url"]
        found = of_kind("PrometheusRule", manifests({"prometheusRule": {"enabled": True, "runbookBaseUrl": base}}))

        assert expected == found["spec"]["groups"]

    def test_no_runbook(self) -> None:
        """Where nobody says where runbooks are, none is named."""
        assert {False} == {"runbook_url" in rule["annotations"] for rule in self.rules()}

    @pytest.mark.parametrize(("name", "gone"), [("MirrorDown", 1), (TWICE, 2), (f"{TWICE}/critical", 1)])
    def test_one_left_out(self, name: str, gone: int) -> None:
        """One that is not enabled is not there; the others are."""
        alert, _, severity = name.partition("/")
        left = [
            rule
            for rule in self.rules()
            if rule["alert"] != alert or (severity and rule["labels"]["severity"] != severity)
        ]

        assert left == self.rules(alerts={name: {"enabled": False}})
        assert gone == len(self.rules()) - len(left)

    def test_changed(self) -> None:
        """What differs is said by alert, or for all of them."""
        wish = {"for": "3h", "severity": "page", "expr": "vector(1)"}
        (before,) = [rule for rule in self.rules() if rule["alert"] == "MirrorDown"]
        changed = self.rules(alerts={"MirrorDown": wish}, alertLabels={"team": "x"})

        assert {"x"} == {rule["labels"]["team"] for rule in changed}
        assert {
            **before,
            "for": "3h",
            "expr": "vector(1)",
            "labels": {**before["labels"], "severity": "page", "team": "x"},
        } in changed


def test_dashboard() -> None:
    """It is the file's, where Grafana's sidecar looks."""
    values = {"grafanaDashboard": {"enabled": True, "sidecarLabel": "dash", "sidecarLabelValue": "yes"}}
    (found,) = [each for each in manifests(values) if each["metadata"]["name"].endswith("-dashboard")]

    assert "yes" == found["metadata"]["labels"]["dash"]
    assert json.loads((CHART / "files" / "dashboard.json").read_text()) == json.loads(
        found["data"]["linkerd-mirror.json"]
    )


def test_nothing_fades() -> None:
    """What is called `extra` is rendered, a template of its own where that makes sense."""
    found = manifests(EVERYTHING)
    spec = of_kind("Deployment", found)["spec"]["template"]["spec"]
    container = spec["containers"][0]

    assert {"name": "RELEASE_NAME", "value": "r"} in container["env"]
    assert [{"secretRef": {"name": "more"}}] == container["envFrom"]
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    assert {"name": "more", "emptyDir": {"sizeLimit": "1Mi"}} in spec["volumes"]
    assert (["init"], ["mirror", "beside"]) == tuple(
        [each["name"] for each in spec[key]] for key in ("initContainers", "containers")
    )
    assert {"r-map", "r-text"} <= {each["metadata"]["name"] for each in found}
    assert [{"name": "global-pull"}, {"name": "pull"}] == spec["imagePullSecrets"]
    assert {
        "DOCKER_CONFIG": "/var/run/mirror/docker",
        "SSL_CERT_FILE": "/var/run/mirror/ca/ca.crt",
        "HTTPS_PROXY": "http://proxy.example.com:3128",
        "NO_PROXY": "10.0.0.0/8",
    }.items() <= {each["name"]: each.get("value") for each in container["env"]}.items()


def test_a_probe_taken_away() -> None:
    """`null` takes a probe away."""
    (container,) = of_kind("Deployment", manifests({"livenessProbe": None}))["spec"]["template"]["spec"]["containers"]

    assert "livenessProbe" not in container
    assert "readinessProbe" in container
