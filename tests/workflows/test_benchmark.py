"""`elo benchmark` as it is typed: what is prepared and taken once, what stands beside, and what is refused."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.features import Features
from tests.support.commands import elo, finish, hashes, start
from tests.support.encoders import write_encoder
from tests.support.labelled_films import lines_of, write_coloured, write_labelled_home

LINE = "benchmark folder --root films --set benchmark.folds=2 --set benchmark.kmeans.runs=2"
RESULT = "elo/benchmark-folder-films/result.json"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which one encoder was scored."""
    folder = write_labelled_home(tmp_path_factory.mktemp("home"))
    done = elo(f"{LINE} --encoder one", folder)
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change, as if it had always been there; its files are as old as they were."""
    folder = Path(shutil.copytree(home, tmp_path / "home"))
    for name in (RESULT, "elo/benchmark-folder-films/settings.yaml"):
        (folder / name).write_text((folder / name).read_text().replace(str(home), str(folder)))
    return folder


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each kept feature and shard was written, and where."""
    kept = [*folder.glob("elo/cache/features/*.safetensors"), *folder.glob("elo/cache/sets/*/shards/*")]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in kept}


def test_colours_are_learnt_and_stand_beside_chance(home: Path) -> None:
    lines = lines_of(home / RESULT)
    assert lines["colour-histogram", "linear"]["accuracy"] == 1.0
    assert lines["chance", "majority"]["accuracy"] == 0.5
    assert {name for name, _ in lines} >= {"chance", "untrained", "thumbnail", "flow-histogram", "one"}
    line = lines["one", "linear"]
    assert line["metrics"]["clip_accuracy"] <= 1 and line["deviation"] is not None
    assert [split["split"] for split in line["splits"]] == ["1", "2"]
    document = json.loads((home / RESULT).read_text())
    assert set(document) == {"elo", "computed", "dataset", "settings", "results", "representations"}
    assert document["dataset"]["splits"]["1"] == {"train": 6, "test": 6}
    assert document["settings"]["benchmark"]["folds"] == 2


def test_nothing_is_prepared_or_taken_twice(copy: Path) -> None:
    before = stamps(copy)
    again = elo(f"{LINE} --encoder one", copy)
    assert again.exit_code == 0 and stamps(copy) == before
    write_encoder(copy / "two", width=8)
    other = elo(f"{LINE} --encoder two --out second", copy)
    assert other.exit_code == 0, other.stderr
    after = stamps(copy)
    assert {name: after[name] for name in before} == before, "what was there is still the same"
    new = set(after) - set(before)
    assert len(new) == 2 and all("features/" in name for name in new), "the encoder's and its untrained twin's"
    more = elo(f"{LINE} --encoder one --out third --set benchmark.crops=3", copy)
    assert more.exit_code == 0, more.stderr
    assert len(stamps(copy)) == len(after) + 5, "other crops are other features, of the same shards"
    assert lines_of(copy / "third/result.json")["one", "linear"]["crops"] == 3


def test_a_shard_that_is_gone_is_made_again(copy: Path) -> None:
    before = lines_of(copy / RESULT)
    shutil.rmtree(copy / "elo/cache/features")
    shards = sorted(copy.glob("elo/cache/sets/films-*/shards/shard-*"))
    assert shards
    shards[0].unlink()
    assert elo(f"{LINE} --encoder one", copy).exit_code == 0
    assert lines_of(copy / RESULT) == before
    assert shards[0].exists()


def test_a_changed_video_is_looked_at_again(copy: Path) -> None:
    before = stamps(copy)
    write_coloured(copy / "films/cold/0.mp4", "wood", 99)
    done = elo(f"{LINE} --encoder one --out second", copy)
    assert done.exit_code == 0, done.stderr
    new = set(stamps(copy)) - set(before)
    assert len([name for name in new if "features/" in name]) == 5
    assert any("shards/" in name for name in new)


def test_a_run_goes_on_with_its_own_videos_only(copy: Path) -> None:
    write_coloured(copy / "films/cold/9.mp4", "cold", 99)
    done = elo(f"{LINE} --encoder one", copy)
    assert done.exit_code == 2 and "begun with other settings" in done.stderr


