"""What was seen of a Harbor and of a project, as findings: what is right, what would go wrong, what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mirror.destinations.harbor import words
from mirror.destinations.harbor.project import NEVER, UNLIMITED, Project, Quota, Robot, Rule, fate, holding
from mirror.findings import Finding, State

EXAMPLES = ("edge-26.8.1", "v2.4.1")
"""Tags such as are mirrored: of Linkerd's own images, and of others'."""
_SIGNATURE = f"sha256-{'0' * 64}.sig"
_EXPIRES_SOON_S = 14 * 24 * 3600
_NEARLY_FULL = 90  # percent


@dataclass(frozen=True, slots=True)
class System:
    """What Harbor says of itself to who is known to it."""

    version: str
    external_url: str
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are to Harbor."""

    name: str
    is_robot: bool
    is_admin: bool = False

    @property
    def is_of_project(self) -> bool:
        """Whether it is a robot of a project: robot$PROJECT+NAME (src/server/middleware/security/robot.go)."""
        return self.is_robot and "+" in self.name


@dataclass(frozen=True, slots=True)
class Seen:
    """What could be read of a project; None of what could not."""

    project: Project | None = None
    quota: Quota | None = None
    immutable: tuple[Rule, ...] | None = None
    retention: tuple[Rule, ...] | None = None
    unread: tuple[str, ...] = ()
    """What the account may not read, with the permission that it lacks."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Speaks of the *project*, and of the *record* in it, a path below the project; *subject* as in a Finding."""

    subject: str
    project: str
    record: str

    def of_system(self, system: System, unhealthy: Sequence[str], *, is_tls: bool) -> list[Finding]:
        """Of Harbor itself, whose parts *unhealthy* are not well; *is_tls*: it is reached by https."""
        told, found = f"Harbor {system.version}".strip(), list[Finding]()
        if unhealthy:
            remedy = "let its administrator look, before images get lost"
            found.append(
                self._finding("harbor", "warning", f"{told}, of which is not well: {', '.join(unhealthy)}", remedy)
            )
        else:
            found.append(self._finding("harbor", "ok", told))
        if system.is_read_only:
            found.append(self._advised("read-only", "failed", words.READ_ONLY))
        if is_tls and system.external_url.startswith("http://"):
            told = f"it calls itself {system.external_url}, so that it sends clients to plain http for a token"
            remedy = "set external_url in harbor.yml (externalURL in its chart) to the https address, and restart it"
            found.append(self._finding("external url", "failed", told, remedy))
        return found

    def of_silence(self, reason: str) -> Finding:
        """Of an API that does not answer, for *reason*."""
        remedy = "a sync does without it, by /v2/ and /service/token: let both through, and /api/v2.0/ to be told more"
        return self._finding("harbor", "warning", f"its API cannot be asked: {reason}", remedy)

    def of_account(self, account: Account) -> Finding:
        """Of who we are."""
        if account.is_admin:
            remedy = f"give it a robot account with {words.may_push(self.project)}"
            return self._finding("credential", "warning", f"{account.name} is a system administrator", remedy)
        return self._finding("credential", "ok", f"{'the robot ' if account.is_robot else ''}{account.name}")

    def of_refused(self, name: str) -> Finding:
        """Of the account *name*, none if empty, that Harbor does not take."""
        told = "there is no user name and password for it"
        if name:
            told = f"Harbor does not take the credential of {name}: the secret is wrong, or it is expired or disabled"
        remedy = (
            "set username and password_file of this host under registries, or log in by docker: a robot account with "
            f"{words.may_push(self.project)}"
        )
        return self._finding("credential", "failed", told, remedy)

    def of_missing(self, account: Account, *, is_to_be_made: bool) -> Finding:
        """Of a project that is not there, and that *account* would make."""
        if not is_to_be_made:
            return self._advised("project", "failed", words.no_project(self.project))
        if account.is_of_project:
            told = f"Harbor has no project {self.project}, and {account.name}, a robot of a project, may make none"
            return self._finding("project", "failed", told, words.MAY_CREATE)
        told = f"Harbor has no project {self.project}, which create_project = true makes"
        return self._finding("project", "warning", told, "sync, or mirror doctor --fix")

    def of_making(self, problem: str) -> Finding:
        """Of a project that was made; or was not, for *problem*."""
        if problem:
            return self._finding("project", "failed", problem, words.MAY_CREATE)
        return self._finding("project", "ok", f"the project {self.project} was made")

    def of_project(self, project: Project | None) -> Finding:
        """Of a project that is there."""
        if project and project.is_proxy_cache:
            return self._advised("project", "failed", words.is_proxy_cache(self.project))
        kind = f", {'public' if project.is_public else 'private'}" if project else ""
        return self._finding("project", "ok", f"the project {self.project} is there{kind}")

    def of_expiry(self, robot: Robot, *, now: float) -> Finding:
        """Of how long *robot* lives; *now* in seconds since 1970."""
        if robot.expires_at == NEVER:
            return self._finding("expiry", "ok", f"{robot.name} does not expire")
        left_s = robot.expires_at - now
        told = f"{robot.name} expires on {datetime.fromtimestamp(robot.expires_at, UTC):%Y-%m-%d}"
        if left_s > _EXPIRES_SOON_S:
            return self._finding("expiry", "ok", told)
        return self._finding("expiry", "warning", f"{told}, in {left_s / 86400:.0f} days", "give it a new duration")

    def of_quota(self, quota: Quota) -> Finding:
        """Of the storage that is left."""
        if quota.limit == UNLIMITED:
            return self._finding("quota", "ok", f"{words.human(quota.used)} are used, without a limit")
        if quota.is_full:
            return self._finding("quota", "failed", f"it is full: {_usage(quota)}", words.RAISE_QUOTA)
        if quota.percent >= _NEARLY_FULL:
            return self._finding("quota", "warning", _usage(quota), words.RAISE_QUOTA)
        return self._finding("quota", "ok", _usage(quota))

    def of_need(self, quota: Quota | None, size: int) -> tuple[str, ...]:
        """A sentence, if *size* bytes more do not fit."""
        missing = quota.missing(size) if quota else 0
        if quota is None or not missing:
            return ()
        told = f"the storage quota of the project {self.project} is {words.human(missing)} too small"
        return (f"{told}, as {words.human(size)} are to be sent ({_usage(quota)}): {words.RAISE_QUOTA}",)

    def of_unread(self, unread: Sequence[str]) -> Finding:
        """Of what could not be looked at."""
        told = f"not looked at, as this account may not read it: {', '.join(unread)}"
        return self._finding("settings", "ok", told)

    def of_settings(self, seen: Seen, paths: Collection[str]) -> list[Finding]:
        """Of the policies and rules of the project, for the repositories *paths* in it, the project included."""
        below = sorted({path.partition("/")[2] for path in paths} - {self.record})
        found = self._of_policies(seen.project)
        if seen.immutable is not None:
            found += self._of_immutable(seen.immutable, below)
        if seen.retention:
            found += self._of_retention(seen.retention, seen.immutable or (), [*below, self.record])
        return found

    def _of_policies(self, project: Project | None) -> list[Finding]:
        found = list[Finding]()
        if project and project.signers:
            advice = words.needs_signatures(self.project)
            told = f"{advice.told} ({' and '.join(project.signers)})"
            found.append(self._finding("signed images only", "failed", told, advice.remedy))
        if project and project.prevents_vulnerable:
            advice = words.needs_scans(self.project)
            told = f"{advice.told}, and what was not scanned; from {project.prevents_vulnerable} on"
            state: State = "warning" if project.scans_on_push else "failed"  # who scans nothing lets nothing be read
            found.append(self._finding("vulnerable images", state, told, advice.remedy))
        return found

    def _of_immutable(self, rules: Sequence[Rule], below: Sequence[str]) -> list[Finding]:
        found = list[Finding]()
        if rule := holding(rules, self.record, EXAMPLES[0]):
            told = f"an immutable tag rule holds the record too ({rule}), so that it cannot be renewed"
            remedy = f"let the rule exclude the repository {self.record}"
            found.append(self._finding("immutable tags", "warning", told, remedy))
        if rule := next(filter(None, (holding(rules, path, _SIGNATURE) for path in below)), None):
            told = f"an immutable tag rule holds the tags of signatures ({rule}), so that a second one cannot be added"
            remedy = "let the rule exclude the tags sha256-*"
            found.append(self._finding("immutable tags", "warning", told, remedy))
        if found:
            return found
        count = sum(not rule.is_disabled for rule in rules)
        return [self._finding("immutable tags", "ok", f"{count} rules, none in the way" if count else "no rules")]

    def _of_retention(
        self, retention: Sequence[Rule], immutable: Sequence[Rule], below: Sequence[str]
    ) -> list[Finding]:
        doomed = dict[str, str]()
        for path in below:
            for tag in EXAMPLES:
                if holding(immutable, path, tag) is None and (until := fate(retention, path, tag)):
                    doomed.setdefault(until, f"{path}:{tag}")
        if not doomed:
            return [self._finding("retention", "ok", "the retention policy deletes nothing that is mirrored")]
        remedy = "let it retain always what is mirrored, or hold that by an immutable tag rule"
        told = f"the retention policy of the project {self.project} keeps tags such as"
        return [
            self._finding("retention", "warning", f"{told} {name} only {until}", remedy)
            for until, name in doomed.items()
        ]

    def _advised(self, check: str, state: State, advice: words.Advice) -> Finding:
        return self._finding(check, state, advice.told, advice.remedy)

    def _finding(self, check: str, state: State, told: str, remedy: str = "") -> Finding:
        return Finding(self.subject, check, state, told, remedy)


def _usage(quota: Quota) -> str:
    return f"{words.human(quota.used)} of {words.human(quota.limit)} are used ({quota.percent}%)"
