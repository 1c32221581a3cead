#!/bin/bash
# Starts two private PostgreSQL servers, says "ready" (or "failed: why"), and ends them and their files as soon
# as its standard input closes, which happens however the test process ends.
dir=$1 ports=("$2" "$3") pgbin=$4 password=$5
fail() { echo "failed: $1"; cleanup; exit 1; }
cleanup() {
  for f in "$dir"/*.pid; do [ -s "$f" ] && kill -KILL "$(cat "$f")" 2>/dev/null; done
  wait
  rm -rf "$dir"
}
as() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else exec "$@"; fi; }
mkdir -p "$dir/pg" && chmod 755 "$dir" || fail "cannot make $dir"
[ "$(id -u)" = 0 ] && chown postgres "$dir/pg"
cd /
printf %s "$password" > "$dir/password"; chmod 644 "$dir/password"
(as "$pgbin/initdb" -N -D "$dir/pg/0" -U postgres --locale=C -E UTF8 -A scram-sha-256 --pwfile="$dir/password" \
   > "$dir/initdb.log" 2>&1) || fail "initdb: $(tail -3 "$dir/initdb.log")"
(as cp -r "$dir/pg/0" "$dir/pg/1")
for n in 0 1; do
  (as "$pgbin/postgres" -D "$dir/pg/$n" -p "${ports[n]}" -k "$dir/pg" -c listen_addresses=127.0.0.1 -c fsync=off \
     -c full_page_writes=off -c max_connections=200 -c autovacuum=off </dev/null > "$dir/$n.log" 2>&1) & echo $! > "$dir/$n.pid"
done
for try in $(seq 300); do
  "$pgbin/pg_isready" -q -h 127.0.0.1 -p "${ports[0]}" && "$pgbin/pg_isready" -q -h 127.0.0.1 -p "${ports[1]}" && break
  [ "$try" = 300 ] && fail "not ready in 60 s: $(tail -2 "$dir"/*.log)"
  sleep 0.2
done
echo ready
read -r _
cleanup
