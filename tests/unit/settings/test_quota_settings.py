import pytest
from pydantic import ValidationError

from mirror.oci import Repository
from mirror.records.lifecycle.quotas import QuotaKind, QuotaRules
from mirror.settings import Settings
from mirror.settings.storage.quota_settings import QuotaSettings


def rules(*sections: dict[str, object]) -> QuotaRules:
    return QuotaRules(section.quota() for section in Settings.model_validate({"quotas": sections}).quotas)


def test_sizes_have_units_and_a_soft_limit_is_a_percentage() -> None:
    quota = QuotaSettings.model_validate({"pattern": "acme/**", "bytes": "2GiB", "tags": 5, "soft": "90%"}).quota()
    assert quota.limits == ((QuotaKind.BYTES, 2 * 1024**3), (QuotaKind.TAGS, 5))
    assert quota.soft == 0.9


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"tags": 1}, "write either pattern: or user:"),
        ({"pattern": "a", "user": "anna", "tags": 1}, "write either pattern: or user:"),
        ({"pattern": "a"}, "needs a limit"),
        ({"pattern": "**/a", "tags": 1}, "is not at the end"),
        ({"user": "no one", "tags": 1}, "user"),
        ({"pattern": "a", "tags": 1, "soft": "0.8"}, "is no percentage"),
        ({"pattern": "a", "bytes": "many"}, "bytes"),
    ],
)
def test_a_wrong_quota_is_refused_with_the_reason(section: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        QuotaSettings.model_validate(section)


def test_there_is_one_quota_for_the_same_content() -> None:
    with pytest.raises(ValidationError, match=r"more than one for repositories acme/\*"):
        rules({"pattern": "acme/*", "tags": 1}, {"pattern": "acme/*", "bytes": 1})


def test_all_quotas_of_a_repository_apply_and_the_first_of_a_user() -> None:
    found = rules(
        {"pattern": "**", "tags": 9},
        {"user": "anna", "tags": 8},
        {"pattern": "acme/*", "tags": 7},
        {"user": "*", "tags": 6},
    )
    name = Repository("acme/driver")
    assert [one.scope for one in found.accounts(name, None)] == ["repositories **", "repositories acme/*"]
    assert [one.quota.name for one in found.accounts(name, "anna")][-1] == "user anna"
    assert [(one.scope, one.quota.name) for one in found.accounts(Repository("other"), "ben")] == [
        ("repositories **", "repositories **"),
        ("user ben", "each user"),
    ]
