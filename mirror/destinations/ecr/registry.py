"""A repository of ECR: by the distribution API, but for the manifests that it takes by its own API alone.

ECR refuses a manifest without a top-level mediaType over HTTP ("Invalid JSON syntax": containers/image, docker/
docker_image_dest.go, isManifestInvalidError); adding one would change the digest. PutImage takes it, with the type
beside (API_PutImage, imageManifestMediaType).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from mirror.destinations.ecr.api import EcrApi
from mirror.errors import ContentError, RegistryError
from mirror.oci.manifest import Manifest
from mirror.oci.registry import RegistryRepository

_TAKEN = frozenset({"ImageTagAlreadyExistsException", "ImageAlreadyExistsException"})
# Status and code that the registry has for them over HTTP, which whoever copies knows: missing content is brought anew,
# and a referrer that is not taken leaves its image good.
_OVER_HTTP = {
    "LayersNotFoundException": (400, "MANIFEST_BLOB_UNKNOWN"),
    "LayerInaccessibleException": (400, "MANIFEST_BLOB_UNKNOWN"),
    "ReferencedImagesNotFoundException": (400, "MANIFEST_BLOB_UNKNOWN"),
    "InvalidParameterException": (405, "UNSUPPORTED"),
}


def says_its_type(manifest: Manifest) -> bool:
    """Whether the bytes of *manifest* name its media type."""
    return "mediaType" in json.loads(manifest.raw)


@dataclass(frozen=True, slots=True)
class EcrRepository(RegistryRepository):
    """One repository of ECR (storage.py, Source and Destination)."""

    api: EcrApi

    async def put_manifest(self, manifest: Manifest, *, tag: str = "") -> bool:
        """See Destination."""
        if says_its_type(manifest):
            return await RegistryRepository.put_manifest(self, manifest, tag=tag)
        version = tag or manifest.digest
        if await self.head(version) != manifest.digest:
            async with self.registry.manifest_puts:
                await self._put_image(manifest, tag)
        return await self._has_linked(manifest)

    async def _put_image(self, manifest: Manifest, tag: str) -> None:
        where = self._at(tag or manifest.digest)
        try:
            await self.api.put_image(self.path, manifest, tag=tag)
        except RegistryError as exc:
            code = next(iter(exc.codes), "")
            if code in _TAKEN:
                return await self._hold_tag(tag or manifest.digest, manifest, exc)
            if code == "ImageDigestDoesNotMatchException":
                raise ContentError(f"{where}: ECR finds another digest for what was sent: {exc.words}") from exc
            if known := _OVER_HTTP.get(code):
                status, name = known
                told = RegistryError(
                    str(exc), status=status, codes=(name,), words=exc.words, where=where, asked=exc.asked
                )
                raise self.registry.dialect.explained(told, manifest=manifest) from exc
            raise
