"""Whether an image may enter a mirror, and whether it may stay there: signatures, under the policy.

    upstream's signatures ──► verdict ──► enters, or is refused      (sync, plan)
    the mirror's own      ──► verdict ──► holds, or does not         (verify, overrides)

What verifies is mirror/trust; here it meets the settings and the record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mirror.errors import MirrorError, Refused
from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest, is_restriction
from mirror.oci.reference import Reference, Repository
from mirror.oci.referrers import Referrers, referrers_of
from mirror.oci.remembering import Remembering
from mirror.oci.storage import Source
from mirror.plan import Recorded
from mirror.record import Kept, RecordedImage
from mirror.trust.judge import Trust, judge
from mirror.trust.policy import Expectation, Keyed, Keyless, expectation
from mirror.trust.verdict import Policy, Verdict


class Unsigned(Refused):
    """An image is not signed as the policy requires."""


@dataclass(frozen=True, slots=True)
class Signatures:
    """What is asked of signatures. A *reference* is as charts have it."""

    policy: Policy
    trust: Trust
    resolve: Callable[[Repository], Repository]
    """Where a repository really is, aliases applied."""
    accept: Mapping[Reference, Digest] = field(default_factory=dict)
    believes_records: bool = False
    """Records are signed with a key of the operator's: that a digest was accepted is believed of one."""

    @property
    def asked(self) -> str:
        """What is asked, as a text that differs where it does: a record was made for one such."""
        if self.policy == "off":
            return "off"
        signers = repr((self.trust.identities, self.trust.third_party))
        return f"{self.policy} {hashlib.sha256(signers.encode()).hexdigest()}"

    def expected(self, reference: Reference) -> Expectation:
        """Who should have signed *reference*."""
        return expectation(
            (reference.repository, self.resolve(reference.repository)),
            reference.tag,
            identities=self.trust.identities,
            third_party=self.trust.third_party,
        )

    def needs_root(self, reference: Reference) -> bool:
        """Whether Sigstore's root of trust is needed to verify who signed *reference*."""
        match self.expected(reference):
            case Keyed(transparency_log=is_logged):
                return is_logged
            case other:
                return isinstance(other, Keyless)

    def is_settled(self, recorded: RecordedImage) -> bool:
        """Whether the recorded verdict is the one that the policy of today asks for; else it is to be judged anew.

        What was accepted is not judged anew: it is what upstream has, and was then.
        """
        if self.policy == "off" or recorded.is_accepted:
            return True
        verdict = recorded.verdict
        if verdict is None or verdict.subject != recorded.digests.upstream or not verdict.satisfies(self.policy):
            return False
        expected = self.expected(Reference.parse(recorded.image.reference))
        key = str(expected.digest or "") if isinstance(expected, Keyed) else ""
        return verdict.is_of(expected, key=key) or self.policy == "warn"

    async def judged(
        self, reference: Reference, digest: Digest, found: Referrers | MirrorError, place: Source
    ) -> Verdict:
        """The verdict on *digest*, by what was *found* to refer to it at *place*; *found* is raised if it is needed."""
        if isinstance(found, MirrorError):
            if isinstance(self.expected(reference), Keyless | Keyed):
                if self.policy == "require":
                    raise found
                return Verdict(digest, "missing", f"its signatures could not be read: {found}")
            found = Referrers(digest, (), ())
        real = Reference(self.resolve(reference.repository), reference.tag)
        return await judge(real, digest, found, place, self.trust, names=(reference.repository,))

    async def admitted(
        self, reference: Reference, digest: Digest, found: Referrers | MirrorError, place: Source
    ) -> Verdict | None:
        """The verdict on an image that may enter, None where nobody asks; raises Unsigned for one that may not."""
        if self.policy == "off":
            return None
        verdict = await self.judged(reference, digest, found, place)
        if not verdict.satisfies(self.policy) and self.accept.get(reference) != digest:
            raise Unsigned(_refusal(reference, digest, verdict))
        return verdict

    async def held(self, recorded: RecordedImage, mirrored: Source, kept: Kept) -> tuple[Verdict | None, str]:
        """The verdict on what is *mirrored*, by its own evidence and what the record *kept*; and why it may not stay.

        No reason where it may, where no signature is asked for, and where an operator has accepted the digest. What is
        recorded of either counts for nothing: whoever can push to the mirror can write it.
        """
        if self.policy == "off":
            return None, ""
        verdict = await self._by_own_evidence(recorded, mirrored, kept)
        return verdict, self._problem(recorded, verdict) or await _unbound(recorded.digests, mirrored, kept)

    async def stays(self, recorded: RecordedImage, mirrored: Source, kept: Kept) -> Verdict | None:
        """As admitted, by the mirror's own evidence: for an image that nobody judged by the policy of today."""
        if self.policy == "off":
            return recorded.verdict
        reference, subject = Reference.parse(recorded.image.reference), recorded.digests.upstream
        verdict = await self._by_own_evidence(recorded, mirrored, kept)
        if self.accept.get(reference) != subject:
            if not verdict.satisfies(self.policy):
                raise Unsigned(f"by the mirror's own evidence {_refusal(reference, subject, verdict)}")
            if why := await _unbound(recorded.digests, mirrored, kept):
                raise Unsigned(why)
        return verdict

    async def _by_own_evidence(self, recorded: RecordedImage, mirrored: Source, kept: Kept) -> Verdict:
        reference, subject = Reference.parse(recorded.image.reference), recorded.digests.upstream
        verdict = await self.judged(reference, subject, await referrers_of(mirrored, subject), mirrored)
        if verdict.satisfies("require") or not kept.signatures:
            return verdict
        known = {digest: data for one in kept.signatures for digest, data in one.blobs.items()}
        referrers = Referrers(subject, (), tuple(one.manifest for one in kept.signatures))
        return await self.judged(reference, subject, referrers, Remembering(mirrored, known))

    def _problem(self, recorded: RecordedImage, found: Verdict) -> str:
        reference, digest, claimed = Reference.parse(recorded.image.reference), found.subject, recorded.verdict
        if self.accept.get(reference) == digest or (recorded.is_accepted and self.believes_records):
            return ""
        if not found.satisfies(self.policy):
            told = f"by the mirror's own evidence {found.words}"
            settled = (
                f'; its record says that it was accepted: if so, put "{reference}" = "{digest}" into [policy.accept]'
            )
            return told + settled * recorded.is_accepted
        if claimed is None:
            return "it was recorded while nobody looked at its signature" if self.policy == "require" else ""
        if claimed.state != found.state:
            return f"its signature is recorded as {claimed.state}, and is {found.state}: {found.words}"
        return ""


async def _unbound(digests: Recorded, mirrored: Source, kept: Kept) -> str:
    """Why what is *mirrored* is not what was signed: with a platform filter, a part of it; empty where it is."""
    if digests.mirrored == digests.upstream:
        return ""
    if Digest.of(kept.upstream_index, digests.upstream.algorithm) != digests.upstream:
        return f"the record does not keep the index {digests.upstream} that was signed"
    whole = Manifest.parse(kept.upstream_index, where="a record", algorithm=digests.upstream.algorithm)
    if not is_restriction(await mirrored.manifest(digests.mirrored), whole):
        return f"it lists what the index {digests.upstream}, which was signed, does not"
    return ""


def _refusal(reference: Reference, digest: Digest, verdict: Verdict) -> str:
    """Why *digest* does not enter, and what would let it."""
    told = f"{verdict.words}; to let this digest in all the same: --accept {reference}@{digest}"
    if not verdict.stanza:
        return told
    return f"{told}; if that signer is to be trusted, this entry of the configuration says so:\n{verdict.stanza}"
