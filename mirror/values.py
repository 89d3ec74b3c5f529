"""Helm values for what a mirror holds: written for every chart that is whole, and proven by Helm."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mirror.destinations.mirror import Mirror
from mirror.errors import LayoutError
from mirror.inventory import Wanted
from mirror.linkerd.holdings import Holding
from mirror.linkerd.overrides import Heading, Located, hardcoded, remedy, values_file
from mirror.linkerd.parts import Chart, ChartFacts, Image
from mirror.linkerd.release import Release
from mirror.record import Record
from mirror.report import Proof
from mirror.tasks import gather


def render_slots() -> asyncio.Semaphore:
    """For all renders of a command: as many at once as there are processors."""
    return asyncio.Semaphore(os.cpu_count() or 2)


@dataclass(frozen=True, slots=True)
class Clerk:
    """Writes the Helm values of one recorded release at one mirror, and has Helm prove them."""

    mirror: Mirror
    record: Record
    wanted: Wanted

    @property
    def images(self) -> tuple[Image, ...]:
        """Those that the mirror holds."""
        return tuple(recorded.image for recorded in self.record.images)

    @property
    def located(self) -> Mapping[str, Located]:
        """Where the cluster pulls each from."""
        return {
            recorded.image.reference: Located(
                reference=recorded.image.reference,
                repository=self.mirror.pull_name(recorded.target.path),
                tag=recorded.target.tag,
                digest=recorded.digests.mirrored,
            )
            for recorded in self.record.images
        }

    @property
    def holdings(self) -> Iterator[Holding]:
        """The same, to be found by what manifests call them."""
        located = self.located
        for recorded in self.record.images:
            yield Holding(self.record.release, recorded.digests.upstream, located[recorded.image.reference])

    @property
    def whole(self) -> tuple[ChartFacts, ...]:
        """The charts of which the mirror holds every image."""
        spoilt = {chart for missing in self.record.missing for chart in missing.charts}
        return tuple(chart for chart in self.record.charts if chart.name not in spoilt)

    @property
    def notes(self) -> tuple[str, ...]:
        """What values cannot reach, by name, and what to do about it."""
        fixed: dict[str, list[str]] = {}
        for chart in self.record.charts:
            for reference in hardcoded(chart.name, self.images):
                fixed.setdefault(reference, []).append(chart.name)
        return tuple(
            f"{reference} is hard-coded in {', '.join(charts)}: no value reaches it; {remedy(reference)}"
            for reference, charts in sorted(fixed.items())
        )

    @property
    def heading(self) -> Heading:
        """Where its digests come from."""
        return Heading(Release.parse(self.record.release), self.mirror.pull_registry, self.record.recorded_at)

    def values(self, chart: ChartFacts) -> str:
        """The values file of *chart*."""
        return values_file(
            chart,
            self._images_of(chart.name),
            self.located,
            pin=self.wanted.pin,
            pull_secrets=self.wanted.pull_secrets,
            heading=replace(self.heading, helm=self.helm_command(chart)),
        )

    def helm_command(self, chart: ChartFacts) -> str:
        """How Helm installs *chart* from the mirror, with its values; empty where the mirror does not hold it."""
        held = self.record.artifact(chart.name)
        if held is None:
            return ""
        place = f"oci://{self.mirror.pull_name(held.target.path)}"
        if self.mirror.pull_scheme == "http":  # Helm 4 does not try it by itself, also on loopback
            place += " --plain-http"
        return f"helm upgrade --install {chart.name} {place} --version {chart.version} -f {chart.name}.yaml"

    def write(self, texts: Mapping[str, str]) -> tuple[str, ...]:
        """Writes each text to DIRECTORY/DESTINATION/RELEASE/CHART.yaml, by rename, if it differs; the paths, sorted.

        Writes none where no directory is configured.
        """
        if self.wanted.overrides_directory is None:
            return ()
        folder = self.wanted.overrides_directory / self.mirror.name / self.record.release
        return tuple(str(write_file(folder / f"{chart}.yaml", text)) for chart, text in sorted(texts.items()))

    async def prove(
        self, helm: str | None, archives: Iterable[Chart], texts: Mapping[str, str], *, slots: asyncio.Semaphore
    ) -> tuple[Proof, Mapping[str, tuple[str, ...]]]:
        """Has *helm* render every chart that has a text, in *slots*; the verdict, and by chart what is wrong."""
        if helm is None:
            return "not proven", {}
        from mirror.linkerd.proof import prove  # late: it is charts that were read that are proven

        charts = [chart for chart in archives if chart.name in texts]
        proofs = await gather(
            *(
                prove(
                    helm,
                    chart,
                    texts[chart.name],
                    images=self._images_of(chart.name),
                    located=self.located,
                    pin=self.wanted.pin,
                    extra_values=self.wanted.extra_values.get(chart.name, ()),
                    slots=slots,
                )
                for chart in charts
            )
        )
        problems = {proof.chart: proof.problems for proof in proofs}
        return ("failed" if any(problems.values()) else "proven"), problems

    def _images_of(self, chart: str) -> tuple[Image, ...]:
        return tuple(image for image in self.images if chart in image.charts)


def write_file(path: Path, text: str) -> Path:
    """*path* holds *text*; replaced by rename, and left alone where it holds it already."""
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mirror-") as directory:
            new = Path(directory, path.name)
            new.write_bytes(text.encode())
            new.replace(path)
    except OSError as exc:
        raise LayoutError(f"{path} cannot be written: {exc.strerror}") from exc
    return path
