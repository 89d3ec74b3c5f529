"""The survey: what is asked of whom, and what decides that charts are read again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirror.app import App
from mirror.destinations.mirror import Mirror
from mirror.destinations.provider import Plain
from mirror.errors import AccessDenied, UnknownRelease, UsageError
from mirror.http.proxies import Proxies
from mirror.inventory import Wanted
from mirror.oci.content import Platform
from mirror.plan import Copy, Fail, Keep
from mirror.report import PlanReport
from mirror.settings import Settings
from mirror.shard import Shard
from tests.runs import only, sync
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer
from tests.servers.upstream import CHARTS, NEXT, RELEASE, THIRD_PARTY, Upstream, references, upstream_server

WEB = references()[2]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as running:
        running.publish()
        yield running


def into(upstream: Upstream, fake: FakeRegistry, tmp_path: Path, **more: Any) -> Settings:
    destination = {"kind": "registry", "registry": fake.host, "prefix": "l5d"}
    tables: dict[str, Any] = {"destinations": {"test": destination}, "overrides": {"directory": str(tmp_path / "o")}}
    return upstream.settings(**tables | more)


def mirror(**more: Any) -> Mirror:
    facts: dict[str, Any] = {"paths": "flat", "pull_registry": "x.io/l5d"}
    facts |= more

    def never(path: str) -> Any:
        raise AssertionError(path)

    return Mirror("test", "x.io/l5d", "/", "l5d", open=never, **facts)


class TestFingerprint:
    def test_the_same_wishes(self) -> None:
        """It is the same in every run, and in every version: with another one all that is in step is planned anew."""
        much = Wanted(
            charts=("linkerd-viz", "linkerd-crds"),
            platforms=(Platform("linux", "arm64"), Platform("linux", "amd64")),
            pull_secrets=("b", "a"),
        )

        assert "465eb3c4e9eda886" == Wanted().fingerprint(mirror(), "off")
        assert "6aed323ec717cf41" == much.fingerprint(mirror(), "require abc")

    @pytest.mark.parametrize(
        "other",
        [
            Wanted(charts=("linkerd-viz",)),
            Wanted(platforms=(Platform("linux", "amd64"),)),
            Wanted(referrers="require"),
            Wanted(pin="tag"),
            Wanted(pull_secrets=("regcred",)),
        ],
    )
    def test_others(self, other: Wanted) -> None:
        """What decides the record's content plans anew."""
        assert Wanted().fingerprint(mirror(), "off") != other.fingerprint(mirror(), "off")

    @pytest.mark.parametrize("other", [mirror(paths="upstream"), mirror(pull_registry="y.io/l5d")])
    def test_another_place(self, other: Mirror) -> None:
        """So do paths, and the name that clusters pull by."""
        assert Wanted().fingerprint(mirror(), "off") != Wanted().fingerprint(other, "off")

    def test_of_signatures_too(self) -> None:
        """What is asked of them, and of whom."""
        assert Wanted().fingerprint(mirror(), "off") != Wanted().fingerprint(mirror(), "require abc")

    @pytest.mark.parametrize("other", [Wanted(moved_tags="follow"), Wanted(overrides_directory=Path("elsewhere"))])
    def test_what_does_not_matter(self, other: Wanted) -> None:
        """What a run decides anew each time."""
        assert Wanted().fingerprint(mirror(), "off") == other.fingerprint(mirror(), "off")

    def test_the_operators_files_count_by_their_content(self, tmp_path: Path) -> None:
        """The proof renders with them."""
        file = tmp_path / "values.yaml"
        wanted = Wanted(extra_values={"linkerd-viz": (file,)})
        file.write_text("a: 1\n")
        before = wanted.fingerprint(mirror(), "off")
        file.write_text("a: 2\n")

        assert before != wanted.fingerprint(mirror(), "off")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """The operator's input is wrong."""
        with pytest.raises(UsageError, match=r"nowhere\.yaml cannot be read: No such file or directory"):
            Wanted(extra_values={"linkerd-viz": (tmp_path / "nowhere.yaml",)}).fingerprint(mirror(), "off")


class Telling(Plain):
    """A provider that has something to say, or cannot take anything."""

    def __init__(self, told: Sequence[str] = (), problem: str = "") -> None:
        self.told, self.problem = told, problem
        self.asked: list[tuple[set[str], int]] = []

    async def survey(self, paths: Collection[str], size: int) -> tuple[str, ...]:
        self.asked.append((set(paths), size))
        if self.problem:
            raise AccessDenied(self.problem)
        return tuple(self.told)


