"""Reads rendered charts: well-formed objects, unique names, and rights that must not be there. No I/O but the files."""
import sys

import yaml

problems = []

# What the operator could do harm with and never needs: group, resource, verbs.
NEVER = [
    # It patches an Archive to blank it after a purge; the policy tenantry-records lets it change nothing else.
    ("tenantry.dev", "archives", {"update", "delete", "deletecollection"}),
    ("tenantry.dev", "billingevents", {"update", "patch", "delete", "deletecollection"}),
    ("tenantry.dev", "tenants", {"update", "delete"}),
    ("apiextensions.k8s.io", "customresourcedefinitions", {"get", "list", "watch", "patch", "update", "delete"}),
    ("networking.k8s.io", "networkpolicies", {"delete"}),
    ("rbac.authorization.k8s.io", "rolebindings", {"delete"}),
    ("", "resourcequotas", {"delete"}),
    ("", "limitranges", {"delete"}),
    ("", "serviceaccounts", {"get", "create", "patch", "delete"}),
    ("", "persistentvolumes", {"watch", "update", "delete"}),
    ("", "pods/log", {"get"}),
    ("", "pods/exec", {"get", "create"}),
]


def check_role(where, role):
    name = role["metadata"]["name"]
    for rule in role.get("rules", []):
        words = rule.get("apiGroups", []) + rule.get("resources", []) + rule.get("verbs", [])
        if "*" in words:
            problems.append(f"{where}: {name} has a star")
        if {"escalate", "impersonate"} & set(rule["verbs"]):
            problems.append(f"{where}: {name} may {rule['verbs']}")
        if any(resource.endswith("/finalizers") for resource in rule["resources"]):
            problems.append(f"{where}: {name} may write finalizers of {rule['resources']}")
        for group, resource, verbs in NEVER if name.startswith("tenantry-operator") and not name.endswith("-user") else []:
            much = verbs & set(rule["verbs"])
            if group in rule.get("apiGroups", []) and resource in rule["resources"] and much:
                problems.append(f"{where}: {name} may {sorted(much)} {resource}")
        if "bind" in rule["verbs"] and not rule.get("resourceNames"):
            problems.append(f"{where}: {name} may bind any role")
        if "secrets" in rule["resources"] and role["kind"] == "ClusterRole" and name not in (
            "tenantry-tenant-secrets",
            "tenantry-password-reader",
            "tenantry-settings-writer",
        ):
            problems.append(f"{where}: {name} reads the Secrets of the whole cluster")


def check(where, objects):
    seen = set()
    for o in objects:
        meta = o.get("metadata", {})
        for field in ("apiVersion", "kind"):
            if not o.get(field):
                problems.append(f"{where}: an object without {field}")
        key = (o["kind"], meta.get("namespace"), meta.get("name"))
        if not meta.get("name") or key in seen:
            problems.append(f"{where}: {key} has no name or comes twice")
        seen.add(key)
        if o["apiVersion"].startswith("tenantry.dev/") or o["kind"] == "CustomResourceDefinition":
            if meta.get("annotations", {}).get("helm.sh/resource-policy") != "keep":
                problems.append(f"{where}: {key} would go with the release")
        if o["kind"] in ("Role", "ClusterRole"):
            check_role(where, o)
        if o["kind"] in ("ClusterRoleBinding", "RoleBinding") and o["roleRef"]["name"] in (
            "cluster-admin",
            "tenantry-tenant-secrets",
        ):
            problems.append(f"{where}: {key} binds {o['roleRef']['name']}")
        if o["kind"] == "ValidatingAdmissionPolicy":
            binding = ("ValidatingAdmissionPolicyBinding", None, meta["name"])
            if not any((b["kind"], None, b["metadata"]["name"]) == binding for b in objects):
                problems.append(f"{where}: {key} is bound nowhere")
        if o["kind"] == "Deployment":
            pod = o["spec"]["template"]["spec"]
            for c in pod["containers"]:
                security = c["securityContext"]
                if security["allowPrivilegeEscalation"] or not security["readOnlyRootFilesystem"] or security["capabilities"]["drop"] != ["ALL"]:
                    problems.append(f"{where}: container {c['name']} is not restricted")
            if not pod["securityContext"]["runAsNonRoot"]:
                problems.append(f"{where}: {key} may run as root")


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        check(path.rsplit("/", 1)[-1], [o for o in yaml.safe_load_all(file) if o])
for problem in problems:
    print("charts/test:", problem, file=sys.stderr)
sys.exit(1 if problems else 0)
