"""The section ``bundles``."""

from datetime import timedelta

import pytest

from mirror.bundle.bundle_age import AgeLimits
from mirror.oci.errors import ConfigurationFault
from mirror.settings import load


def test_without_a_word_bundles_of_any_age_are_used():
    assert load().bundles.limits() == AgeLimits(warned_after=timedelta(days=30), refused_after=None)


def test_a_site_sets_its_own_limits():
    settings = load(flags={"bundles": {"warn_age": "7d", "max_age": "90d"}})
    assert settings.bundles.limits() == AgeLimits(timedelta(days=7), timedelta(days=90))


def test_an_age_without_a_unit_is_refused():
    with pytest.raises(ConfigurationFault, match=r"bundles\.max_age"):
        load(flags={"bundles": {"max_age": "90"}})
