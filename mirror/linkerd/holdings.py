"""Holdings: what a mirror holds, found by the name that a manifest calls it.

Names are compared as registries understand them: aliases applied, `library/` and docker.io filled in, and `latest` for
what has neither tag nor digest. The mirror's own names are found too, so that what is pointed at it stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mirror.errors import BadReference
from mirror.linkerd.overrides import Located, Pin
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository


@dataclass(frozen=True, slots=True)
class Holding:
    """One image that the mirror holds."""

    release: str
    """The release whose record says so."""
    upstream: Digest
    """Its digest upstream, which a platform filter changes on the way."""
    located: Located

    def version(self, asked: Reference, pin: Pin) -> str:
        """What follows the colon for a manifest that has *asked* for it; a digest that is asked for is never lost."""
        return self.located.version(pinned=pin == "digest" or asked.digest is not None)

    def name(self, asked: Reference, pin: Pin) -> str:
        """What *asked* becomes."""
        return f"{self.located.repository}:{self.version(asked, pin)}"


@dataclass(frozen=True, slots=True)
class Absent:
    """Why the mirror is not where an image can be pulled from."""

    reason: str


@dataclass(slots=True)
class Holdings:
    """What a mirror holds; of two of the same name the later one counts."""

    resolve: Callable[[Repository], Repository]
    """A repository where it really is, aliases applied."""
    _tagged: dict[tuple[Repository, str], Holding] = field(default_factory=dict, init=False)
    _digested: dict[tuple[Repository, Digest], Holding] = field(default_factory=dict, init=False)
    _places: dict[Repository, str] = field(default_factory=dict, init=False)

    def add(self, holdings: Iterable[Holding]) -> None:
        """They are found from now on."""
        for holding in holdings:
            asked = Reference.parse(holding.located.reference)
            own = Repository.parse(holding.located.repository)
            for repository in (self.resolve(asked.repository), own):
                self._tagged[repository, holding.located.tag] = holding
                self._digested[repository, holding.located.digest] = holding
                self._places[repository] = holding.located.repository
            self._digested[self.resolve(asked.repository), holding.upstream] = holding

    def find(self, reference: Reference) -> Holding | Absent:
        """What the mirror holds as *reference*, or why it holds nothing."""
        repository = self._known(reference.repository)
        if repository not in self._places:
            return Absent("the mirror does not hold it")
        if reference.digest is not None:
            found = self._digested.get((repository, reference.digest))
            return found or Absent("the mirror holds it at other digests")
        found = self._tagged.get((repository, reference.tag))
        return found or Absent("the mirror holds it at other tags")

    def place(self, text: str) -> str | Absent:
        """Where the repository that *text* names is in the mirror, whatever tags it has there."""
        try:
            repository = self._known(Repository.parse(text))
        except BadReference as exc:
            return Absent(f"it cannot be read: {exc}")
        return self._places.get(repository) or Absent("the mirror does not hold it")

    def _known(self, repository: Repository) -> Repository:
        return repository if repository in self._places else self.resolve(repository)
