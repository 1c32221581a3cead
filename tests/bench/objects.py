"""Objects as the operator applied them, turned into patterns for other tenants. No I/O."""

import base64
import copy
import json

MINE = ("tenantry-operator", "tenantry")
# Copies carry other words of the same length: the operator's watches and the policies leave them alone.
OTHERS = {'"app.kubernetes.io/managed-by": "tenantry"': '"app.kubernetes.io/managed-by": "thebench"',
          "tenantry.dev/": "thebench.dev/"}


def pick(value, fields):
    """The part of a value that a set of managed fields names; a set without members names all of it."""
    names = [name for name in fields if name != "."]
    if not names:
        return copy.deepcopy(value)
    if isinstance(value, list):
        picked = []
        for name in names:
            mark, _, text = name.partition(":")
            want = json.loads(text)
            for item in value:
                if mark == "v" and item == want:
                    picked.append(item)
                elif mark == "k" and all(item.get(key) == part for key, part in want.items()):
                    picked.append({**want, **pick(item, fields[name])})
        return picked
    return {name[2:]: pick(value[name[2:]], fields[name]) for name in names if name[2:] in value}


def applied(item):
    """What the operator sent to make an object, from the object's managed fields."""
    meta = item["metadata"]
    result = {}
    for entry in meta.get("managedFields", []):
        if entry["manager"] in MINE and not entry.get("subresource"):
            merge(result, pick(item, entry["fieldsV1"]))
    result["apiVersion"], result["kind"] = item["apiVersion"], item["kind"]
    result.setdefault("metadata", {})["name"] = meta["name"]
    if "namespace" in meta:
        result["metadata"]["namespace"] = meta["namespace"]
    if item["kind"] == "Secret":
        # As text, as it was sent and in which names can be found.
        result.pop("data", None)
        result["stringData"] = {key: base64.b64decode(text).decode() for key, text in item["data"].items()}
    return result


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


class Pattern:
    """Objects of one tenant with holes where its names were. `names` maps a hole to what stood there."""

    def __init__(self, items, names):
        self.items = items
        self.names = names
        self.texts = []
        for item in items:
            text = json.dumps(item)
            for was, other in OTHERS.items():
                text = text.replace(was, other)
            # Longest first, since one name may be part of another.
            for hole, was in sorted(names.items(), key=lambda pair: -len(pair[1])):
                text = text.replace(was, f"<<{hole}>>")
            self.texts.append(text)

    def filled(self, **names):
        """The objects of another tenant."""
        made = []
        for text in self.texts:
            for hole in self.names:
                text = text.replace(f"<<{hole}>>", names[hole])
            made.append(json.loads(text))
        return made
