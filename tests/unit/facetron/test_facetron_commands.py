"""What the commands of `facetron` share."""

from __future__ import annotations

import click
import pytest

from facetron.cli import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_subset_and_split_mean_one_thing_each(name: str) -> None:
    """A split is a frozen file, which the manifest names already; a subset is a part of it."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = {flag: option for option in command.params for flag in option.opts}
    assert "--split" not in options
    if "--subset" in options:
        assert isinstance(options["--subset"].type, click.Choice)
        assert list(options["--subset"].type.choices) == ["train", "val", "test", "all"]
        assert options["--subset"].opts == ["--subset"]
