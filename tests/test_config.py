"""Tests of elo_cli.config: who wins, and what is said about a wrong setting."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli import config
from elo_cli.config import changes, describe, presets, resolve, schema_keys, settings_dict
from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.core.strict_yaml import dump_yaml, load_yaml


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with presets `small` and `demo`."""
    root = tmp_path / "checkout"
    (root / "presets").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "presets" / "small.yaml").write_text(
        "# elo pretrain --preset small\n# 5 minutes\n\npretrain: {steps: 20, batch: 8}\n"
    )
    (root / "presets" / "demo.yaml").write_text("pretrain: {steps: 3}\n")
    monkeypatch.setattr(config, "_PACKAGE", root / "elo_cli")
    return root


def fails(*assignments: str, folder: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(None, None, assignments, None, folder)
    assert "pydantic" not in str(caught.value) and "http" not in str(caught.value)
    return caught.value


def test_nothing_said_gives_the_defaults(tmp_path: Path) -> None:
    settings = resolve(None, None, (), None, tmp_path)
    assert settings == Settings.model_validate({}) and changes(settings) == {}


def test_later_wins(checkout: Path, tmp_path: Path) -> None:
    given_file = tmp_path / "mine.yaml"
    given_file.write_text("pretrain: {momentum: 0.3, lr: 0.3}\n")
    (tmp_path / "elo.yaml").write_text("seed: 1\npretrain: {steps: 1, warmup: 0.1, lr: 0.1}\n")
    settings = resolve("small", given_file, ["pretrain.lr=1e-4", "pretrain.batch=4", "pretrain.batch=6"], 7, tmp_path)
    assert changes(settings) == {
        "seed": 7,  # --seed over elo.yaml
        "pretrain.steps": 20,  # the preset over elo.yaml
        "pretrain.warmup": 0.1,  # elo.yaml alone
        "pretrain.momentum": 0.3,  # --config alone
        "pretrain.lr": 1e-4,  # --set over --config over elo.yaml; a number, not text
        "pretrain.batch": 6,  # the later --set over the former and the preset
    }


def test_a_file_wins_over_the_preset_it_names(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "elo.yaml").write_text("preset: small\npretrain: {steps: 1}\n")
    assert changes(resolve(None, None, (), None, tmp_path)) == {"pretrain.steps": 1, "pretrain.batch": 8}
    # The command line's preset replaces it, and wins over the file.
    assert changes(resolve("demo", None, (), None, tmp_path)) == {"pretrain.steps": 3}
    other = tmp_path / "other.yaml"
    other.write_text("preset: demo\n")
    assert changes(resolve(None, other, (), None, tmp_path)) == {"pretrain.steps": 3}


def test_an_empty_group_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "elo.yaml").write_text("pretrain:\n  # steps: 5\n")
    assert changes(resolve(None, None, (), None, tmp_path)) == {}


def test_presets_are_found_and_described(checkout: Path) -> None:
    assert list(presets()) == ["demo", "small"]
    assert describe(presets()["small"]) == "elo pretrain --preset small\n5 minutes"
    assert describe(presets()["demo"]) == ""


def test_a_stranger_beside_an_installed_package_is_not_taken_for_presets(checkout: Path) -> None:
    (checkout / "pyproject.toml").unlink()
    assert presets() == {}
    installed = checkout / "elo_cli" / "presets"
    installed.mkdir(parents=True)
    (installed / "paper.yaml").touch()
    assert presets() == {"paper": installed / "paper.yaml"}


