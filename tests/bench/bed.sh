#!/usr/bin/env bash
# The bed: two network namespaces, a link between them; a source registry and a chart repository that hold two releases
# at the far end. scenario.py starts the destination registry afresh for each tool, at the near end.
#
#   bed.sh up [--rtt MS] [--rate MBIT] [--tls [--http1]]
#                            (re)build it; --rtt 0 is loopback, --http1 does not offer HTTP/2
#   bed.sh exec COMMAND...   run something where the tools run, at the near end
#   bed.sh down              end every process, remove everything
#
# Environment: BENCH_DIR     a folder of its own, for everything that it keeps
#              BENCH_NS      prefix of the namespaces' names; one bed at a time for each
#              BENCH_PYTHON  an interpreter that has this project
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NEAR=$BENCH_NS-near
FAR=$BENCH_NS-far
RUN=$BENCH_DIR/run
STORAGE=$BENCH_DIR/storage
TLS=$BENCH_DIR/tls

SOURCE=source.test:5001
DESTINATION=destination.test:5002
CHARTS=charts.test:8080
RELEASES=(edge-26.1.1 edge-26.1.2)

fail() { echo "bed.sh: $*" >&2; exit 1; }

# start NAME NAMESPACE COMMAND...: in the background, its pid and output in $RUN
start() {
    local name=$1 namespace=$2
    shift 2
    # `ip netns exec` replaces itself by the command, so $! is the command's pid
    if [ -n "$namespace" ]; then set -- ip netns exec "$namespace" "$@"; fi
    "$@" > "$RUN/$name.log" 2>&1 < /dev/null &
    echo $! > "$RUN/$name.pid"
}

# A zombie is not running: who adopts our processes may be slow to reap them.
running() { grep -Eqs '^State:[[:space:]]+[^ZX[:space:]]' "/proc/$1/status"; }

stop() {
    local name pid
    for name in "$@"; do
        [ -f "$RUN/$name.pid" ] || continue
        pid=$(cat "$RUN/$name.pid")
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 50); do running "$pid" || break; sleep 0.1; done
        rm -f "$RUN/$name.pid"
    done
}

await() {
    local what=$1
    shift
    for _ in $(seq 100); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done
    fail "$what did not come up; see $RUN"
}

listening() { ip netns exec "$NEAR" bash -c ": < /dev/tcp/${1%:*}/${1#*:}"; }

namespaces() {
    local namespace
    for namespace in "$NEAR" "$FAR"; do
        [ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
        ip -n "$namespace" link set lo up
    done
}

# names SOURCE_ADDRESS: `ip netns exec` shows this file as /etc/hosts in the namespace
names() {
    mkdir -p "/etc/netns/$NEAR"
    cat > "/etc/netns/$NEAR/hosts" <<HOSTS
127.0.0.1 localhost destination.test
$1 source.test charts.test
HOSTS
}

link() {
    local delay_us=$1 rate=$2
    [ -x "$RUN/delayline" ] || cc -O2 -Wall -o "$RUN/delayline" tests/bench/delayline.c
    start link "" "$RUN/delayline" "$NEAR" delay0 "$FAR" delay1 "$delay_us" "$rate"
    await "the link" grep -q ready "$RUN/link.log"
    ip -n "$NEAR" addr add 10.99.0.1/30 dev delay0
    ip -n "$FAR" addr add 10.99.0.2/30 dev delay1
    ip -n "$NEAR" link set delay0 mtu 1500 txqueuelen 2000 up
    ip -n "$FAR" link set delay1 mtu 1500 txqueuelen 2000 up
}

# A certificate authority of this bed alone, and one certificate for its three names.
certificates() {
    [ -f "$TLS/ca.pem" ] && return
    mkdir -p "$TLS"
    local ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${ec[@]}" -days 30 -subj "/CN=mirror bench CA" \
        -keyout "$TLS/ca.key" -out "$TLS/ca.pem" 2> "$RUN/openssl.log"
    openssl req "${ec[@]}" -subj "/CN=source.test" \
        -keyout "$TLS/server.key" -out "$TLS/server.csr" 2>> "$RUN/openssl.log"
    openssl x509 -req -in "$TLS/server.csr" -CA "$TLS/ca.pem" -CAkey "$TLS/ca.key" -CAcreateserial \
        -days 30 -out "$TLS/server.pem" 2>> "$RUN/openssl.log" \
        -extfile <(echo "subjectAltName=DNS:source.test,DNS:destination.test,DNS:charts.test")
}

# registry_config NAME LISTEN TLS HTTP1: the last two empty or not
registry_config() {
    cat <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: $STORAGE/$1, maxthreads: 100}
  cache: {blobdescriptor: inmemory}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http:
  addr: $2
  secret: bench
YAML
    [ -z "$3" ] || echo "  tls: {certificate: $TLS/server.pem, key: $TLS/server.key}"
    [ -z "$4" ] || echo "  http2: {disabled: true}"
}

