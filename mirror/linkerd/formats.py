"""What a mirror holds of a release, as other tools are told of it than Helm.

kustomize     a Component whose images transformer has the names that the charts render
containerd    a hosts.toml for each registry that the release names: nodes then pull the same names from the mirror
images        a list
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from mirror.errors import UsageError
from mirror.linkerd.overrides import Heading, Located, Pin, quoted
from mirror.oci.reference import Reference


def kustomization(located: Iterable[Located], *, pin: Pin, heading: Heading) -> str:
    """A Component that has kustomize's images transformer rename the images *located*, whatever renders them.

    A name that the release has at several tags keeps them (kustomize goes by the name alone).
    """
    named = defaultdict[str, list[Located]](list)
    for each in sorted(located, key=lambda each: each.reference):
        named[_name(each.reference)].append(each)
    lines = [
        f"# Linkerd {heading.release} from {heading.mirror}: what `components:` of a kustomization takes.",
        "# It renames images in workloads. Annotations, and ConfigMap linkerd-config, which says what the injector",
        "# injects, are out of kustomize's reach: render with the Helm values, or pipe through `mirror rewrite`.",
        "apiVersion: kustomize.config.k8s.io/v1alpha1",
        "kind: Component",
        "images:" if named else "images: []",
    ]
    for name, several in named.items():
        lines += [f"  - name: {quoted(name)}", f"    newName: {quoted(several[0].repository)}"]
        if len(several) > 1:
            lines.append(f"    # at {' and '.join(each.tag for each in several)}, which stay")
        elif pin == "digest":
            lines.append(f"    digest: {quoted(str(several[0].digest))}  # {several[0].tag}")
        else:
            lines.append(f"    newTag: {quoted(several[0].tag)}")
    return "".join(f"{line}\n" for line in lines)


def hosts_files(paths: Mapping[str, str], *, url: str, remedy: str) -> Mapping[str, str]:
    """A hosts.toml by `HOST/hosts.toml`, for containerd's `config_path` (containerd, docs/hosts.md).

    *paths* are where the mirror has each reference, *url* is where nodes reach it, `https://HOST[/PREFIX]`. containerd
    changes the host and keeps the path, so what is elsewhere in the mirror raises UsageError, with *remedy*.
    """
    hosts = set[str]()
    for reference, path in sorted(paths.items()):
        repository = Reference.parse(reference).repository
        if path.partition("/")[2] != repository.path:
            raise UsageError(
                f"containerd changes the registry of a name and keeps its path, so it does not find {reference} at"
                f" {path}: {remedy}"
            )
        hosts.add(f"{repository.host} {path.partition('/')[0]}")
    return {f"{host}/hosts.toml": "".join(_hosts_file(url, folder)) for host, folder in map(str.split, sorted(hosts))}


def _hosts_file(url: str, folder: str) -> Iterator[str]:
    scheme, _, place = url.partition("://")
    host, slash, prefix = place.partition("/")
    yield "# Tried first; what it does not have, containerd asks the registry itself for.\n"
    yield f'[host."{scheme}://{host}/v2/{prefix}{slash}{folder}"]\n'
    yield '  capabilities = ["pull", "resolve"]\n'
    yield "  override_path = true\n"


def mirrored(located: Iterable[Located]) -> tuple[str, ...]:
    """The names in the mirror, with their digests, sorted."""
    return tuple(sorted({f"{each.repository}:{each.version(pinned=True)}" for each in located}))


def _name(reference: str) -> str:
    """*reference* as it is written, without tag and digest: what kustomize compares."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name