class TestProviders:
    async def estimated(self, settings: Settings, provider: Telling) -> PlanReport:
        async with App(settings, {}, Proxies()) as app:
            surveyor = app.surveyor()
            surveyor.mirrors = [replace(each, provider=provider) for each in surveyor.mirrors]
            return await surveyor.estimate(await surveyor.plan(app.selectors([])))

    async def test_what_it_says(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """Is a note of the plan; it is told where a sync writes, the record too, and how much."""
        provider = Telling(["l5d/web will be made"])
        report = await self.estimated(into(upstream, fake, tmp_path), provider)

        names = ("controller", "mirror-record", "prometheus", "proxy", "web", *(f"charts/{chart}" for chart in CHARTS))
        assert [({f"l5d/{name}" for name in names}, report.storage["test"])] == provider.asked
        assert (f"{fake.host}/l5d: l5d/web will be made",) == report.notes
        assert 4 == report.exit_code

    async def test_in_step(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """It is asked too: what differs from the configuration is told then as well."""
        settings = into(upstream, fake, tmp_path)
        await sync(settings)
        report = await self.estimated(settings, provider := Telling(["l5d/web is mutable"]))

        assert [0] == [size for _, size in provider.asked]
        assert (1, 0) == (len(report.notes), report.exit_code)

    async def test_what_it_refuses(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """Is a problem of the plan, whose images and charts are there all the same."""
        report = await self.estimated(into(upstream, fake, tmp_path), Telling(problem="there is no project l5d"))

        assert (f"{fake.host}/l5d: there is no project l5d",) == report.problems
        assert (7, 1) == (len(report.images), report.exit_code)

    async def test_nothing_is_planned(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """Then nothing is asked."""
        fake.faults.append(Fault("GET .*", answer(403), times=ALWAYS))
        report = await self.estimated(into(upstream, fake, tmp_path), provider := Telling(["never"]))

        assert [] == provider.asked
        assert 1 == len(report.problems)


class TestSurvey:
    async def test_an_image_of_several_releases_is_asked_for_once(
        self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """Upstream's limits are for pulls."""
        upstream.publish(NEXT)
        async with App(into(upstream, fake, tmp_path), {}, Proxies()) as app:
            plans = await app.surveyor().plan(app.selectors([RELEASE, NEXT]))

        assert [4, 4] == [len(plan.images) for plan in plans]
        assert 1 == len(upstream.registry.asked("HEAD /v2/prom/prometheus/.*"))
        assert 7 == len(upstream.registry.asked("HEAD .*"))

    async def test_a_plan_writes_nothing(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """It only asks."""
        async with App(into(upstream, fake, tmp_path), {}, Proxies()) as app:
            [plan] = await app.surveyor().plan(app.selectors([]))

        assert {"GET", "HEAD"} == {seen.method for seen in fake.requests}
        assert all(isinstance(image.action, Copy) for image in plan.images)

    async def test_an_incomplete_record_reads_the_charts_again(
        self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """Until it is whole."""
        settings = into(upstream, fake, tmp_path)
        upstream.remove(WEB)
        await sync(settings)
        upstream.forget_requests()
        upstream.put(WEB, upstream.images[WEB])
        report = only(await sync(settings))
        read = len(upstream.charts.requests)
        upstream.forget_requests()
        await sync(settings)

        assert "synced" == report.outcome
        # the index, three charts, and whether the one that was not brought yet has a provenance
        assert 5 == read
        assert [] == upstream.charts.requests

    async def test_one_mirror_in_step_and_one_that_is_new(
        self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """The one is kept, the other is copied, from one look at upstream."""
        await sync(into(upstream, fake, tmp_path))
        destinations = {
            name: {"kind": "registry", "registry": fake.host, "prefix": prefix}
            for name, prefix in (("old", "l5d"), ("new", "other"))
        }
        upstream.forget_requests()
        async with App(into(upstream, fake, tmp_path, destinations=destinations), {}, Proxies()) as app:
            old, new = await app.surveyor().plan(app.selectors([]))

        assert {Keep} == {type(image.action) for image in old.images}
        assert {Copy} == {type(image.action) for image in new.images}
        assert 4 == len(upstream.registry.requests)

    async def test_a_recorded_mirror_needs_no_charts_where_another_does(
        self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """Charts that cannot be read fail the new one alone."""
        await sync(into(upstream, fake, tmp_path))
        upstream.charts.files.clear()
        destinations = {
            name: {"kind": "registry", "registry": fake.host, "prefix": prefix}
            for name, prefix in (("old", "l5d"), ("new", "other"))
        }
        async with App(into(upstream, fake, tmp_path, destinations=destinations), {}, Proxies()) as app:
            old, new = await app.surveyor().plan(app.selectors([]))

        assert "" == old.problem
        assert "404" in new.problem

    async def test_an_unknown_release(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """The nearest that there is."""
        async with App(into(upstream, fake, tmp_path), {}, Proxies()) as app:
            with pytest.raises(UnknownRelease, match=f"no {NEXT}.*{RELEASE}"):
                await app.surveyor().plan(app.selectors([NEXT]))

    async def test_a_destination_that_does_not_know(
        self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """One tag that cannot be asked for fails that image alone."""
        fake.faults.append(Fault("(HEAD|GET) /v2/l5d/web/manifests/.*", answer(403), times=ALWAYS))
        async with App(into(upstream, fake, tmp_path), {}, Proxies()) as app:
            [plan] = await app.surveyor().plan(app.selectors([]))

        failed = {image.image.reference: image.action for image in plan.images if isinstance(image.action, Fail)}
        assert [WEB] == list(failed)
        assert "the destination cannot be asked" in failed[WEB].reason


class TestShards:
    """Of two, the second has NEXT at "new" alone, the first all else: the split is the same everywhere."""

    @pytest.fixture
    def settings(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> Settings:
        """Two releases, two destinations."""
        upstream.publish(NEXT)
        destinations = {
            name: {"kind": "registry", "registry": fake.host, "prefix": prefix}
            for name, prefix in (("old", "l5d"), ("new", "other"))
        }
        return into(upstream, fake, tmp_path, destinations=destinations)

    async def planned(
        self, settings: Settings, shard: Shard, *releases: str, refresh: bool = False
    ) -> list[tuple[str, str]]:
        async with App(settings, {}, Proxies()) as app:
            plans = await app.surveyor(shard=shard).plan(app.selectors(releases), refresh=refresh)
        return [(str(plan.release), plan.mirror.name) for plan in plans]

    async def test_together_they_plan_what_one_would(self, settings: Settings) -> None:
        """And no two of them the same."""
        whole = await self.planned(settings, Shard(), RELEASE, NEXT)
        shares = [await self.planned(settings, Shard(index, 5), RELEASE, NEXT) for index in range(5)]

        assert 4 == len(whole)
        assert sorted(whole) == sorted(pair for share in shares for pair in share)

    async def test_what_it_skips_costs_nothing(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """No record of it is read, no tag of it is asked for, and no chart of a release that is others' everywhere."""
        planned = await self.planned(settings, Shard(1, 2), RELEASE, NEXT)

        assert [(NEXT, "new")] == planned
        assert 8 == len(fake.requests)
        assert all(seen.path.startswith("/v2/other/") for seen in fake.requests)
        assert [f"/v2/other/mirror-record/manifests/{NEXT}"] == [
            seen.path for seen in fake.requests if "mirror-record" in seen.path
        ]
        version = NEXT.removeprefix("edge-")
        archives = {seen.path for seen in upstream.charts.requests} - {"/charts/index.yaml"}
        files = [f"/charts/{chart}-20{version}.tgz" for chart in CHARTS]
        assert {*files, *(f"{file}.prov" for file in files)} == archives
        assert {THIRD_PARTY.partition(":")[2], NEXT} == {
            seen.path.rpartition("/")[2] for seen in upstream.registry.requests
        }

    @pytest.mark.parametrize("refresh", [False, True])
    async def test_nothing_to_do(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry, *, refresh: bool
    ) -> None:
        """Then nobody is asked for anything."""
        planned = await self.planned(settings, Shard(1, 2), RELEASE, refresh=refresh)

        assert [] == planned
        assert [] == [*fake.requests, *upstream.registry.requests, *upstream.charts.requests]

    async def test_nothing_to_do_of_a_channel(self, settings: Settings, upstream: Upstream, fake: FakeRegistry) -> None:
        """The index says which its newest is; no destination is asked what it has recorded."""
        planned = await self.planned(settings, Shard(2, 5), "edge")

        assert [] == planned
        assert ["/charts/index.yaml"] == [seen.path for seen in upstream.charts.requests]
        assert [] == [*fake.requests, *upstream.registry.requests]
