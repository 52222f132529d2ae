"""A group of commands that is quick to answer."""

from typing import Any

from typer.core import TyperGroup


class QuickGroup(TyperGroup):
    """A group whose own flags need no conversion."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options; those that Typer adds start as False, since to convert their None it would load Pydantic."""
        options: list[Any] = super().get_params(ctx)
        for option in options:
            if getattr(option, "is_flag", False) and option.default is None:
                option.default = False
        return options
