"""What charts and curves share: an empty plot, and the picture that matplotlib makes of one."""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_DPI = 110


def empty_plot(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure, sizes in inches, with one plot that has no frame at its top and right."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def picture_of(figure: Figure) -> Image.Image:
    """Draw a figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    stream.seek(0)
    picture = Image.open(stream)
    picture.load()
    return picture
