"""The features of a labelled set by any representation; each set is prepared once for each geometry, each feature taken once."""

from collections.abc import Sequence
from pathlib import Path

from elo_cli.core.errors import DataError
from elo_cli.core.features import Features
from elo_cli.core.settings import PreprocessSettings, Settings
from elo_cli.data.evaluation import Views
from elo_cli.data.listing import ListedVideo
from elo_cli.data.loader import ClipReader
from elo_cli.data.matrices import read_features
from elo_cli.data.video_set import Video
from elo_cli.datasets import LabelledSet, LabelledVideo
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.extract import TRIVIAL, extract_trivial
from elo_cli.workflows.events import Watch
from elo_cli.workflows.extract import preparation
from elo_cli.workflows.feature_cache import Progress, cached_features, encoder_features, key_of, seen_by
from elo_cli.workflows.material import Material
from elo_cli.workflows.prepared_sets import PreparedSets
from elo_cli.workflows.representations import Representation

_MEASURE_CODE = 1  # of the trivial features: raised when what they are changes


class LabelledFeatures:
    """Features of a labelled set.

    Args:
        labelled: the set.
        settings: how many clips and crops, and the machine.
        cache: the folder for what can be made again.
        watch: is told of the progress.
    """

    def __init__(self, labelled: LabelledSet, settings: Settings, cache: Path, watch: Watch) -> None:
        self.labelled, self.settings, self.cache, self.watch = labelled, settings, cache, watch
        self.views = Views(settings.benchmark.clips, settings.benchmark.crops)
        self._sets = PreparedSets(cache, watch)
        self._opened: dict[tuple[str, str], Material] = {}

    def trivial_kinds(self, like: LoadedEncoder) -> list[str]:
        """List the trivial features that can be taken: of flow only where every video has it."""
        videos = self.evaluation_set(like).videos
        return [kind for kind in TRIVIAL if kind != "flow-histogram" or videos.has("flow", everywhere=True)]

    def of(self, one: Representation, like: LoadedEncoder | None) -> Features:
        """Take the features of a representation, with labels and groups; of unreadable videos there are none.

        Args:
            one: the representation.
            like: the encoder whose clips a trivial feature looks at; a file of features needs none.

        Raises:
            DataError: a file of features is damaged, or holds none of the set's videos.
        """
        if one.features is not None:
            found = read_features(one.features)
            if not set(found.ids) & self.labelled.by_id.keys():
                raise DataError(
                    f"{one.features} holds features of other videos: {found.ids[0] if found.ids else 'none at all'} is there,"
                    f" {self.labelled.videos[0].id} is in {self.labelled.name}.",
                    hint=f"Extract them of the set's own folder: elo extract-features {self.labelled.root}; or name the rows"
                    f" of a plain matrix in {one.features.with_suffix('.ids.txt').name}, one path a line.",
                )
        else:
            found = self._taken(one, like)
        ids = [name for name in found.ids if name in self.labelled.by_id]
        chosen = found.rows(ids)
        videos = [self.labelled.by_id[name] for name in ids]
        labels, groups = tuple(video.label for video in videos), tuple(video.group for video in videos)
        known = any(group is not None for group in groups)
        views_NVD = None if self.settings.benchmark.average == "features" else chosen.views_NVD
        return Features(chosen.matrix_ND, tuple(ids), labels, groups if known else None, views_NVD)

    def evaluation_set(self, loaded: LoadedEncoder) -> Material:
        """Bring the set into the form that an encoder's evaluation reads, once, and open it."""
        flow = self.settings.benchmark.baselines
        wanted = preparation(loaded, self.settings, self.views.clips, flow=flow)
        return self._packed("all", wanted, self.labelled.videos)

    def fingerprint(self, loaded: LoadedEncoder | None) -> str | None:
        """Name what an encoder looks at: the frames, and how they were stored; None of a file of features."""
        return None if loaded is None else self.evaluation_set(loaded).fingerprint

    def training_set(self, loaded: LoadedEncoder) -> Material:
        """Bring all training videos into the form that an encoder is fine-tuned on, once, and open it."""
        given = self.settings.benchmark.finetune
        stretches = {"segment_seconds": given.segment_seconds, "max_segments": given.max_segments}
        wanted = preparation(loaded, self.settings, self.views.clips, flow=False).model_copy(update=stretches)
        train = {name for split in self.labelled.splits for name in split.train}
        return self._packed("training", wanted, [video for video in self.labelled.videos if video.id in train])

    def _packed(self, which: str, wanted: PreprocessSettings, videos: Sequence[LabelledVideo]) -> Material:
        """Preprocess these videos of the set, once, and open the result; of several processes rank 0 does it."""
        key = which, wanted.model_dump_json()  # whoever asks again is answered without a look at every file
        if key not in self._opened:
            listed = [ListedVideo(str(one.path), one.id, one.label, start_s=one.start_s, end_s=one.end_s) for one in videos]
            self._opened[key] = self._sets.open(self.labelled.name, f"the videos of {self.labelled.name}", listed, wanted)
        return self._opened[key]

    def _taken(self, one: Representation, like: LoadedEncoder | None) -> Features:
        """Take features of the prepared set, or find those that were taken before."""
        folder, views, watch = self.cache / "features", self.views, self.watch
        if one.encoder is not None:
            material = self.evaluation_set(one.encoder)
            return encoder_features(folder, one.encoder, material, views, self.settings, watch, f"features of {one.name}")
        assert like is not None, one
        kind, material = str(one.trivial), self.evaluation_set(like)

        def take(videos: Sequence[Video], progress: Progress) -> Features:
            return extract_trivial(kind, ClipReader(material.videos, like.clip), videos, views=views)

        key = key_of(trivial=kind, code=_MEASURE_CODE, **seen_by(like, material, views))
        return cached_features(folder, key, material.videos.videos, take, watch, f"features: {kind}")
