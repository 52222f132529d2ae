"""What every section of the settings is, and the kinds of values that several of them hold."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Names = Annotated[tuple[str, ...], Field(strict=False)]
Workers = Annotated[
    Annotated[int, Field(ge=1)] | Literal["auto"],
    Field(description="processes or threads; auto: one for each processor this process may use"),
]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
