#!/usr/bin/env bash
# Proves that `cluster down` leaves nothing behind on the host: after normal use, after crashes, after half of an `up`.
# Does I/O: makes and destroys clusters on this host; needs root. Usage: down_test.sh [SCENARIO...]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cluster=${TENANTRY_CLUSTER_BINARY:-$("$here/build" | tail -1)}
name=down-test
state=$(mktemp -d -u /var/tmp/tenantry-down.XXXX)
work=$(mktemp -d)
run() { "$cluster" --name "$name" --state "$state" "$@"; }
trap 'run down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

[[ $EUID == 0 ]] || { echo "SKIP down_test: needs root" >&2; exit 0; }

# Everything on the host that a cluster touches.
host_state() {
    echo "# processes"; grep -lsz "^TENANTRY_CLUSTER_STATE_MARK=$state$" /proc/[0-9]*/environ || true
    echo "# shims"; pgrep -af "containerd-shim.*$state" || true
    echo "# mounts"; grep -F " $state/" /proc/self/mountinfo || true
    echo "# network namespaces"; grep -E ' (/var)?/run/netns/| nsfs ' /proc/self/mountinfo || true
    echo "# links"; ip -o link show | awk -F': ' '$2 ~ /^(tenantry|veth|cni)/ {print $2}'
    echo "# routes"; ip route show | grep -F 10.244 || true
    echo "# nft"; nft list tables | sort
    echo "# iptables"; { iptables-save; ip6tables-save; } 2>/dev/null | grep -E '^-A|^:(CNI|KUBE)' || true
    echo "# cgroups"; find /sys/fs/cgroup -maxdepth 2 -type d -name 'tenantry*' | sort
    echo "# files"
    # Other users of containerd come and go meanwhile; of their sockets only dead ones could be ours.
    find /run/containerd/s -type s 2>/dev/null | sort | while read -r socket; do grep -q " $socket$" /proc/net/unix || echo "$socket"; done
    grep -s "$state" /run/tenantry-cluster/ledger.json || true
    find /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods /var/run/kubernetes "$state" 2>/dev/null | sort || true
    echo "# sysctl"
    (cd /proc/sys && grep -s . net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables vm/overcommit_memory kernel/panic \
        kernel/panic_on_oops vm/panic_on_oom net/ipv4/conf/all/route_localnet) || true
}

pods() {
    run kubectl apply -f - >/dev/null <<'YAML'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  containers:
  - name: pause
    image: tenantry.local/pause:1
    ports: [{containerPort: 80, hostPort: 19999}]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
YAML
    run kubectl wait --for=condition=Ready pod/sleeper --timeout=120s >/dev/null
}

marked() { { grep -lsz "^TENANTRY_CLUSTER_STATE_MARK=$state$" /proc/[0-9]*/environ || true; } | cut -d/ -f3; }
kill_marked() { marked | xargs kill -9 || true; } # some end before their turn, as shims do

up() { run up >"$work/up.log" 2>&1 || { cat "$work/up.log"; return 1; }; }

clean_stop() { up; pods; }
crash_of_everything() { up; pods; kill_marked; }
crash_of_runtime() { up; pods; kill -9 "$(sed 's/.*"pid":\([0-9]*\).*/\1/' "$state/pids/containerd")"; }
lost_pid_files() { up; pods; rm -r "$state/pids"; }
crash_and_repair() { up; pods; kill_marked; sleep 1; up; }
half_up() {
    "$cluster" --name "$name" --state "$state" up >"$work/up.log" 2>&1 &
    local pid=$!
    sleep "$1"
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}
half_up_early() { half_up 0.2; }
half_up_etcd() { half_up 0.8; }
half_up_api() { half_up 2; }
half_up_node() { half_up 6; }
half_up_late() { half_up 10; }

scenarios=("$@")
((${#scenarios[@]})) || scenarios=(clean_stop crash_of_everything crash_of_runtime lost_pid_files crash_and_repair
    half_up_early half_up_etcd half_up_api half_up_node half_up_late)
failed=0
for scenario in "${scenarios[@]}"; do
    host_state >"$work/before"
    $scenario
    begin=$(date +%s.%N)
    run down >"$work/down.log" 2>&1 || { cat "$work/down.log"; failed=1; }
    end=$(date +%s.%N)
    host_state >"$work/after"
    if diff -u "$work/before" "$work/after" >"$work/diff"; then
        printf -- '--- PASS %s (down took %.1f s)\n' "$scenario" "$(awk "BEGIN {print $end - $begin}")"
    else
        printf -- '--- FAIL %s left behind:\n' "$scenario"
        cat "$work/diff"
        failed=1
    fi
done
exit $failed
