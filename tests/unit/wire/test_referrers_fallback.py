from mirror.oci import Digest
from mirror.wire.referrers_fallback import fallback_tag


def test_the_tag_of_a_subject() -> None:
    assert fallback_tag(Digest("sha256", "ab" * 32)).name == "sha256-" + "ab" * 32
    assert fallback_tag(Digest("sha512", "ab" * 64)).name == "sha512-" + "ab" * 32
