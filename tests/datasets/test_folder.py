"""Any labelled folder or list: labels, splits, and what is refused."""

from pathlib import Path

import pytest

from elo_cli.core.errors import DataError, UsageError
from elo_cli.datasets import SHELF, folder


def fill(root: Path, classes: dict[str, int]) -> Path:
    for label, count in classes.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            (root / label / f"{number}.mp4").touch()
    return root


def write_list(root: Path, rows: list[str], header: str = "path,label,split,group") -> Path:
    """Write a list and the files that it names, but for those called gone."""
    for row in rows:
        path = root / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if "gone" not in path.name:
            path.touch()
    (root / "list.csv").write_text("\n".join([header, *rows]) + "\n")
    return root / "list.csv"


def refusal(root: Path | None, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        folder.find(root, seed=0, **options)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value.message


def test_a_folder_gets_seeded_stratified_splits(tmp_path: Path) -> None:
    found = folder.find(fill(tmp_path / "actions", {"walk": 6, "run": 9, "Ünïc ode": 3}), seed=0)
    assert SHELF.take("folder") is folder
    assert (found.name, found.root, found.missing) == ("actions", tmp_path / "actions", ())
    assert {video.label for video in found.videos} == {"walk", "run", "Ünïc ode"}
    everything = {video.id for video in found.videos}
    assert [split.name for split in found.splits] == ["1", "2", "3"]
    for split in found.splits:
        assert set(split.train) | set(split.test) == everything
        assert not set(split.train) & set(split.test)
        assert sorted(name.split("/")[0] for name in split.test) == ["run"] * 3 + ["walk"] * 2 + ["Ünïc ode"]
    assert set().union(*(split.test for split in found.splits)) == everything


def test_seeds_decide_the_splits(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", {"walk": 12, "run": 12})
    assert folder.find(root, seed=1) == folder.find(root, seed=1)
    assert folder.find(root, seed=1).splits != folder.find(root, seed=2).splits
    assert len(folder.find(root, seed=1, folds=5).splits) == 5


def test_a_group_never_stands_on_both_sides(tmp_path: Path) -> None:
    rows = [
        f"{label}/{group}_{number}.mp4,{label},,g{group}" for label in ("x", "y") for group in range(7) for number in range(3)
    ]
    rows += [f"x/alone{number}.mp4,x,," for number in range(2)]
    source = write_list(tmp_path, rows)
    for seed in range(5):
        found = folder.find(source, seed=seed)
        group = {video.id: video.group or video.id for video in found.videos}
        for split in found.splits:
            assert not {group[name] for name in split.train} & {group[name] for name in split.test}
        assert sum(len(split.test) for split in found.splits) == len(rows)


def test_stretches_of_one_video_never_stand_on_both_sides(tmp_path: Path) -> None:
    rows = [f"{label}{film}.mp4,{label},{start},{start + 2}" for label in "xy" for film in range(4) for start in (0, 2, 5)]
    source = tmp_path / "list.csv"
    source.write_text("\n".join(["path,label,start,end", *rows]) + "\n")
    for label in "xy":
        for film in range(4):
            (tmp_path / f"{label}{film}.mp4").touch()
    for seed in range(5):
        found = folder.find(source, seed=seed)
        assert [(v.id, v.start_s, v.end_s) for v in found.videos[:2]] == [("x0.mp4#t=0,2", 0.0, 2.0), ("x0.mp4#t=2,4", 2.0, 4.0)]
        for split in found.splits:
            films = [{name.partition("#")[0] for name in side} for side in (split.train, split.test)]
            assert films[0] | films[1] == {f"{label}{film}.mp4" for label in "xy" for film in range(4)}
            assert not films[0] & films[1]


@pytest.mark.parametrize("how", ["copy", "symlink", "hard link"])
def test_a_film_under_two_names_never_stands_on_both_sides(tmp_path: Path, how: str) -> None:
    for label in "xy":
        for number in range(6):
            (tmp_path / f"{label}{number}.mp4").write_bytes(f"\0film {label}{number}".encode())
            other = tmp_path / f"{label}{number}-too.mp4"
            if how == "copy":
                other.write_bytes((tmp_path / f"{label}{number}.mp4").read_bytes())
            elif how == "symlink":
                other.symlink_to(tmp_path / f"{label}{number}.mp4")
            else:
                other.hardlink_to(tmp_path / f"{label}{number}.mp4")
    names = [f"{label}{number}{end}.mp4" for label in "xy" for number in range(6) for end in ("", "-too")]
    source = tmp_path / "list.csv"
    source.write_text("\n".join(["path,label", *(f"{name},{name[0]}" for name in names)]) + "\n")
    for seed in range(5):
        for split in folder.find(source, seed=seed).splits:
            films = [{name[:2] for name in side} for side in (split.train, split.test)]
            assert not films[0] & films[1]
    sides = ("test" if name.endswith("-too.mp4") else "train" for name in names)
    source.write_text(
        "\n".join(["path,label,split", *(f"{n},{n[0]},{side}" for n, side in zip(names, sides, strict=True))]) + "\n"
    )
    assert "12 groups" in refusal(source)
    assert "both sides" in refusal(source)


def test_error_pages_instead_of_films_are_no_film(tmp_path: Path) -> None:
    rows = [f"{label}{number}.mp4,{label},{'test' if number % 2 else 'train'}" for label in "xy" for number in range(4)]
    for row in rows:
        (tmp_path / row.split(",")[0]).write_text("<html>404</html>")
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    assert all(video.group is None for video in folder.find(tmp_path / "list.csv", seed=0).videos)


def test_the_word_of_a_list_for_one_stretch_counts_for_the_film(tmp_path: Path) -> None:
    rows = [f"{label}{film}.mp4,{label},{start},{start + 2},{'g' * (not start)}{film * (not start) or ''}" for label in "xy"
            for film in range(1, 7) for start in (0, 2)]  # fmt: skip
    for label in "xy":
        for film in range(1, 7):
            (tmp_path / f"{label}{film}.mp4").touch()
    source = tmp_path / "list.csv"
    source.write_text("\n".join(["path,label,start,end,group", *rows]) + "\n")
    for seed in range(5):
        for split in folder.find(source, seed=seed).splits:
            films = [{name.partition("#")[0] for name in side} for side in (split.train, split.test)]
            assert not films[0] & films[1]
    source.write_text("\n".join(["path,label,start,end,group", *rows, "x1.mp4,x,4,6,other"]) + "\n")
    assert "1 films stand in several groups: x1.mp4" in refusal(source)


def test_clips_of_one_film_of_ucf101_never_stand_on_both_sides(tmp_path: Path) -> None:
    for label in ("Archery", "YoYo"):
        (tmp_path / label).mkdir()
        for group in range(1, 5):
            for clip in range(1, 4):
                (tmp_path / label / f"v_{label}_g{group:02d}_c{clip:02d}.avi").touch()
    for seed in range(5):
        for split in folder.find(tmp_path, seed=seed).splits:
            films = [{name.rpartition("_c")[0] for name in side} for side in (split.train, split.test)]
            assert len(films[0]) + len(films[1]) == 8 and not films[0] & films[1]


def test_a_listed_split_is_used_unless_seeded_ones_are_asked_for(tmp_path: Path) -> None:
    rows = [
        f"{label}{number}.mp4,{label},{'test' if number == 0 else 'train'},{label}{number}"
        for label in "xy"
        for number in range(4)
    ]
    source = write_list(tmp_path, rows)
    for split_by in ("auto", "listed"):
        found = folder.find(source, seed=0, split_by=split_by)
        (split,) = found.splits
        assert (split.name, split.test) == ("listed", ("x0.mp4", "y0.mp4"))
        assert len(split.train) == 6
        assert (found.name, found.root) == ("list", tmp_path)
    assert len(folder.find(source, seed=0, split_by="seeded").splits) == 3


def test_a_listed_split_must_be_whole(tmp_path: Path) -> None:
    source = write_list(tmp_path, ["a.mp4,x,train,", "b.mp4,y,test,", "c.mp4,y,,", "d.mp4,x,val,"])
    assert "2 videos of" in refusal(source)
    assert "neither train nor test: " in refusal(source)
    source = write_list(tmp_path, ["a.mp4,x,train,", "b.mp4,y,train,"])
    assert "lists no video for test" in refusal(source)
    assert "neither train nor test" in refusal(fill(tmp_path / "f", {"x": 3, "y": 3}), split_by="listed")


def test_a_listed_split_that_parts_a_group_is_refused(tmp_path: Path) -> None:
    source = write_list(tmp_path, ["a.mp4,x,train,g1", "b.mp4,x,test,g1", "c.mp4,y,train,g2", "d.mp4,y,test,g3"])
    assert "1 groups of" in refusal(source)
    assert "both sides of its split: g1" in refusal(source)


def test_classes_too_small_for_the_folds_are_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", {"walk": 6, "run": 2, "sit": 1})
    assert "2 classes of" in refusal(root)
    assert "fewer videos than the 3 folds: run (2), sit (1)" in refusal(root)
    source = write_list(tmp_path, [f"x{n}.mp4,x,,g{n % 2}" for n in range(8)] + [f"y{n}.mp4,y,,h{n}" for n in range(8)])
    assert "fewer groups than the 3 folds: x (2)" in refusal(source)


def test_folders_without_labels_or_videos_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "There is no video in" in refusal(tmp_path / "empty")
    assert "have no labels" in refusal(flat(tmp_path / "flat"))
    mixed = fill(tmp_path / "mixed", {"x": 3, "y": 3})
    (mixed / "stray.mp4").touch()
    assert "1 of 7 videos of" in refusal(mixed)
    assert "have no label: stray.mp4" in refusal(mixed)
    assert "have the label 'x'" in refusal(fill(tmp_path / "one", {"x": 5}))
    assert "have no labels" in refusal(write_list(tmp_path / "bare", ["a.mp4", "b.mp4"], header="path"))


def flat(root: Path) -> Path:
    root.mkdir()
    for number in range(4):
        (root / f"{number}.mp4").touch()
    return root


def test_missing_files_of_a_list_are_refused_or_recorded(tmp_path: Path) -> None:
    rows = [f"{label}{number}.mp4,{label},," for label in "xy" for number in range(3)] + ["x/gone.mp4,x,,"]
    source = write_list(tmp_path, rows)
    assert "line 8: there is no file" in refusal(source)
    found = folder.find(source, seed=0, allow_incomplete=True)
    assert found.missing == ("x/gone.mp4",)
    assert len(found.videos) == 6
    assert "None of the 1 videos" in refusal(write_list(tmp_path / "b", ["gone.mp4,x,,"]), allow_incomplete=True)


def test_lists_that_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").touch()
    source = write_list(tmp_path / "in", ["a.mp4,x,,"])
    source.write_text("path,label\n../secret.mp4,x\n")
    assert "leads out of the list's folder" in refusal(source)


@pytest.mark.parametrize("wrong", [{"split_by": "list"}, {"folds": 1}])
def test_wrong_settings_are_refused_with_a_hint(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        folder.find(fill(tmp_path / "a", {"x": 3, "y": 3}), seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint


def test_a_place_is_needed() -> None:
    with pytest.raises(UsageError, match="needs its place"):
        folder.find(None, seed=0)
