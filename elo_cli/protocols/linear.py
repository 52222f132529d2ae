"""The linear protocol (the paper's "1-layer", Table 1): one fully-connected layer on fixed features.

Multinomial logistic regression on standardised features. It learns from every view (clip × crop) of the training videos; a
test video is what the mean of its views' softmax says. The paper is silent on regularisation: C, its inverse strength, is
chosen by stratified cross-validation inside the training side alone, which parts neither the views of a video nor a group.

Shape legend: M test videos, V views of each, C classes.
"""

from threadpoolctl import threadpool_limits

from elo_cli.core.errors import DataError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.protocols import Scores, checked, video_scores
from elo_cli.vectors.layer import GRID, Layer, Recipe


def evaluate(
    train: Features,
    test: Features,
    *,
    seed: int,
    grid: tuple[float, ...] = GRID,
    folds: int = 3,
    iterations: int = 1000,
    tolerance: float = 1e-5,
) -> Scores:
    """Score features by a linear classifier; it runs on one thread and is the same for every thread count.

    Args:
        train: labelled rows of at least two classes.
        test: labelled rows.
        seed: decides the folds of the cross-validation.
        grid: the values of C to choose from, positive; of one value there is nothing to choose.
        folds: of the cross-validation, at least 2; fewer where the smallest class has fewer groups or rows.
        iterations: of L-BFGS, at most.
        tolerance: L-BFGS ends when no part of the gradient is larger; cross-validation is content with ten times as much.

    Returns:
        `accuracy` (top 1 of a video: video@1), `accuracy_top5` and `accuracy_per_class` (the mean over test classes) of
        videos, `clip_accuracy` (the share of single views that are right: clip@1; `accuracy` where a video has one view),
        larger is better, in [0, 1]; `c`, the chosen C; `cross_validated`, 1 when C was chosen, 0 when
        a class has a single row, so that C is 1 without choice, or the grid a single value; `c_accuracy`, its video@1 in
        cross-validation (left out without); `grouped`, 1 when that kept groups whole; `converged`, 1 or 0;
        `unseen_classes`, `unseen_rows`.

    Raises:
        DataError: as the shelf's contract says, or training has one class only.
        UsageError: a setting is out of its range.
    """
    recipe = Recipe(grid, folds, iterations, tolerance)
    sides = checked(train, test)
    if sides.seen < 2:
        raise DataError(f"All training rows have the label '{sides.classes[0]}'.", hint="Give at least two classes.")
    # One thread: the thread pools of OpenMP and BLAS get in each other's way, ten times over when
    # the cores are busy, and the result would depend on how many there are.
    with threadpool_limits(limits=1):
        layer = Layer.fit(train.views, sides.train_N, train.groups, recipe, derive(seed, "linear") % 2**32)
        softmax_MVC = layer.probabilities(test.views, sides.seen)
    metrics, predicted_M = video_scores(softmax_MVC, sides.test_M)
    metrics |= {"c": layer.c, "cross_validated": float(layer.c_accuracy is not None)}
    if layer.c_accuracy is not None:
        metrics |= {"c_accuracy": layer.c_accuracy, "grouped": float(layer.grouped)}
    return Scores(metrics | {"converged": float(layer.converged)} | sides.unseen(), sides.names(predicted_M))
