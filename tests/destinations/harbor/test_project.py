"""What rules hold and delete, what a quota leaves, and what the API's answers say: without a Harbor."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.destinations.harbor.project import (
    NEVER,
    UNLIMITED,
    Project,
    Quota,
    Robot,
    Rule,
    Selector,
    fate,
    holding,
    parse_project,
    parse_quota,
    parse_robot,
    parse_rules,
)
from tests.servers.harbor_state import immutable, retaining, selector

_KEYS = (
    *("project_id", "name", "registry_id", "metadata", "public", "retention_id", "severity", "prevent_vul", "quota"),
    *("hard", "used", "storage", "tag_selectors", "scope_selectors", "repository", "kind", "decoration", "pattern"),
    *("template", "params", "expires_at", "disable", "disabled"),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


def rules(*views: dict[str, Any]) -> tuple[Rule, ...]:
    return parse_rules(views)


class TestImmutableTags:
    @pytest.mark.parametrize(
        ("rule", "is_held"),
        [
            (immutable(), True),
            (immutable("l5d/web", "edge-*"), True),
            (immutable("web", "edge-*"), False),
            (immutable("{l5d/web,l5d/proxy}"), True),
            (immutable("l5d/*", "stable-*"), False),
            (immutable(disabled=True), False),
            (immutable("", ""), True),
            (immutable(scope_selectors={"repository": [selector("repoExcludes", "l5d/web")]}), False),
            (immutable(scope_selectors={"repository": [selector("repoExcludes", "l5d/mirror-record")]}), True),
            (immutable(tag_selectors=[selector("excludes", "edge-*")]), False),
            (immutable(tag_selectors=[selector("excludes", "sha256-*")]), True),
            (immutable(tag_selectors=[selector("matches", "v*"), selector("matches", "**")]), False),
            (immutable(tag_selectors=[]), False),
            (immutable(scope_selectors={}), False),
        ],
    )
    def test_one_rule(self, rule: dict[str, Any], is_held: bool) -> None:
        """The first selector of each kind counts; a path is below the project."""
        assert is_held == (holding(rules(rule), "l5d/web", "edge-26.8.1") is not None)

    def test_several(self) -> None:
        """One is enough, and it is named."""
        of_web = immutable("l5d/web", "edge-*")
        held = holding(rules(immutable("other"), of_web), "l5d/web", "edge-26.8.1")

        assert "repositories matches l5d/web, tags matches edge-*" == str(held)

    def test_one_that_a_terminal_should_not_see(self) -> None:
        """Is shown without what a terminal would obey."""
        [rule] = rules(immutable("a\x1b[2J\nb"))

        assert "repositories matches a[2Jb, tags matches **" == str(rule)

    def test_one_that_cannot_be_read(self) -> None:
        """Ends the search: Harbor takes the tag for one that is not held."""
        for broken in (immutable("l5d/[a-"), immutable(tag_selectors=[{**selector("matches", "x"), "kind": "label"}])):
            assert holding(rules(broken, immutable()), "l5d/web", "v1") is None


class TestRetention:
    @pytest.mark.parametrize(
        ("policy", "until"),
        [
            ([], ""),
            ([retaining("always", 0)], ""),
            ([retaining("always", 0, tag="stable-*")], "until it is run"),
            ([retaining("latestPushedK", 10)], "while it is among the 10 pushed last"),
            ([retaining("latestPulledN", 5)], "while it is among the 5 pulled last"),
            ([retaining("latestActiveK", 5)], "while it is among the 5 active last"),
            ([retaining("lastXDays", 7)], "for 7 days after it was pushed or pulled"),
            ([retaining("nDaysSinceLastPush", 7)], "for 7 days after it was pushed"),
            ([retaining("nDaysSinceLastPull", 7)], "for 7 days after it was pulled"),
            ([retaining("latestPushedK", 10), retaining("always", 0, tag="edge-*")], ""),
            (
                [retaining("latestPushedK", 3), retaining("nDaysSinceLastPull", 7)],
                "while it is among the 3 pushed last or for 7 days after it was pulled",
            ),
            ([retaining("latestPushedK", 10, "other/**")], ""),
            ([retaining("latestPushedK", 10, disabled=True)], ""),
            ([retaining("latestPushedK", 10, tag_selectors=[])], "until it is run"),
            ([retaining("something new", 10)], ""),
            ([retaining("latestPushedK", 10, "l5d/[")], ""),
            (
                [retaining("always", 0, tag_selectors=[selector("matches", "edge-*"), selector("excludes", "**")])],
                "until it is run",
            ),
        ],
    )
    def test_what_becomes_of_a_tag(self, policy: list[dict[str, Any]], until: str) -> None:
        """What no rule retains is deleted, in a repository that one of them is about; what is unknown is not said."""
        assert until == fate(rules(*policy), "l5d/web", "edge-26.8.1")


class TestQuota:
    @pytest.mark.parametrize(
        ("limit", "used", "size", "missing", "percent", "is_full"),
        [
            (UNLIMITED, 10**12, 10**12, 0, 0, False),
            (100, 0, 100, 0, 0, False),
            (100, 40, 61, 1, 40, False),
            (100, 100, 0, 0, 100, True),
            (100, 120, 5, 25, 120, True),
            (0, 0, 1, 1, 0, True),
        ],
    )
    def test_what_does_not_fit(
        self, limit: int, used: int, size: int, missing: int, percent: int, is_full: bool
    ) -> None:
        """In bytes; without a limit all does."""
        quota = Quota(limit, used)

        assert (missing, percent, is_full) == (quota.missing(size), quota.percent, quota.is_full)


class TestParsing:
    def test_a_project(self) -> None:
        """Settings are text in the API."""
        metadata = {
            "public": "true",
            "enable_content_trust_cosign": "true",
            "enable_content_trust": "false",
            "prevent_vul": "true",
            "severity": "high",
            "auto_scan": "true",
            "retention_id": "12",
        }
        view = {"project_id": 3, "name": "linkerd", "registry_id": 4, "metadata": metadata}

        assert Project(3, True, True, ("Cosign",), "high", True, 12) == parse_project(view)

    def test_a_project_that_has_nothing_set(self) -> None:
        """Is an ordinary one."""
        assert Project(3) == parse_project({"project_id": 3, "name": "linkerd", "metadata": None})

    def test_a_quota(self) -> None:
        """Of what was never written to, nothing is used."""
        assert Quota(5, 0) == parse_quota({"quota": {"hard": {"storage": 5}, "used": {}}})
        assert parse_quota({"repo_count": 1}) is None

    def test_a_robot(self) -> None:
        """One that says nothing of its end has none."""
        assert Robot("robot$a", 17, True) == parse_robot({"name": "robot$a", "expires_at": 17, "disable": True})
        assert Robot("robot$a", NEVER) == parse_robot({"name": "robot$a"})

    @pytest.mark.parametrize("expires_at", [1e15, 10**400, -5])
    def test_a_robot_that_outlives_the_calendar(self, expires_at: float) -> None:
        """Has no end either: there is no day to be told."""
        assert Robot("robot$a", NEVER) == parse_robot({"name": "robot$a", "expires_at": expires_at})

    @pytest.mark.parametrize("storage", [10**400, -2])
    def test_what_is_no_amount(self, storage: int) -> None:
        """Is no quota of Harbor's."""
        with pytest.raises(ValueError, match="no disk"):
            parse_quota({"quota": {"hard": {"storage": storage}, "used": {}}})

    def test_a_rule(self) -> None:
        """Of either kind."""
        chosen = (Selector("doublestar", "repoMatches", "a/**"),), (Selector("doublestar", "matches", "v*"),)

        assert (Rule(*chosen, template="immutable_template"),) == parse_rules([immutable("a/**", "v*")])
        assert (Rule(*chosen, template="lastXDays", count=7),) == parse_rules([retaining("lastXDays", 7, "a/**", "v*")])

    @given(_json)
    def test_anything(self, view: Any) -> None:
        """Is read, or refused in the ways that are said."""
        for parse in (parse_project, parse_quota, parse_robot, parse_rules):
            with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
                parse(view)
