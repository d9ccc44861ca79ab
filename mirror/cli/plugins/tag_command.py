"""``plugin-mirror tag``: give content a second name."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, new_name, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci import Reference


def run(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="Content in the local store: NAME, NAME:TAG or NAME@DIGEST.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]", help="The additional name.")],
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Give content another name: the same digest, and no bytes are copied.

    Signatures and other referrers follow. An existing tag moves. A mirror rule no
    longer updates a tag that was moved by hand.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_authoring import tag_reference

    parsed, (repository, given) = Reference.parse(reference), new_name(name)
    named = run_to_the_end(tag_reference(settings_of(config, data), parsed, repository, given))
    for sentence in named.advice:
        MESSAGES.out(f"note: {sentence}", highlight=False)
    if json:
        before = named.before and str(named.before)
        print_json({"name": str(repository), "tag": str(given), "digest": str(named.digest), "before": before})
        return
    moved = f", before {named.before}" if named.before not in {None, named.digest} else ""
    already = " already" if named.before == named.digest else ""
    RESULTS.out(f"{repository}:{given} is {named.digest}{already}{moved}", highlight=False)
