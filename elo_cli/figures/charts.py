"""Charts of a search: fitness and weights by round (the paper's Figures 3 and 7), one fitness against another (Figure 9)."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image
from scipy.stats import pearsonr, spearmanr

from elo_cli.figures.plots import empty_plot, picture_of

_BLUE, _GREY = "#08519c", "#9a9aa2"


def fitness_by_round(rounds: Sequence[Sequence[float]], *, measure: str, larger_is_better: bool) -> Image.Image:
    """Draw every candidate's fitness, each round's mean and deviation, and the best so far.

    Args:
        rounds: the values of each round's candidates that have one; a round may be empty.
        measure: the name of the fitness.
        larger_is_better: its direction.
    """
    figure, axes = empty_plot(7.0, 4.2)
    there = [number for number, values in enumerate(rounds) if values]
    means = np.array([np.mean(rounds[number]) for number in there])
    spread = np.array([np.std(rounds[number]) for number in there])
    best = max if larger_is_better else min
    so_far = [best(value for values in rounds[: number + 1] for value in values) for number in there]
    for number in there:
        axes.plot([number] * len(rounds[number]), rounds[number], ".", color=_GREY, markersize=4, alpha=0.7)
    axes.fill_between(there, means - spread, means + spread, color=_BLUE, alpha=0.12, linewidth=0)
    axes.plot(there, means, color=_BLUE, alpha=0.6, label="mean of the round ± deviation")
    axes.step(there, so_far, where="post", color=_BLUE, linewidth=2, label="best so far")
    axes.set_xlabel("round")
    axes.set_ylabel(f"{measure} ({'larger' if larger_is_better else 'smaller'} is better)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return picture_of(figure)


def weights_by_round(weights: Mapping[str, Sequence[float]]) -> Image.Image:
    """Draw each term's mean weight in each round: a row for each term, a column for each round.

    Args:
        weights: of each term, by round.
    """
    return _weights(weights, "round", "mean weight λ of the round's candidates")


def weights_by_update(weights: Mapping[str, Sequence[float]]) -> Image.Image:
    """Draw each term's weight before the first and after each update of weights that are learned: a column for each.

    Args:
        weights: of each term, by update.
    """
    return _weights(weights, "update", "weight λ")


def _weights(weights: Mapping[str, Sequence[float]], turn: str, shown: str) -> Image.Image:
    figure, axes = empty_plot(7.5, 1.2 + 0.2 * len(weights))
    image = axes.imshow(np.array(list(weights.values())), aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(weights)), list(weights), fontsize=7)
    axes.set_xlabel(turn)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, label=shown)
    return picture_of(figure)


def fitness_against_fitness(first: Sequence[float], second: Sequence[float], names: tuple[str, str]) -> Image.Image:
    """Draw two measures of the same candidates against each other, with Pearson's r and Spearman's ρ where they exist.

    Args:
        first, second: of each candidate, at least two.
        names: what the measures are called.
    """
    figure, axes = empty_plot(5.0, 4.6)
    axes.plot(first, second, "o", color=_BLUE, alpha=0.6, markersize=5, markeredgewidth=0)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    if min(np.ptp(first), np.ptp(second)) > 0:
        with warnings.catch_warnings():  # of numbers that are nearly equal, a correlation says little, and SciPy says so
            warnings.simplefilter("ignore")
            r, rho = pearsonr(first, second)[0], spearmanr(first, second)[0]
        axes.set_title(f"r = {r:.2f}, ρ = {rho:.2f}, {len(first)} candidates", fontsize=10)
    return picture_of(figure)
