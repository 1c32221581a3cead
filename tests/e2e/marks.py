"""What a check can say of itself: whom it disturbs, on what it builds, what it needs. No I/O."""

import pytest

slow = pytest.mark.slow
first = pytest.mark.first


def alone(why):
    """Nothing else runs meanwhile: the check disturbs the whole cluster, or measures it."""
    return pytest.mark.alone(why)


def after(check):
    """A step of a story, which goes on where `check` of the same file ended."""
    return pytest.mark.after(check.__name__)


def own_cluster(why):
    """Needs more than a cluster: the commands of tools/cluster, or its node being this machine."""
    return pytest.mark.own_cluster(why)