def test_an_unknown_preset_names_the_nearest(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preset called 'smal'") as caught:
        resolve("smal", None, (), None, tmp_path)
    assert caught.value.hint == "Did you mean 'small'? There are: demo, small."
    with pytest.raises(UsageError) as caught:
        resolve("mine.yaml", None, (), None, tmp_path)
    assert "--config" in caught.value.hint
    (tmp_path / "elo.yaml").write_text("preset: smal\n")
    with pytest.raises(UsageError, match=r"elo\.yaml"):
        resolve(None, None, (), None, tmp_path)


@pytest.mark.parametrize(
    ("assignment", "message", "hint"),
    [
        ("pretrain.step=5", "There is no setting 'pretrain.step' (--set pretrain.step).", "Did you mean 'pretrain.steps'?"),
        ("pretrian.steps=5", "There is no setting 'pretrian.steps' (--set pretrian.steps).", "Did you mean 'pretrain.steps'?"),
        ("steps=5", "There is no setting 'steps' (--set steps).", "Did you mean 'proxy.steps' or 'pretrain.steps'?"),
        ("pretrain={stepps: 5}", "There is no setting 'pretrain.stepps' (--set pretrain).", "Did you mean 'pretrain.steps'?"),
        ("fitness.zzz=5", "There is no setting 'fitness.zzz' (--set fitness.zzz).", "fitness holds measure, clusters, exponent,"),
        ("seed", "--set seed names no setting or gives no value.", "Write it as --set KEY=VALUE"),
        ("pretrain=5", "pretrain is 5 (--set pretrain), but it is a group of settings.", "It holds batch, accumulate, recompute"),
    ],
)
def test_a_wrong_key_names_the_nearest(assignment: str, message: str, hint: str, tmp_path: Path) -> None:
    error = fails(assignment, folder=tmp_path)
    assert error.message == message and error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("assignment", "rest"),
    [
        ("pretrain.steps=0", "is 0 (--set pretrain.steps), but must be a whole number, at least 1."),
        ("pretrain.steps=1.5", "is 1.5 (--set pretrain.steps), but must be a whole number, at least 1."),
        ("preprocess.fps=300", "is 300 (--set preprocess.fps), but must be a number, above 0 and at most 240."),
        ("preprocess.audio=yes", 'is "yes" (--set preprocess.audio), but must be true or false.'),
        ("preprocess.on_error=halt", 'is "halt" (--set preprocess.on_error), but must be one of skip, stop.'),
        ("machine.threads=x", 'is "x" (--set machine.threads), but must be a whole number, at least 1 or auto.'),
        ("workspace=", "is null (--set workspace), but must be text, not empty."),
        ("objective.modalities=[rgbb]", "must be a list, each one of rgb, grey, flow, audio, motion, at least one."),
        ("pretrain.clip.crop_area=[1]", "is [1] (--set pretrain.clip.crop_area), but must be a list of 2 values, each a number."),
        ("pretrain.steps.x=1", 'is {"x": 1} (--set pretrain.steps.x), but must be a whole number, at least 1.'),
    ],
)
def test_a_wrong_value_says_what_is_allowed(assignment: str, rest: str, tmp_path: Path) -> None:
    error = fails(assignment, folder=tmp_path)
    assert error.message.endswith(rest) and "\n" not in error.message


def test_a_rule_over_two_values_is_told_in_its_own_words(tmp_path: Path) -> None:
    error = fails("proxy.clip.crop_area=[1, 0.5]", folder=tmp_path)
    assert error.message.startswith("proxy.clip (--set proxy.clip.crop_area): crop_area must be two numbers")
    assert "flow raft needs the file of torchvision's weights" in fails("preprocess.flow=raft", folder=tmp_path).message
    assert "for flow raft alone, and flow is dis-fast" in fails("preprocess.flow_weights=w.pth", folder=tmp_path).message


def test_several_wrong_values_get_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "elo.yaml").write_text("pretrain:\n  steps: 0\n")
    lines = fails("seed=-1", folder=tmp_path).message.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("  seed is -1 (--set seed), but must be a whole number, at least 0 and below 9223372036854775808.")
    assert f"pretrain.steps is 0 ({tmp_path / 'elo.yaml'})" in lines[2]


@pytest.mark.parametrize("value", ["1\nseed: 5", "{", "*x", "!!python/name:os.system x", "a: b", "[" * 100])
def test_the_value_of_set_is_one_strict_yaml_value(value: str, tmp_path: Path) -> None:
    assert "--set workspace" in fails(f"workspace={value}", folder=tmp_path).message


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        resolve(None, tmp_path / "absent.yaml", (), None, tmp_path)
    (tmp_path / "elo.yaml").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        resolve(None, None, (), None, tmp_path)


