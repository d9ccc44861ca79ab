from mirror.bundle import bundle_errors
from mirror.hosts import engine_errors
from mirror.oci import errors, remote_storage_errors
from mirror.oci.errors import MirrorError


def family(root):
    return {root} | {member for child in root.__subclasses__() for member in family(child)}


def test_the_drawing_shows_the_whole_tree():
    modules = (errors, engine_errors, bundle_errors, remote_storage_errors)
    drawn = "".join(str(module.__doc__) for module in modules)
    assert [member.__name__ for member in family(MirrorError) if member.__name__ not in drawn] == []


def test_an_error_has_a_sentence_and_fields():
    error = errors.BlobUnknown("contiv/v2plugin has no blob", size_bytes=3)
    assert (str(error), error.detail) == ("contiv/v2plugin has no blob", {"size_bytes": "3"})


def test_only_what_may_pass_is_temporary():
    temporary = {member for member in family(MirrorError) if member.temporary}
    assert temporary == {
        errors.UpstreamUnreachable,
        errors.CircuitOpen,
        errors.UpstreamBusy,
        errors.UpstreamPaused,
        engine_errors.EngineUnreachable,
        errors.Busy,
        errors.TooManyRequests,
        errors.TooManyOpenFiles,
        errors.ContentTooSlow,
        remote_storage_errors.BucketUnreachable,
        remote_storage_errors.CatalogUnreachable,
    }


def test_every_error_has_a_reason_of_few():
    assert set(errors.reasons(MirrorError)) == {member.reason for member in family(MirrorError)}
    assert errors.reasons(errors.UpstreamFault) == (
        "other",
        "unreachable",
        "circuit_open",
        "offline",
        "refused",
        "busy",
        "protocol_error",
    )
    assert {"not_found", "storage"} < set(errors.reasons(MirrorError))
