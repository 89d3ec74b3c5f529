"""Every error that mirror raises on purpose.

    MirrorError                     exit code
    ├── UsageError                  2     the operator's input is wrong
    │   ├── SettingsError                 a configuration key or value
    │   ├── BadReference                   an image reference or digest that cannot be read
    │   └── UnknownRelease                no such release, with the nearest ones
    ├── Refused                     3     a human must decide
    │   ├── TagTaken                      the registry lets nobody change the tag, and it names something else
    │   └── NotVerified                   a signature does not hold
    │       └── OtherSigner               it does, and is by somebody else
    └── WorldError                  1     the world failed
        ├── Unreachable                   network, name resolution, TLS, deadline
        │   └── Untrusted                     a certificate that nobody we trust vouches for
        ├── RegistryError                 an answer from a registry that is not the one asked for
        │   ├── NotFound                  404
        │   ├── AccessDenied              401 and 403
        │   │   └── NoCredential          there is none to be refused
        │   ├── ImmutableTag              a tag that is there and may not be written again
        │   └── ManifestRefused           a manifest that the registry does not take, whatever is tried
        ├── ContentError                  bytes that are not what was promised; never retried
        ├── ManifestError                 a manifest that cannot be read, or is of a kind we refuse
        ├── TrustRootError                the root of trust: unreachable, expired, not one
        ├── LayoutError                   an OCI image layout on disk: not one, full, not writable
        ├── ArchiveError                  a file that crosses an air gap: cut off, altered, incomplete, not writable
        ├── ChartError                    a chart index or archive
        │   └── TemplateError             an `image:` line in a form that is not known: chart, file, line
        ├── HelmError                     Helm could not render
        └── KubernetesError               the API server of the cluster took no values

Facts are attributes; the message is one sentence of what, where, why, and what to do.
What may be tried again is said by `is_temporary`; small requests were, before their error gets here.
"""

from __future__ import annotations

TEMPORARY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""The answers after which the same request may succeed; http/transport.py says how long each is waited for."""


TOO_MUCH = frozenset({429, 503})
"""The answers of a host that wants to be asked less."""


class MirrorError(Exception):
    """The root of the tree; *exit_code* is what the process ends with."""

    exit_code = 1


class UsageError(MirrorError):
    """The operator's input is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """A configuration key or value is wrong."""


class BadReference(UsageError):
    """An image reference or a digest cannot be read."""


class UnknownRelease(UsageError):
    """No such release."""


class Refused(MirrorError):
    """Going on needs a human's decision."""

    exit_code = 3


class TagTaken(Refused):
    """The registry lets nobody change a tag, and it names something else than it is to name."""


class NotVerified(Refused):
    """A signature, or what vouches for it, does not hold."""


class OtherSigner(NotVerified):
    """A signature holds, and is by somebody else than was expected: *identity*, as *issuer* knows them."""

    def __init__(self, message: str, *, identity: str, issuer: str) -> None:
        super().__init__(message)
        self.identity = identity
        self.issuer = issuer


class WorldError(MirrorError):
    """Something outside of us failed."""


class Unreachable(WorldError):
    """A host did not answer: network, name resolution, TLS or a deadline."""

    def __init__(self, message: str, *, is_temporary: bool = True) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary
        """Another try could help; not so for a certificate that is not trusted."""


class Untrusted(Unreachable):
    """A host's certificate is not trusted: OpenSSL's *reason* in words, and its *code* (x509_vfy.h, X509_V_ERR_*)."""

    def __init__(self, message: str, *, reason: str, code: int) -> None:
        super().__init__(message, is_temporary=False)
        self.reason = reason
        self.code = code


class RegistryError(WorldError):
    """A registry answered *status* with the specification's error *codes* (distribution-spec, #error-codes).

    *where* and *asked* (a method) say to what, *words* is its own message.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        codes: tuple[str, ...] = (),
        words: str = "",
        where: str = "",
        asked: str = "",
        wait_s: float | None = None,
        is_temporary: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.codes = codes
        self.words = words
        self.where = where
        self.asked = asked
        self.wait_s = wait_s
        """Seconds that the registry asked us to wait before another try."""
        self.is_temporary = status in TEMPORARY_STATUSES if is_temporary is None else is_temporary
        """Another try could help."""

    def retold(self, message: str, kind: type[RegistryError] | None = None) -> RegistryError:
        """The same refusal in another *message*, as a *kind* if one is given; whatever else is known of it stays."""
        return (kind or RegistryError)(
            message,
            status=self.status,
            codes=self.codes,
            words=self.words,
            where=self.where,
            asked=self.asked,
            wait_s=self.wait_s,
            is_temporary=self.is_temporary,
        )


class NotFound(RegistryError):
    """The registry does not have it."""


class AccessDenied(RegistryError):
    """The registry refused our credential, or wants one that we do not have."""


class NoCredential(AccessDenied):
    """A credential is needed, and none was found anywhere that was looked."""


class ImmutableTag(RegistryError):
    """A tag is there, and the registry lets nobody write it again, be it the same."""


class ManifestRefused(RegistryError):
    """The registry does not take a manifest of this form."""


class ContentError(WorldError):
    """Bytes are not what was promised: another digest, another size."""


class ManifestError(WorldError):
    """A manifest cannot be read, breaks a bound, or is of a kind we refuse."""


class TrustRootError(WorldError):
    """What signatures are verified against cannot be had, or is not what it should be."""


class LayoutError(WorldError):
    """An OCI image layout on disk cannot be read or written."""


class ArchiveError(WorldError):
    """An archive of releases cannot be written, or is not what was written."""


class ChartError(WorldError):
    """A chart index or archive cannot be read, or is not what the index promised."""


class TemplateError(ChartError):
    """An `image:` line is in a form that is not known."""


class HelmError(WorldError):
    """Helm could not render a chart."""


class KubernetesError(WorldError):
    """A cluster does not take what it was to hold: what is *told* of it, and the *remedy* where one is known."""

    def __init__(self, told: str, *, remedy: str = "", status: int = 0) -> None:
        super().__init__(f"{told}: {remedy}" if remedy else told)
        self.told = told
        self.remedy = remedy
        self.status = status
        """What its API server answered; 0 where it was not asked."""
