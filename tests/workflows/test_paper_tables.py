"""The paper's tables beside measured results: its figures as printed, and every measured one in its own place."""

import json
from typing import Any

import pytest

from elo_cli.core.errors import UsageError
from elo_cli.workflows.paper_tables import paper_curves, paper_table, table_record

# Typed from the paper, not from the package.
TABLE_1 = """\
Scratch (No Pretraining) | 15.7 | 17.8 | 35.2
ImageNet Pretrained | 32.5 | 37.8 | 49.8
Kinetics Pretrained | 68.8 | 71.5 | 74.3
Frame Shuffle | 22.3 | 24.3 | 28.4
Reverse Detection | 21.3 | 24.3 | 27.5
Audio/RGB Align | 32.4 | 36.8 | 40.2
RGB to Flow | 31.5 | 36.4 | 39.9
Predicting 4 future frames | 31.8 | 35.8 | 39.2
Joint Embedding | 29.4 | 32.5 | 38.4
Evolved Loss - ELo-weak | 45.7 | 64.3 | 67.8
Random Loss (unsup.) | 26.4 | 26.9 | 31.2
Evolved Loss - ELo (unsup.) | 43.4 | 64.5 | 67.4"""
TABLE_2 = """\
(2+1)D ResNet-50 Scratch | 35.2 | 63.1
(2+1)D ResNet-50 ImageNet | 49.8 | 84.5
(2+1)D ResNet-50 Kinetics | 74.3 | 95.1
Shuffle | 18.1 | 50.2
O3N | 32.5 | 60.3
OPN | 37.5 | 37.5
Patch | - | 41.5
Multisensory | - | 82.1
AVTS | 61.6 | 89.0
Evolved Loss (ours) | 67.8 | 94.1
Evolved Loss (ours, no distillation) | 53.7 | 84.2
Evolved Loss - ELo (ours) | 67.4 | 93.8"""
TABLE_3 = """\
Random Init | 0.93 | 2.1 | 2.8 | 4.4 | 6.2 | 12.5 | 26.4 | 52.5 | 64.3 | 71.2
Frame Shuffle | 1.5 | 5.3 | 12.4 | 18.4 | 28.4 | 32.5 | 38.2 | 57.4 | 66.8 | 70.9
Audio Align | 2.5 | 9.8 | 17.2 | 28.1 | 36.0 | 46.0 | 54.1 | 64.3 | 69.5 | 71.5
ELO (unsupervised) | 3.6 | 15.8 | 24.8 | 47.0 | 58.3 | 67.5 | 69.2 | 70.2 | 72.2 | 74.4"""
TABLE_4 = """\
Random Search | 2000 | 52.4
Grid Search | 2000 | 57.3
Tournament Selection | 2000 | 61.4
CMA-ES | 250 | 67.4"""


def rows_of(text: str) -> list[list[str]]:
    return [line.split(" | ") for line in text.splitlines()]


def line(row: str | None, protocol: str = "linear", accuracy: float = 0.4, **given: Any) -> dict[str, Any]:
    made = {"representation": row or "pixels", "row": row, "dataset": "hmdb51", "protocol": protocol, "accuracy": accuracy}
    return made | {"deviation": None, "encoder": f"sha of {row}", "details": {}, "search": None, "samples": 10} | given


def curve(*points: tuple[int, float, float | None]) -> dict[str, Any]:
    return {"curve": [{"labels": labels, "accuracy": accuracy, "deviation": by} for labels, accuracy, by in points]}


