"""The MariaDB server of the checks, as a person makes one by a manifest. Does I/O."""

from harness import apply
from world import access, query_mariadb, server_is, there

MARIA = "maria-1"


def mariadb_server():
    """The server, made by a manifest like the one in manifests/examples, unless it is there."""
    if not there("dbs", MARIA):
        apply({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": MARIA}, "spec": {
            "engine": "mariadb", "maxDatabases": 12,
            "managed": {"image": "tenantry.local/mariadb:10.11", "storage": "5G"}}})
    return server_is(MARIA, "Ready", 120)


def templates_of(*names):
    """Names of the templates from which the databases of these tenants' instances on MariaDB were made."""
    databases = ", ".join(f"'{access(f'{name}/crm')['database']}'" for name in names)
    asked = query_mariadb(MARIA, "tenantry_registry", f"SELECT DISTINCT template FROM `databases` WHERE name IN ({databases})")
    found = asked.stdout.split()
    assert asked.returncode == 0 and found and "NULL" not in found, asked
    return found