def test_damaged_features_are_taken_again_with_a_warning(copy: Path) -> None:
    for path in copy.glob("elo/cache/features/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-100])
    before = hashes(copy, RESULT)
    done = elo(f"{LINE} --encoder one", copy)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("They are taken again.") == 5
    assert hashes(copy, RESULT) == before


@pytest.mark.skipif(sys.platform != "linux", reason="a killed process is looked for in /proc")
def test_a_kill_within_the_extraction_loses_nothing_that_was_done(copy: Path) -> None:
    expected = hashes(copy, RESULT)
    shutil.rmtree(copy / "elo/benchmark-folder-films")
    shutil.rmtree(copy / "elo/cache/features")
    code, _, _ = finish(start(f"{LINE} --encoder one", copy, die_at="os.rename:.ids.jsonl:5"))
    assert code == -9
    kept = stamps(copy)
    assert any("features/" in name for name in kept) and not (copy / RESULT).exists()
    assert elo(f"{LINE} --encoder one", copy).exit_code == 0
    after = stamps(copy)
    assert {name: after[name] for name in kept if name in after} == {name: kept[name] for name in kept if name in after}
    assert hashes(copy, RESULT) == expected


def test_features_taken_elsewhere_score_like_their_encoder(copy: Path) -> None:
    taken = elo("extract-features films --encoder one --out taken --set extract.clips=2", copy)
    assert taken.exit_code == 0, taken.stderr
    line = f"{LINE} --encoder one --features taken=taken/features.safetensors --set benchmark.average=features --out both"
    done = elo(f"{line} --protocol linear --protocol knn --protocol retrieval", copy)
    assert done.exit_code == 0, done.stderr
    lines = lines_of(copy / "both/result.json")
    for protocol in ("linear", "knn", "retrieval"):
        encoder, file = lines["one", protocol], lines["taken", protocol]
        assert file["metrics"] == encoder["metrics"]
        assert (encoder["average"], file["average"], file["frames"]) == ("features", "as in the file", None)
    alone = elo(f"{LINE} --features taken/features.safetensors --out alone", copy)
    assert alone.exit_code == 0, alone.stderr
    assert {name for name, _ in lines_of(copy / "alone/result.json")} == {"chance", "features"}


def test_an_unreadable_test_video_is_wrong_by_its_share(copy: Path) -> None:
    (copy / "films/warm/3.mp4").write_bytes(b"nothing to see")
    done = elo(f"{LINE} --encoder one --protocol linear --protocol kmeans --out second", copy)
    assert done.exit_code == 0, done.stderr
    assert (
        "1 of 12 videos could not be used" in done.stderr and "1 of 12 test and 1 of 12 training videos unreadable" in done.stdout
    )
    line = lines_of(copy / "second/result.json")["colour-histogram", "linear"]
    assert sorted(split["accuracy"] for split in line["splits"]) == [pytest.approx(5 / 6), 1.0]
    [broken] = [split for split in line["splits"] if split["unreadable"]]
    assert broken["per_class"] == {"cold": 1.0, "warm": pytest.approx(2 / 3)}
    assert broken["accuracy_per_class"] == pytest.approx(5 / 6)
    assert line["unreadable_test_videos"] == line["unreadable_train_videos"] == 1
    [other] = [split for split in line["splits"] if not split["unreadable"]]
    for split in lines_of(copy / "second/result.json")["colour-histogram", "kmeans"]["splits"]:  # its classes are as large
        assert split["accuracy_per_class"] == pytest.approx(split["accuracy"])
        assert not split["unreadable"] or split["per_class"]["warm"] <= 2 / 3
    assert other["unread_train_videos"] == 1


def test_some_of_the_splits(copy: Path) -> None:
    done = elo(f'{LINE} --encoder one --out second --set benchmark.splits=["2"]', copy)
    assert done.exit_code == 0, done.stderr
    some, every = lines_of(copy / "second/result.json"), lines_of(copy / RESULT)
    assert some["one", "linear"]["splits"] == every["one", "linear"]["splits"][1:]
    assert some["one", "linear"]["deviation"] is None
    wrong = elo(f'{LINE} --encoder one --set benchmark.splits=["3"]', copy)
    assert wrong.exit_code == 2 and "films has no split '3'" in wrong.stderr


def test_json_is_one_document_with_the_table_of_the_paper(copy: Path) -> None:
    done = elo(f"{LINE} --encoder one --table 1 --json", copy)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["table"]["table"] == 1 and document["table"]["dataset"] == "films"
    scratch = next(row for row in document["table"]["rows"] if row["row"] == "scratch")
    assert scratch["paper"]["finetune"] is not None and scratch["measured"]["linear"]["accuracy"] is not None
    shown = elo(f"{LINE} --encoder one --table 1", copy)
    assert "Table 1, HMDB51" in shown.stdout and "paper" in shown.stdout


def refusals(home: Path) -> Iterator[tuple[str, int, str]]:
    """Lines that cannot be, their exit codes, and what is said."""
    yield f"{LINE} --encoder one --encoder one/encoder.safetensors", 2, "Two representations are called 'one'"
    yield f"{LINE} --encoder thumbnail=one", 2, "Two representations are called 'thumbnail'"
    yield f"{LINE} --encoder nowhere", 2, "nowhere"
    yield LINE, 3, "There is no pretrained encoder"
    yield f"{LINE} --row elo", 3, "elo evolve"
    yield f"{LINE} --row predct", 2, "predict"
    yield f"{LINE} --encoder one --protocol linaer", 2, "linear"
    yield f"{LINE} --features {home / 'other.safetensors'}", 3, "holds features of other videos"
    yield f"{LINE} --encoder one --protocol fewshot", 2, "has 0 classes with 5 training videos and a test video"
    yield f"benchmark --repeat {home / RESULT} --seed 5", 2, "--repeat takes everything from the result"
    yield "benchmark --repeat nothing.json", 3, "nothing.json cannot be read: No such file or directory."
    yield "benchmark --table 1", 2, "No data set is named"
    yield "benchmark folder", 2, "--root"


def test_what_cannot_be_is_refused_before_anything_is_written(home: Path) -> None:
    features = Features.load(next(home.glob("elo/cache/features/*.safetensors")))
    strange = tuple(f"other/{name}" for name in features.ids)
    Features(features.matrix_ND, strange, features.labels).save(home / "other.safetensors")
    for line, code, words in refusals(home):
        done = elo(f"{line} --out {home / 'refused'}" if "--row" not in line else line, home)
        assert (done.exit_code, words in done.stderr) == (code, True), (line, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="signals are sent by an audit hook that was tried there")
def test_a_stop_says_how_to_go_on(copy: Path) -> None:
    shutil.rmtree(copy / "elo/cache/features")
    code, said, complained = finish(start(f"{LINE} --encoder one", copy, die_at="os.rename:.ids.jsonl:3:TERM"))
    assert code == 75, complained
    assert f"Go on with: elo {LINE}" in complained
    assert said == "" and "Traceback" not in complained
    assert elo(f"{LINE} --encoder one", copy).exit_code == 0


def test_lines_of_other_protocols_stay(copy: Path) -> None:
    before = lines_of(copy / RESULT)
    done = elo(f"{LINE} --encoder one --protocol knn", copy)
    assert done.exit_code == 0, done.stderr
    after = lines_of(copy / RESULT)
    assert {key: line for key, line in after.items() if key[1] != "knn"} == before and ("one", "knn") in after
    document = json.loads((copy / RESULT).read_text())
    assert set(document["settings"]["benchmark"]["protocols"]) == {"kmeans", "linear", "knn"}
    write_coloured(copy / "films/cold/0.mp4", "cold", 77)  # another film: what was said of the former ones is gone
    assert elo(f"{LINE} --encoder one --protocol knn", copy).exit_code == 0
    assert {protocol for _, protocol in lines_of(copy / RESULT)} == {"majority", "knn"}


def test_what_cannot_be_scored_is_named_and_the_rest_is_kept(copy: Path) -> None:
    found = Features.load(next(copy.glob("elo/cache/features/*.safetensors")))
    Features(np.ones_like(found.matrix_ND), found.ids, found.labels).save(copy / "flat.safetensors")
    line = f"{LINE} --features flat=flat.safetensors --protocol linear --set benchmark.baselines=false"
    done = elo(f"{line} --encoder one --out more --json", copy)
    assert done.exit_code == 0, done.stderr
    assert "flat has no score by linear: All training rows have the same features" in done.stderr
    lines = lines_of(copy / "more/result.json")
    assert lines["flat", "linear"]["accuracy"] is None and "the same features" in lines["flat", "linear"]["failed"]
    assert lines["one", "linear"]["accuracy"] is not None and lines["one", "linear"]["failed"] is None
    assert "-" in elo(f"{line} --encoder one --out more --table 1", copy).stdout
    nothing = elo(f"{line} --out nothing", copy)
    assert nothing.exit_code == 3
    assert "Nothing could be scored. flat, linear: All training rows" in nothing.stderr
    assert lines_of(copy / "nothing/result.json")["flat", "linear"]["failed"]


def test_tables_show_results_of_the_same_videos_and_splits_alone(copy: Path) -> None:
    line = f"{LINE} --set benchmark.baselines=false --protocol linear"
    told = {"halves": "--set benchmark.splits=['1']", "twice": "--set benchmark.clips=1", "plain": ""}
    for (name, more), term in zip(told.items(), ("rgb.predict", "rgb.shuffle", "rgb.reverse"), strict=True):
        shutil.copytree(copy / "one", copy / name)
        card = json.loads((copy / name / "encoder.json").read_text())
        card["origin"] |= {"method": "elo", "loss": {term: 0.5}}
        (copy / name / "encoder.json").write_text(json.dumps(card))
        done = elo(f"{line} {more} --encoder {name} --out elo/benchmark-{name} --json --table 1", copy)
        assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    filled = [row["row"] for row in document["table"]["rows"] if row["measured"]["linear"]]
    assert sorted(filled) == ["frame-shuffle", "reverse", "scratch"]
    assert document["table"]["left_out"] == 1
    assert document["table"]["differing"] == {"clips": ["1", "2"]}
    words = elo(f"{line} --encoder plain --out elo/benchmark-plain --table 1", copy).stdout
    assert "1 results of other videos, labels or splits" in words and "clips 1 or 2" in words


def test_a_folder_called_like_a_published_set_is_none(copy: Path) -> None:
    shutil.copytree(copy / "films", copy / "hmdb51")
    line = LINE.replace("--root films", "--root hmdb51")
    done = elo(f"{line} --encoder one --table 1 --set benchmark.baselines=false --out called", copy)
    assert done.exit_code == 0, done.stderr
    assert {line["dataset"] for line in lines_of(copy / "called/result.json").values()} == {"folder hmdb51"}
    assert "paper hmdb51" in done.stdout


def test_what_failed_for_the_moment_is_tried_again(copy: Path) -> None:
    [prepared] = copy.glob("elo/cache/sets/films-*")
    shard = min(prepared.glob("shards/*.safetensors"))
    planned = [json.loads(line) for line in (prepared / "plan.jsonl").read_text().splitlines()]
    [videos] = [record["videos"] for record in planned if record.get("shard") == shard.name]
    failed = [{"video": video["id"], "stage": "decode", "reason": "timeout", "message": "too slow"} for video in videos]
    shard.unlink()
    shard.with_name(f"{shard.stem}.failures.json").write_text(json.dumps({"failures": failed}))
    result = json.loads((prepared / "result.json").read_text())
    (prepared / "result.json").write_text(json.dumps(result | {"failed": len(failed), "failures": {"timeout": len(failed)}}))
    done = elo(f"{LINE} --encoder one --out again", copy)
    assert done.exit_code == 0, done.stderr
    assert lines_of(copy / "again/result.json")["one", "linear"]["unreadable_test_videos"] == 0 and shard.exists()