def test_every_setting_has_a_key() -> None:
    keys = schema_keys()
    assert keys["pretrain.steps"].startswith("optimiser steps") and "pretrain.clip.frames" in keys and "pretrain" not in keys
    flat = dict(config._flatten(settings_dict(Settings.model_validate({}))))
    assert set(keys) == set(flat)


@given(steps=st.integers(1, 10**9), lr=st.floats(1e-9, 1e9), seed=st.integers(0, 2**63 - 1), workspace=st.text(min_size=1))
def test_settings_survive_their_own_yaml(steps: int, lr: float, seed: int, workspace: str) -> None:
    settings = Settings.model_validate({"seed": seed, "workspace": workspace, "pretrain": {"steps": steps, "lr": lr}})
    stored = load_yaml(dump_yaml(settings_dict(settings)), "settings")
    assert Settings.model_validate(stored) == settings
    assert config._build([config._Layer(stored, "stored")]) == settings


def test_a_method_says_what_nobody_else_does(tmp_path: Path) -> None:
    modist = resolve(None, None, ["method=modist"], None, tmp_path)
    assert modist.objective.modalities == ("rgb", "motion") and modist.objective.terms == ("*.contrast",)
    assert modist.pretrain.clip.crop_area == (0.3, 1.0) == modist.proxy.clip.crop_area
    look = modist.pretrain.clip.augment
    assert (look.brightness, look.contrast, look.saturation, look.hue, look.grey, look.blur) == (0.4, 0.4, 0.4, 0.1, 0.2, 0.5)
    own = modist.objective.contrast
    assert (own.temperature, own.queue, own.momentum, own.hidden, own.dimension) == (0.1, 65_536, 0.999, 2048, 128)
    plain = changes(resolve(None, None, (), None, tmp_path))
    assert plain == {} and resolve(None, None, ["method=elo"], None, tmp_path) == resolve(None, None, (), None, tmp_path)
    # Whatever is said anywhere goes before it.
    (tmp_path / "elo.yaml").write_text("pretrain: {clip: {crop_area: [0.9, 1.0], augment: {grey: 0.0}}}\n")
    mixed = resolve(None, None, ["method=contrastive", "objective.terms=[rgb.contrast]"], None, tmp_path)
    assert mixed.pretrain.clip.crop_area == (0.9, 1.0) and mixed.pretrain.clip.augment.grey == 0.0
    assert mixed.pretrain.clip.augment.blur == 0.5 and mixed.objective.terms == ("rgb.contrast",)
    assert mixed.objective.modalities == ("rgb", "grey", "flow", "audio"), "with its terms, or not at all"
    assert mixed.proxy.clip.crop_area == (0.3, 1.0)


@pytest.mark.parametrize("value", ["modis", "[modist]", "null", "{a: 1}"])
def test_a_method_that_is_none_is_refused(value: str, tmp_path: Path) -> None:
    error = fails(f"method={value}", folder=tmp_path)
    assert "method" in error.message


def test_the_presets_of_modist_hold_the_published_settings() -> None:
    for name in ("modist", "modist-small"):
        assert resolve(name, None, (), None, Path("/nowhere")).method == "modist"
        assert resolve(name, None, ["method=contrastive"], None, Path("/nowhere")).method == "contrastive"
    modist = resolve("modist", None, (), None, Path("/nowhere"))
    clip, own = modist.pretrain.clip, modist.objective.contrast
    assert (own.temperature, own.queue, own.momentum, own.hidden, own.dimension) == (0.1, 65_536, 0.999, 2048, 128)
    assert (clip.motion.frames, clip.motion.stride, clip.pair_seconds, clip.crop_area) == (16, 4, (0.5, 10.0), (0.3, 1.0))
    assert modist.preprocess.segment_seconds >= clip.pair_seconds[1] + clip.extent / modist.preprocess.fps - 2.2