def shown(number: int, lines: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the cells of each row by its name, without the space that aligns them."""
    table = paper_table(number, lines)
    assert all(len(row) == len(table.columns) for row in table.rows)
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in table.rows}


@pytest.mark.parametrize(("number", "text"), [(1, TABLE_1), (2, TABLE_2), (3, TABLE_3), (4, TABLE_4)])
def test_the_papers_figures_are_those_of_the_paper(number: int, text: str) -> None:
    table = paper_table(number, [])
    figures = [place for place, name in enumerate(table.columns) if place and (number == 3 or name.startswith("paper"))]
    rows = [[row[0].strip(), *(row[place].strip() for place in figures)] for row in table.rows if row[1]]
    assert rows == rows_of(text)


def test_table_1_stands_in_the_papers_groups() -> None:
    rows = [row[0] for row in paper_table(1, []).rows]
    heads = [place for place, name in enumerate(rows) if not name.startswith(" ")]
    assert [rows[place] for place in heads] == [
        "Supervised", "Unsupervised", "Ours, weakly-sup clustering", "Ours, unsupervised"
    ] and heads == [0, 4, 11, 13]  # fmt: skip
    assert table_record(1, [])["rows"][9]["group"] == "Ours, weakly-sup clustering, using unlabeled videos"


@pytest.mark.parametrize("number", [1, 2, 4])
def test_nothing_measured_is_shown_as_nothing(number: int) -> None:
    table = paper_table(number, [])
    ours = [place for place, name in enumerate(table.columns) if place and not name.startswith("paper")]
    assert ours and {row[place] for row in table.rows for place in ours if row[1]} == {"-"}
    assert all(not any((row["measured"] or {}).values()) for row in table_record(number, [])["rows"])


def test_table_1_puts_each_result_beside_its_figure() -> None:
    lines = [
        line("elo", "linear", 0.41249, deviation=0.0123),
        line("elo", "kmeans", 0.05),
        line("scratch", "finetune", 1.0, deviation=0.0),
        line("elo", "knn", 0.99),
    ]
    table = paper_table(1, lines)
    assert table.columns == ["method", "kmeans hmdb51", "paper", "linear hmdb51", "paper", "finetune hmdb51", "paper"]
    cells = shown(1, lines)
    assert cells["Evolved Loss - ELo (unsup.)"] == ["5.0", "43.4", "41.2 ± 1.2", "64.5", "-", "67.4"]
    assert cells["Scratch (No Pretraining)"] == ["-", "15.7", "-", "17.8", "100.0 ± 0.0", "35.2"]
    assert cells["Joint Embedding"] == ["-", "29.4", "-", "32.5", "-", "38.4"]
    assert "(2+1)D ResNet-50" in table.note and "2 million YouTube videos" in table.note


def test_the_last_of_several_results_counts_but_random_losses_are_averaged() -> None:
    lines = [line("elo", accuracy=0.1), line("elo", accuracy=0.3)]
    lines += [
        line("random", accuracy=value, representation=name) for value, name in ((0.9, "a"), (0.2, "b"), (0.4, "a"), (0.6, "c"))
    ]
    cells = shown(1, lines)
    assert cells["Evolved Loss - ELo (unsup.)"][2] == "30.0"
    assert cells["Random Loss (unsup.)"][2] == "40.0 ± 20.0 of 3", (
        "the newer result of what is called a, another encoder by now or not"
    )
    assert "of 10" in paper_table(1, lines).note and "Random" not in paper_table(1, lines[:2]).note
    assert shown(1, lines[2:3])["Random Loss (unsup.)"][2] == "90.0 of 1"
    row = next(row for row in table_record(1, lines)["rows"] if row["row"] == "random")
    assert row["paper"] == {"kmeans": 0.264, "linear": 0.269, "finetune": 0.312}
    assert row["measured"]["linear"] == {
        "accuracy": pytest.approx(0.4), "deviation": pytest.approx(0.2), "encoders": 3
    }  # fmt: skip
    assert row["measured"]["kmeans"] is None


def test_another_data_set_is_not_mistaken_for_the_papers() -> None:
    table = paper_table(1, [line("elo", dataset="ucf101")])
    assert table.columns[3:5] == ["linear ucf101", "paper hmdb51"] and "HMDB51" in table.title
    assert paper_table(4, [line("elo", dataset="folder")]).columns[2] == "paper: hmdb51"


@pytest.mark.parametrize("number", [1, 3, 4])
def test_results_of_two_data_sets_are_not_mixed(number: int) -> None:
    with pytest.raises(UsageError, match="folder, hmdb51") as raised:
        paper_table(number, [line("elo"), line("elo", dataset="folder")])
    assert raised.value.hint


@pytest.mark.parametrize("number", [0, 5, -1])
def test_a_table_that_is_not_there(number: int) -> None:
    with pytest.raises(UsageError, match=str(number)) as raised:
        table_record(number, [])
    assert "1, 2, 3 or 4" in raised.value.hint


def test_what_is_in_no_row_is_counted() -> None:
    lines = [line(None), line(None, representation="b"), line("elo"), line(None, "kmeans"), line(None, "knn", representation="c")]
    assert table_record(1, lines)["in_no_row"] == 2, "of the protocols of the table"
    assert "no row of this table: 2" in paper_table(1, lines).note and "no row" not in paper_table(1, [line("elo")]).note


def test_table_2_is_of_what_was_finetuned_on_several_sets() -> None:
    lines = [line("elo", "finetune", 0.5, dataset="ucf101", deviation=0.01), line("elo", "linear", 0.9)]
    lines += [line("elo-without-distillation", "finetune", 0.25), line("kinetics", "finetune", 0.7, dataset="folder")]
    assert paper_table(2, lines[:3]).columns == ["method", "finetune hmdb51", "paper", "finetune ucf101", "paper"]
    cells = shown(2, lines)
    assert paper_table(2, lines).columns[5:] == ["finetune folder"]
    assert cells["Evolved Loss - ELo (ours)"] == ["-", "67.4", "50.0 ± 1.0", "93.8", "-"]
    assert cells["Evolved Loss (ours, no distillation)"] == ["25.0", "53.7", "-", "84.2", "-"]
    assert cells["(2+1)D ResNet-50 Kinetics"] == ["-", "74.3", "-", "95.1", "70.0"]
    assert cells["Patch"] == ["-", "-", "-", "41.5", "-"], "a line of no row is in none of the earlier methods'"


def test_table_3_has_a_block_of_its_own_for_measured_numbers_of_labels() -> None:
    lines = [
        line("elo", "low-label", details=curve((12, 0.25, 0.02), (48, 0.5, None))),
        line("scratch", "low-label", details=curve((12, 0.1, None), (50, 0.2, None))),
        line(None, "low-label", representation="[red]\n", details=curve((48, 0.3, None))),
        line("elo", "linear", 0.9),
    ]
    table = paper_table(3, lines)
    assert table.columns[:3] == ("paper, kinetics400", "400", "2k") and table.columns[-1] == "225k (all)"
    begin = next(place for place, row in enumerate(table.rows) if row[0] == "measured, hmdb51")
    block = [[cell.strip() for cell in row[:4]] for row in table.rows[begin:]]
    assert block == [
        ["measured, hmdb51", "12", "48", "50"],
        ["Random Init", "10.0", "-", "20.0"],
        ["ELO (unsupervised)", "25.0", "50.0", "-"],
        ["± deviation", "2.0", "-", "-"],
        ["[red]", "-", "30.0", "-"],
    ]
    record = table_record(3, lines)
    assert [row["row"] for row in record["rows"]] == ["scratch", "frame-shuffle", "audio-align", "elo", None]
    assert record["rows"][0]["paper"][0] == {"labels": 400, "accuracy": 0.0093} and record["rows"][1]["measured"] is None
    assert record["rows"][3]["measured"][1] == {"labels": 48, "accuracy": 0.5, "deviation": None}


def test_table_3_breaks_off_many_numbers_of_labels_and_averages_random_losses() -> None:
    lines = [line("elo", "low-label", details=curve(*((count, count / 100, None) for count in range(1, 24))))]
    table = paper_table(3, lines)
    assert [row[1] for row in table.rows if row[0] == "measured, hmdb51"] == ["1", "11", "21"]
    assert max(map(len, table.rows)) == 11
    randoms = [
        line("random", "low-label", representation="a", details=curve((5, 0.1, 0.5), (9, 0.7, None))),
        line("random", "low-label", representation="b", details=curve((5, 0.3, 0.5))),
    ]
    found = table_record(3, randoms)["rows"][-1]
    assert found["method"] == "Random Loss (unsup.)" and found["paper"] is None
    assert [point["accuracy"] for point in found["measured"]] == [pytest.approx(0.2), pytest.approx(0.7)]
    assert [point["encoders"] for point in found["measured"]] == [2, 1]


def test_table_4_compares_the_best_losses_of_searches() -> None:
    def found(strategy: str, evaluations: int) -> dict[str, Any]:
        return {"search": {"strategy": strategy, "evaluations": evaluations}}

    lines = [
        line("elo", "linear", 0.3, **found("cma-es", 96)),
        line("elo", "finetune", 0.6, deviation=0.02, **found("cma-es", 96)),
        line("elo-without-distillation", "linear", 0.8, **found("cma-es", 96)),
        line("elo-without-distillation", "linear", 0.7, **found("grid", 12)),
        line("random", "linear", 0.9, **found("random", 5)),
        line("elo-weak", "linear", 0.9, **found("tournament", 5)),
        line(None, "linear", 0.2, **found("gradient", 40)),
        line("elo", "kmeans", 0.9, **found("tournament", 7)),
        line("elo", "linear", 0.99),
    ]
    assert paper_table(4, lines).columns[3:] == ("losses tried", "finetune hmdb51", "linear hmdb51")
    cells = shown(4, lines)
    assert cells["CMA-ES"] == ["250", "67.4", "96", "60.0 ± 2.0", "30.0"]
    assert cells["Grid Search"] == ["2000", "57.3", "12", "-", "70.0"]
    assert cells["Random Search"] == ["2000", "52.4", "-", "-", "-"], "the average of random losses is no search"
    assert cells["Tournament Selection"] == ["2000", "61.4", "-", "-", "-"]
    assert cells["gradient"] == ["-", "-", "40", "-", "20.0"]
    assert paper_table(4, lines[:1]).columns[3:] == ("losses tried", "linear hmdb51")


def test_curves_of_the_paper_are_table_3() -> None:
    curves = paper_curves()
    assert list(curves) == ["Random Init", "Frame Shuffle", "Audio Align", "ELO (unsupervised)"]
    labels = [400, 2000, 4000, 8000, 20_000, 40_000, 80_000, 120_000, 160_000, 225_000]
    for name, *figures in rows_of(TABLE_3):
        assert [point["labels"] for point in curves[name]] == labels
        assert [point["accuracy"] for point in curves[name]] == [pytest.approx(float(figure) / 100) for figure in figures]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_records_are_plain_json(number: int) -> None:
    lines = [
        line("elo", "low-label", details=curve((4, 0.5, None))),
        line("elo", "finetune", search={"strategy": "grid", "evaluations": 3}),
    ]
    record = table_record(number, lines)
    assert json.loads(json.dumps(record, allow_nan=False)) == record and record["table"] == number
