"""How big the images are: as archives and unpacked, with what they share counted. Does I/O (reads archives).

usage: images.py ARCHIVE...      OCI archives, as images/build writes them, or docker archives
"""

import functools
import json
import sys
import tarfile

from report import detail, row

BASE = "base:bookworm"


def layers_of(archive):
    """Name of an archive's image, and the members of the archive that are its layers, the lowest first."""
    def read(name):
        return json.load(archive.extractfile(name))

    if "index.json" in archive.getnames():
        image = read("index.json")["manifests"][0]
        name = image["annotations"]["org.opencontainers.image.ref.name"]
        blob = lambda digest: "blobs/" + digest.replace(":", "/")  # noqa: E731
        layers = [blob(layer["digest"]) for layer in read(blob(image["digest"]))["layers"]]
    else:
        image = read("manifest.json")[0]
        name, layers = image["RepoTags"][0], image["Layers"]
    return name.rpartition("/")[2], layers


@functools.cache
def sizes(path, layer):
    """Bytes of a layer as it is stored, and of the files in it."""
    with tarfile.open(path) as archive:
        stored = archive.getmember(layer).size
        with tarfile.open(fileobj=archive.extractfile(layer), mode="r:*") as files:
            return stored, sum(member.size for member in files if member.isreg())


def main():
    # Layers are named by their content, so that one that several images share is read once.
    held, images = {}, {}
    for path in sys.argv[1:]:
        with tarfile.open(path) as archive:
            name, layers = layers_of(archive)
        for layer in layers:
            held.setdefault(layer, (path, layer))
        images[name] = (path, layers)
    base = set(images[BASE][1]) if BASE in images else set()

    def total(layers, part):
        return sum(sizes(*held[layer])[part] for layer in layers) / 1e6

    found = {}
    for name, (path, layers) in sorted(images.items()):
        with open(path, "rb") as file:
            archive = file.seek(0, 2) / 1e6
        unpacked, own = total(layers, 1), total([layer for layer in layers if layer not in base], 1)
        shares = 0 < own < unpacked
        beside = f"MB unpacked, {own:.0f} without the base" if shares else "MB unpacked"
        row("images", f"{name}, archive", "MB", archive, unpacked, beside, archive / unpacked)
        found[name] = {"archive": archive, "unpacked": unpacked, "own": own, "layers": len(layers)}
    archives, unpacked = total(held, 0), total(held, 1)
    row("images", f"all {len(images)}, what they share once", "MB", archives, unpacked, "MB unpacked", archives / unpacked)
    detail("images", megabytes=found)


if __name__ == "__main__":
    main()
