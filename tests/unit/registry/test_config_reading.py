import pytest

from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown, ContentTooLarge
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import single_chunk

NAME = Repository("acme/driver")


async def stored(content: bytes) -> MemoryRegistry:
    registry = MemoryRegistry()
    upload = await registry.begin_upload(NAME)
    await upload.append(single_chunk(content))
    await upload.commit(Digest.of(content))
    return registry


@pytest.mark.parametrize("size_bytes", [0, 2, MAX_CONFIG_BYTES])
async def test_a_config_is_read_whole(size_bytes: int) -> None:
    content = b" " * size_bytes
    blob = await read_plugin_config(await stored(content), NAME, Digest.of(content))
    assert (blob.size_bytes, blob.content, blob.require()) == (size_bytes, content, content)


async def test_a_config_beyond_the_bound_is_not_read() -> None:
    content = b" " * (MAX_CONFIG_BYTES + 1)
    blob = await read_plugin_config(await stored(content), NAME, Digest.of(content))
    assert (blob.size_bytes, blob.content) == (MAX_CONFIG_BYTES + 1, None)
    with pytest.raises(ContentTooLarge, match=f"plugin config has {MAX_CONFIG_BYTES + 1} bytes"):
        blob.require()


async def test_a_config_that_is_not_there() -> None:
    with pytest.raises(BlobUnknown):
        await read_plugin_config(await stored(b"{}"), NAME, Digest.of(b"other"))
