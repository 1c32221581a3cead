#!/bin/bash
# Starts two private PostgreSQL servers and a MariaDB server, says "ready" (or "failed: why"), and ends them
# and their files as soon as its standard input closes, which happens however the test process ends.
dir=$1 pg1=$2 pg2=$3 my=$4 pgbin=$5 password=$6 images=$7
fail() { echo "failed: $1"; cleanup; exit 1; }
cleanup() {
  for f in "$dir"/*.pid; do [ -s "$f" ] && kill -KILL "$(cat "$f")" 2>/dev/null; done
  wait
  rm -rf "$dir"
}
as() { # user command...
  local user=$1; shift
  if [ "$(id -u)" = 0 ]; then exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"; else exec "$@"; fi
}
mkdir -p "$dir/pg" "$dir/my/tmp" "$dir/my/conf.d" "$dir/etc/postgresql/conf.d" && chmod 755 "$dir" || fail "cannot make $dir"
[ "$(id -u)" = 0 ] && chown postgres "$dir/pg" && chown mysql "$dir/my" "$dir/my/tmp"
# The first PostgreSQL server and MariaDB run with what our images bring: settings and start.
for f in entrypoint tenantry.conf; do
  sed "s|/etc/postgresql|$dir/etc/postgresql|g" "$images/postgresql/$f" > "$dir/etc/postgresql/$f" || fail "no $f"
done
sed -e "s|/etc/mysql|$dir/my|g; s|= /data/|= $dir/my/|; s|/run/mysqld|$dir/my|g" "$images/mariadb/tenantry.cnf" > "$dir/my/my.cnf" || fail "no tenantry.cnf"
cd /
printf %s "$password" > "$dir/password"; chmod 644 "$dir/password"
(as postgres "$pgbin/initdb" -N -D "$dir/pg/one" -U postgres --locale=C -E UTF8 -A scram-sha-256 --pwfile="$dir/password" \
   > "$dir/initdb.log" 2>&1) & init=$!
(as mysql mariadb-install-db --datadir="$dir/my/data" --auth-root-authentication-method=normal --skip-test-db \
   > "$dir/install.log" 2>&1) || fail "mariadb-install-db: $(tail -3 "$dir/install.log")"
wait $init || fail "initdb: $(tail -3 "$dir/initdb.log")"
(as postgres cp -r "$dir/pg/one" "$dir/pg/two")
echo "include '$dir/etc/postgresql/tenantry.conf'" >> "$dir/pg/one/postgresql.conf"
cat > "$dir/init.sql" <<SQL
DELETE FROM mysql.global_priv WHERE User = '';
FLUSH PRIVILEGES;
CREATE USER 'admin'@'%' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;
SQL
chmod 644 "$dir/init.sql"
(as mysql mariadbd --defaults-file="$dir/my/my.cnf" --datadir="$dir/my/data" --socket="$dir/my/s" --bind-address=127.0.0.1 --port="$my" \
   --skip-name-resolve --init-file="$dir/init.sql" --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 \
   --general-log=1 --general-log-file="$dir/my/statements.log" --log-error="$dir/my/error.log" \
   </dev/null > "$dir/my/out.log" 2>&1) & echo $! > "$dir/my.pid"
common=(-k "$dir/pg" -c listen_addresses=127.0.0.1 -c fsync=off -c log_statement=all)
(as postgres env PATH="$pgbin:$PATH" PGDATA="$dir/pg/one" MEMORY_LIMIT=1073741824 bash "$dir/etc/postgresql/entrypoint" \
   -p "$pg1" "${common[@]}" -c shared_buffers=64MB </dev/null > "$dir/one.log" 2>&1) & echo $! > "$dir/one.pid"
(as postgres "$pgbin/postgres" -D "$dir/pg/two" -p "$pg2" "${common[@]}" </dev/null > "$dir/two.log" 2>&1) & echo $! > "$dir/two.pid"
for n in $(seq 300); do
  "$pgbin/pg_isready" -q -h 127.0.0.1 -p "$pg1" && "$pgbin/pg_isready" -q -h 127.0.0.1 -p "$pg2" &&
    mariadb-admin --no-defaults --protocol=tcp -h 127.0.0.1 -P "$my" -uadmin -p"$password" ping > /dev/null 2>&1 && break
  [ "$n" = 300 ] && fail "not ready in 60 s: $(tail -2 "$dir"/*.log "$dir/my/error.log")"
  sleep 0.2
done
echo ready
read -r _
cleanup
