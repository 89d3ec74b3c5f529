# The image of mirror, with Helm inside. docs/image.md says how it is built, pinned, verified and run.
#
#   docker build --tag mirror .        or        buildah build --tag mirror .
#
# BASE is any image with python3 (3.11 or newer, able to make virtual environments) and certificates. A release names it
# with its digest (docs/image.md, "Pinning"): a tag moves, and this file cannot know the digest that was reviewed.
ARG BASE=docker.io/library/python:3.13-slim-trixie


# What is installed: the packages of requirements.lock, by their hashes, and the project as a wheel.
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Two environments: /build/tools has pip and the build backend, and stays behind; /opt/mirror is what is shipped.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/mirror

# Where a proxy of PyPI is used: --secret id=pip,src=pip.conf, and --secret id=ca,src=ca.pem for /run/secrets/ca.
# Wheels only: nothing of a package runs while it is installed.
COPY requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    tools/bin/pip --python /opt/mirror/bin/python install --no-compile --require-hashes --only-binary :all: \
      -r requirements.lock
COPY requirements-wheel.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    tools/bin/pip install --require-hashes --only-binary :all: -r requirements-wheel.lock

# VERSION is what the labels will say: a build that is told another one than pyproject.toml has ends here.
ARG VERSION=
COPY pyproject.toml README.md ./
COPY mirror mirror
RUN tools/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir wheel . \
    && tools/bin/pip --python /opt/mirror/bin/python install --no-compile --no-deps --no-index \
      wheel/linkerd_mirror-${VERSION:-*}-py3-none-any.whl

# Of AWS's services only those that are asked: ECR, and those that botocore gets a credential from (its credentials.py and
# tokens.py; tests/image holds this to them). Nor tests of packages, nor their programs.
RUN cd /opt/mirror/lib/python3*/site-packages/botocore/data \
    && for entry in *; do case "$entry" in \
         ecr | sts | sso | sso-oidc | signin) ;; \
         _retry.json | endpoints.json | partitions.json | sdk-default-configuration.json) ;; \
         *) rm -r "$entry" ;; \
       esac; done \
    && find /opt/mirror -depth -type d -name tests -exec rm -r {} + \
    && find /opt/mirror/bin -mindepth 1 ! -name mirror ! -name 'python*' -delete

# Bytecode that is never compared with its source: neither can change, and nothing can be written.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/mirror/lib


# Helm, held to a checksum that was reviewed here, not to one that lies beside the archive.
FROM ${BASE} AS helm
ARG TARGETARCH
ARG HELM_VERSION=4.3.0
ARG HELM_ARCHIVE=https://get.helm.sh/helm-v${HELM_VERSION}-linux-${TARGETARCH}.tar.gz
ARG HELM_SHA256=
WORKDIR /helm
COPY image/helm.sha256 ./
ADD ${HELM_ARCHIVE} archive.tar.gz
RUN reviewed="$(sed -n "s/  helm-v$HELM_VERSION-linux-$TARGETARCH.tar.gz\$//p" helm.sha256)" \
    && echo "${HELM_SHA256:-${reviewed:-no checksum in image/helm.sha256}}  archive.tar.gz" | sha256sum --check --strict \
    && tar -xzf archive.tar.gz --no-same-owner --strip-components 1 "linux-$TARGETARCH/helm" \
    && chmod 755 helm


# What is shipped; on the same base, since the environment refers to its interpreter.
FROM ${BASE}

# No installer of packages, no program that takes another's rights; the official image's standard library comes without
# bytecode, and could not write it on a read-only root.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/share/python-wheels \
      /usr/local/lib/python3.*/ensurepip /usr/lib/python3.*/ensurepip \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && python3 -m compileall -q -j 0 "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

COPY --from=helm /helm/helm /usr/local/bin/helm
COPY --from=build /opt/mirror /opt/mirror

# HOME and Helm's directories: any user, also one that /etc/passwd does not have, can write to /tmp and nowhere else.
ENV PATH=/opt/mirror/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    HELM_CACHE_HOME=/tmp/helm/cache \
    HELM_CONFIG_HOME=/tmp/helm/config \
    HELM_DATA_HOME=/tmp/helm/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp

ARG BASE
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="linkerd-mirror" \
      org.opencontainers.image.description="A faithful, verified copy of Linkerd's release images in a registry of your own, and the Helm values that use it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"

# By number, so that a kubelet can tell that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 8080
# Without a shell before it mirror is process 1, and gets the SIGTERM that ends it; it waits for each Helm that it starts.
ENTRYPOINT ["mirror"]
# No HEALTHCHECK: Kubernetes ignores it, and a command that runs once has no health; `mirror serve` answers at /livez.
