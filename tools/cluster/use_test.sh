#!/usr/bin/env bash
# Tries on a real cluster what pods need: rights, DNS, Services, storage, expansion, exec, logs, ingress, image names.
# Does I/O: makes and destroys clusters on this host; needs root, curl and openssl.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cluster=${TENANTRY_CLUSTER_BINARY:-$("$here/build" | tail -1)}
work=$(mktemp -d)
state=$(mktemp -d -u /var/tmp/tenantry-use.XXXX)
trap 'for name in use second third; do "$cluster" down --name $name --state $state-$name >/dev/null 2>&1 || true; done; rm -rf "$work"' EXIT

[[ $EUID == 0 ]] || { echo "SKIP use_test: needs root" >&2; exit 0; }

on() { local name=$1; shift; "$cluster" --name "$name" --state "$state-$name" "$@"; }
k() { on use kubectl "$@"; }
pass() { echo "--- PASS $1"; }
fail() { echo "--- FAIL $1: $2"; exit 1; }
check() { local name=$1; shift; "$@" >"$work/out" 2>&1 && pass "$name" || fail "$name" "$* says: $(cat "$work/out")"; }
expect() { [[ $3 == *"$2"* ]] && pass "$1" || fail "$1" "wanted '$2' in: $3"; }
again() { local i; for i in {1..50}; do "$@" && return; sleep 0.2; done; return 1; }

on use up
expect "up twice" "running already" "$(on use up)"
check "status" on use status
expect "second node refused" "already has a node" "$(on second up 2>&1 || true)"
check "first cluster unharmed" on use status

(cd "$here" && CGO_ENABLED=0 go build -trimpath -o "$work/testpod" ./testpod)
"$cluster" pack-image "$work/testpod" tenantry.local/testpod:1 "$work/full.tar"
"$cluster" pack-image "$work/testpod" testpod:short "$work/short.tar"
expect "load image" "tenantry.local/testpod:1" "$(on use load-image "$work/full.tar")"
expect "load image with a short name" "docker.io/library/testpod:short" "$(on use load-image "$work/short.tar")"

k create namespace shop >/dev/null
k label namespace shop pod-security.kubernetes.io/enforce=restricted >/dev/null
cat >"$work/objects.yaml" <<'YAML'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: web
        image: tenantry.local/testpod:1
        imagePullPolicy: IfNotPresent
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        resources: {limits: {memory: 64Mi, cpu: 200m}}
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: tenantry
  tls: [{hosts: [own.example.test], secretName: own-tls}, {hosts: [crm.example.test]}]
  rules:
  - host: crm.example.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
      - {path: /empty, pathType: Prefix, backend: {service: {name: empty, port: {number: 80}}}}
  - host: own.example.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
YAML
k -n shop apply -f "$work/objects.yaml" >/dev/null
check "restricted pod runs" k -n shop rollout status deployment/web --timeout=120s
expect "restricted namespace refuses root" "violates PodSecurity" "$(k -n shop run bad --image=tenantry.local/testpod:1 --privileged 2>&1 || true)"
expect "logs" "serving as uid 10001" "$(k -n shop logs deployment/web)"
check "volume is writable for a user that is not root" k -n shop exec deployment/web -- /program write /data/file
expect "exec" "written" "$(k -n shop exec deployment/web -- /program cat /data/file)"
expect "DNS in pods" "[10.96." "$(again k -n shop exec deployment/web -- /program lookup web)"
expect "DNS across namespaces" "[10.96.0.1]" "$(k -n shop exec deployment/web -- /program lookup kubernetes.default.svc.cluster.local)"
expect "Service from its own pod" "path=/hello" "$(again k -n shop exec deployment/web -- /program fetch http://web/hello)"
k -n shop run short --image=testpod:short --image-pull-policy=Never --overrides='{"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"short","image":"testpod:short","imagePullPolicy":"Never","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}' >/dev/null
check "short image name" k -n shop wait --for=condition=Ready pod/short --timeout=60s

k -n shop patch pvc data -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}' >/dev/null
check "claim expands" k -n shop wait pvc/data --for=jsonpath='{.status.capacity.storage}'=2Gi --timeout=30s
volume=$(k -n shop get pvc data -o jsonpath='{.spec.volumeName}')
expect "volume expands" "2Gi" "$(k get pv "$volume" -o jsonpath='{.spec.capacity.storage}')"

port() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$state-use/cluster.json"; }
https=$(port ingressHTTPS) http=$(port ingressHTTP)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=own.example.test \
    -addext subjectAltName=DNS:own.example.test -keyout "$work/own.key" -out "$work/own.crt" 2>/dev/null