# The source's storage and the charts, once.
releases() {
    local generation=0 tag
    [ ! -d "$BENCH_DIR/charts" ] || return 0
    for tag in "${RELEASES[@]}"; do
        generation=$((generation + 1))
        "$BENCH_PYTHON" -m tests.bench.release --root "$STORAGE/source" --tag "$tag" --generation "$generation" \
            --out "$BENCH_DIR/$tag.json"
    done
    "$BENCH_PYTHON" -m tests.bench.charts build "$BENCH_DIR/charts" "${RELEASES[@]}"
}

up() {
    local rtt=0 rate=0 tls="" http1="" scheme=http ca=""
    while [ $# -gt 0 ]; do
        case $1 in
            --rtt) rtt=$2; shift 2 ;;
            --rate) rate=$2; shift 2 ;;
            --tls) tls=yes; shift ;;
            --http1) http1=yes; shift ;;
            *) fail "unknown option $1" ;;
        esac
    done
    if [ -e "/run/netns/$NEAR" ] && [ ! -d "$RUN" ]; then
        fail "the namespace $NEAR belongs to another bed: take that down, or choose another BENCH_NS"
    fi
    mkdir -p "$RUN" "$STORAGE"
    mountpoint -q "$STORAGE" || mount -t tmpfs -o size=6g tmpfs "$STORAGE"
    stop destination source charts link
    namespaces
    releases

    local side=$NEAR address=127.0.0.1
    if [ "$rtt" != 0 ]; then
        link "$((rtt * 500))" "$rate"
        side=$FAR address=10.99.0.2
    fi
    names "$address"
    if [ -n "$tls" ]; then certificates; scheme=https ca=$TLS/ca.pem; fi

    registry_config source "$address:5001" "$tls" "$http1" > "$RUN/source.yml"
    registry_config destination 127.0.0.1:5002 "$tls" "$http1" > "$RUN/destination.yml"
    start source "$side" docker-registry serve "$RUN/source.yml"
    start charts "$side" "$BENCH_PYTHON" -m tests.bench.charts serve "$BENCH_DIR/charts" --listen "$address:8080"
    await "the source registry" listening "$SOURCE"
    await "the chart repository" listening "$CHARTS"
    cat > "$BENCH_DIR/bed.json" <<JSON
{"scheme": "$scheme", "ca": "$ca", "source": "$SOURCE", "destination": "$DESTINATION", "charts": "http://$CHARTS"}
JSON
}

down() {
    stop destination source charts link
    local namespace
    for namespace in "$NEAR" "$FAR"; do
        [ ! -e "/run/netns/$namespace" ] || ip netns del "$namespace"
    done
    rm -rf "/etc/netns/$NEAR"
    if mountpoint -q "$STORAGE"; then umount "$STORAGE"; fi
    rm -rf "$BENCH_DIR"
}

case ${1:-} in
    up) shift; up "$@" ;;
    exec) shift; exec ip netns exec "$NEAR" "$@" ;;
    down) down ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
