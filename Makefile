# Each target does all its own set-up: a virtual environment in .venv, from locks that pin every package by hash.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-strip-extras $(LOCK_FLAGS)
# In CI a test that is skipped is a test that fails.
PYTEST := $(BIN)/python -m pytest $(if $(CI),-p tests.no_skips)

.PHONY: demo test check chart image faults kills soak kubernetes real-charts bench bench-tools scale shards metrics-page lock clean

demo: .venv/runtime.stamp  ## the whole job, offline
	$(BIN)/mirror demo

test: check  ## everything that is checked
	$(PYTEST) -n auto --dist loadgroup

check: .venv/dev.stamp  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -q tests/test_architecture.py

CONTAINER ?= docker
TAG ?= mirror
image:  ## the container image: [CONTAINER=docker] [TAG=mirror] [IMAGE_FLAGS=…]; docs/image.md
	$(CONTAINER) build --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
		--build-arg REVISION=$$(git rev-parse HEAD) --tag $(TAG) $(IMAGE_FLAGS) .

SEEDS ?= 1000
START ?= 0
JOBS ?= 2
faults: .venv/dev.stamp  ## runs between real registries with seeded faults: [SEEDS=1000] [START=0] [JOBS=2]
	$(BIN)/python -m tests.faults --seeds $(SEEDS) --start $(START) --jobs $(JOBS)

KILLS ?= 200
TERMS ?= 50
kills: .venv/dev.stamp  ## ended, or robbed of what it needs, at any moment: [KILLS=200] [TERMS=50] [JOBS=2]; as root, for a full disk
	$(BIN)/python -m tests.kills --kills $(KILLS) --terms $(TERMS) --jobs $(JOBS)

MINUTES ?= 30
EVERY ?= 5s
soak: .venv/dev.stamp  ## the service for a long time, with faults and restarts: [MINUTES=30] [EVERY=5s] [SEED=1]
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --every $(EVERY) $(if $(SEED),--seed $(SEED))

kubernetes: .venv/dev.stamp  ## ConfigMaps and the chart in a real cluster: KUBE_APISERVER=PROGRAM, an etcd on PATH
	KUBE_APISERVER=$(KUBE_APISERVER) $(PYTEST) -q tests/kubernetes/test_api.py tests/chart/test_cluster.py

HELM ?= helm
COUNT ?= 100
real-charts: .venv/dev.stamp  ## Linkerd's real charts: CHARTS=DIR (made if GIT=CLONE of linkerd/linkerd2 is given) [TAGS=…]
	$(BIN)/python -m tests.real_charts --helm $(HELM) --charts $(CHARTS) $(if $(GIT),--git $(GIT)) \
		--count $(COUNT) $(if $(PROVE),--prove) $(TAGS)

RUNS ?= 5
bench: .venv/dev.stamp  ## mirror beside other tools, to docs/performance.md; root: [SCENARIOS="loop-plain …"] [TOOLS=A,B] [BENCH_BIN=DIR]
	$(BIN)/python -m tests.bench --runs $(RUNS) $(if $(TOOLS),--tools $(TOOLS)) \
		$(if $(PATIENCE),--patience $(PATIENCE)) $(SCENARIOS)

PEERS := github.com/regclient/regclient/cmd/regsync@v0.11.7 oras.land/oras/cmd/oras@v1.3.6 \
	github.com/google/go-containerregistry/cmd/crane@v0.20.6
bench-tools:  ## what `make bench` needs: Debian's packages, as root, and the other tools in .cache/bench/bin
	apt-get install -y --no-install-recommends docker-registry gcc iproute2 libc6-dev openssl skopeo
	for peer in $(PEERS); do GOBIN=$(CURDIR)/.cache/bench/bin go install $$peer || exit 1; done

scale: COUNT = 1000
scale: .venv/dev.stamp  ## planning and a sync in step over COUNT small releases, to docs/performance.md
	$(BIN)/python -m tests.bench.scale --write --count $(COUNT)

shards: RUNS = 2
shards: .venv/dev.stamp  ## one process and eight that share the work, to docs/performance.md; as root
	$(BIN)/python -m tests.bench.shards --write --runs $(RUNS)

chart: .venv/dev.stamp  ## the README and the schema of helm/mirror, from its values.yaml
	$(BIN)/python -m tests.chart

metrics-page: .venv/dev.stamp  ## docs/metrics.md, from the code
	$(BIN)/python -m tests.service.metrics_page

lock: .cache/uv/bin/uv  ## after a change of dependencies; LOCK_FLAGS=--upgrade for what is newest
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --group build --constraint requirements.lock --output-file requirements-build.lock
	$(COMPILE) pyproject.toml --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group build --constraint requirements-build.lock --output-file requirements-wheel.lock

clean:  ## what the targets have made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find mirror tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mirror needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: requirements-build.lock pyproject.toml | .venv/bin/python
	$(PIP) install --require-hashes -r requirements-build.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements-dev.lock pyproject.toml | .venv/bin/python
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.cache/uv/bin/uv:
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/python -m pip --disable-pip-version-check --quiet install uv==$(UV_VERSION)