k -n shop create secret tls own-tls --cert="$work/own.crt" --key="$work/own.key" >/dev/null
get() { curl -sS --max-time 10 --resolve "*:$https:127.0.0.1" --resolve "*:$http:127.0.0.1" "$@"; }
expect "ingress over TLS" "path=/x host=crm.example.test:$https proto=https for=127.0.0.1" "$(get --cacert "$state-use/ingress-ca.pem" "https://crm.example.test:$https/x")"
expect "ingress over HTTP" "proto=http " "$(get "http://crm.example.test:$http/x")"
expect "ingress with the secret's certificate" "path=/" "$(again get --cacert "$work/own.crt" "https://own.example.test:$https/")"
expect "ingress streams" "part 0" "$(curl -sN --max-time 1 --resolve "*:$http:127.0.0.1" "http://crm.example.test:$http/stream" || true)"
expect "ingress 404" "404: no Ingress" "$(get "http://nobody.example.test:$http/")"
expect "ingress 503" "503: Service shop/empty has no ready endpoint" "$(get "http://crm.example.test:$http/empty")"
expect "ingress status" "10.244.0.1" "$(k -n shop get ingress web -o jsonpath='{.status.loadBalancer.ingress[0].ip}')"

expect "anonymous kubelet access refused" "401" "$(curl -sk -o /dev/null -w '%{http_code}' "https://10.244.0.1:$(port kubelet)/pods")"
expect "component rights are small" "no" "$("$cluster" --name use --state "$state-use" kubectl auth can-i delete pods --as=tenantry:ingress -A || true)"
k -n shop create serviceaccount clerk >/dev/null
k -n shop create configmap none --as=system:serviceaccount:shop:clerk >/dev/null 2>&1 || true
check "audit log" again grep -q '/namespaces/shop/configmaps.*"verb":"create".*"impersonatedUser":{"username":"system:serviceaccount:shop:clerk"' "$state-use/audit.log"

k patch pv "$volume" -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}' >/dev/null
check "namespace goes away" k delete namespace shop --timeout=90s
check "Retain keeps the folder" test -f "$state-use/volumes/$volume/file"
k patch pv "$volume" -p '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}' >/dev/null
gone() { [[ ! -e $state-use/volumes/$volume ]]; }
check "Delete removes the folder" again gone

on use down >/dev/null
on use up --enforce-network-policies >/dev/null
on use load-image "$work/full.tar" >/dev/null
for namespace in shop other; do k create namespace $namespace >/dev/null; done
pod() { # NAMESPACE NAME LABELS
    k -n "$1" run "$2" --image=tenantry.local/testpod:1 --image-pull-policy=IfNotPresent --labels="$3" >/dev/null
}
pod shop web app=web; pod shop job app=job; pod other neighbour app=web
for p in shop/web shop/job other/neighbour; do k -n "${p%/*}" wait --for=condition=Ready "pod/${p#*/}" --timeout=60s >/dev/null; done
ip() { k -n "$1" get pod "$2" -o jsonpath='{.status.podIP}'; }
fetch() { k -n "$1" exec "$2" -- /program fetch --within=2s "http://$3:${4:-8080}/"; } # from NAMESPACE POD to ADDRESS PORT
blocked() { ! fetch "$@"; }
check "without a policy everybody is reached" fetch shop job "$(ip other neighbour)"
check "the node too" fetch shop web 10.244.0.1 "$(port ingressHTTP)"
cat >"$work/policies.yaml" <<'YAML'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {}}]}]
  egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: outside}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.0.1/32]}}]}]
YAML
k -n shop apply -f "$work/policies.yaml" >/dev/null
check "the policy closes a neighbour on one bridge" again blocked shop job "$(ip other neighbour)"
check "and the own namespace stays open" fetch shop job "$(ip shop web)"
check "a second policy adds up" fetch shop web "$(ip other neighbour)"
check "a neighbour does not come in" blocked other neighbour "$(ip shop web)"
check "nor does the node answer" blocked shop web 10.244.0.1 "$(port ingressHTTP)"
check "the node reaches every pod" curl -sS --max-time 5 -o /dev/null "http://$(ip shop web):8080/"
k -n shop run late --image=tenantry.local/testpod:1 --image-pull-policy=IfNotPresent --restart=Never --labels=app=job \
    --command -- /program fetch --within=2s "http://$(ip other neighbour):8080/" >/dev/null
check "a pod is held from its first moment" k -n shop wait --for=jsonpath='{.status.phase}'=Failed pod/late --timeout=60s
k -n shop delete networkpolicy --all >/dev/null
check "without policies everybody is reached again" again fetch other neighbour "$(ip shop web)"
check "status of a cluster that enforces" on use status

on second up --control-plane-only >"$work/second.log" & second=$!
on third up --control-plane-only >"$work/third.log"
wait $second
expect "second control plane" "cluster second is ready" "$(cat "$work/second.log")"
expect "third control plane" "cluster third is ready" "$(cat "$work/third.log")"
on second down >/dev/null
check "third cluster unharmed by the end of the second" on third status
check "first cluster unharmed by the end of the second" on use status
on third down >/dev/null
on use down
