from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from configs import presets
from configs.errors import Problem, UserError
from configs.loader import ConfigError, Loaded, load, load_file
from configs.schema.tree import Config


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return name


def problems(name: str, *overrides: str) -> list[Problem]:
    with pytest.raises(UserError) as caught:
        load(name, overrides)
    return caught.value.problems


def only(name: str, *overrides: str) -> Problem:
    (problem,) = problems(name, *overrides)
    return problem


# --- values and their origins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in presets.names() if not name.startswith("cluster/")])
def test_every_preset_loads(name: str) -> None:
    loaded = load(name)
    assert loaded.config.sources or loaded.config.model


def test_the_demo_preset_describes_both_halves_of_the_road() -> None:
    config = load("gpt-demo").config
    assert config.model is not None
    assert [s.type for s in config.sources] == ["installed-docs"]
    assert config.tokenizer.vocab_size >= 8000
    assert config.layout.tp == 2


def test_a_bare_name_means_the_training_preset_and_a_folder_selects_another() -> None:
    assert load("gpt3-125m").config.train.global_batch == 256
    assert load("model/gpt3-125m").config.train.global_batch == Config().train.global_batch


def test_later_wins_and_maps_merge_and_lists_are_replaced() -> None:
    write("a.yaml", "train: {steps: 1, seed: 1}\nclean: {languages: [de, fr]}\n")
    write("b.yaml", "train: {steps: 2}\n")
    write("main.yaml", "include: [a.yaml, b.yaml]\ntrain:\n  micro_batch: 3\nclean: {languages: [en]}\n")
    loaded = load("main.yaml", ["train.seed=9"])
    train = loaded.config.train
    assert (train.steps, train.seed, train.micro_batch, loaded.config.clean.languages) == (2, 9, 3, ["en"])
    assert loaded.origins["train.steps"] == "b.yaml:1"
    assert loaded.origins["train.micro_batch"] == "main.yaml:3"
    assert loaded.origins["clean.languages"] == "main.yaml:4"
    assert loaded.origins["train.seed"] == "command line"
    assert loaded.origins["train.global_batch"] == "default"


def test_includes_are_relative_to_the_file_and_may_name_presets() -> None:
    write("shared/size.yaml", "model: {num_layers: 2}\n")
    write("runs/main.yaml", "include: [model/gpt-demo, ../shared/size.yaml]\n")
    model = load("runs/main.yaml").config.model
    assert model is not None
    assert (model.num_layers, model.hidden_size) == (2, 256)


def test_where_names_file_and_line_or_the_command_line_or_the_default() -> None:
    write("a.yaml", "train:\n  steps: 1\nsources:\n- {name: x, type: jsonl, paths: [a]}\n")
    loaded = load("a.yaml", ["train.seed=3"])
    assert loaded.where("train.steps") == "a.yaml:2 train.steps"
    assert loaded.where("train.seed") == "command line: train.seed=3"
    assert loaded.where("sources.0.paths") == "a.yaml:4 sources.0.paths"
    assert loaded.where("layout.tp") == "default layout.tp"
    assert loaded.where("train.micro_batch") == "default train.micro_batch"
    assert loaded.where("train") == "a.yaml:1 train"


def test_every_leaf_has_an_origin() -> None:
    loaded = load("gpt-demo", ["data.blend={a: 1, b: 2}"])

    def leaves(value: object, key: str = "") -> list[str]:
        if isinstance(value, dict) and value:
            return [leaf for k, v in value.items() for leaf in leaves(v, f"{key}.{k}".lstrip("."))]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return [leaf for i, v in enumerate(value) for leaf in leaves(v, f"{key}.{i}")]
        return [key]

    assert set(loaded.origins) == set(leaves(loaded.config.model_dump()))


def test_overrides_are_yaml_and_reach_into_lists() -> None:
    write("a.yaml", "sources: [{name: x, type: jsonl, paths: [a, b]}]\ndata: {blend: {x: 1, y: 2}}\n")
    config = load(
        "a.yaml",
        [
            "sources.0.paths=[c, 'd e']",
            "sources.1={name: y, type: warc, paths: [f]}",
            "optimizer.lr=1e-3",
            "data.unit_bytes=64 kB",
            "run.name=",
            "data.blend={y: 1}",
            "clean.repair=false",
            "model.num_layers=1",
            "model.hidden_size=4",
            "model.num_heads=2",
        ],
    ).config
    assert [s.paths for s in config.sources] == [["c", "d e"], ["f"]]
    assert (config.optimizer.lr, config.data.unit_bytes, config.run.name) == (1e-3, 64_000, "")
    assert (config.data.blend, config.clean.repair) == ({"y": 1.0}, False)
    assert config.model is not None
    assert config.model.hidden_size == 4


def test_scalars_follow_yaml_1_2() -> None:
    write("a.yaml", "clean: {languages: [no, on, de]}\noptimizer: {lr: 3e-4, eps: 1E-8}\nrun: {name: 2024-01-01}\n")
    config = load("a.yaml").config
    assert config.clean.languages == ["no", "on", "de"]
    assert (config.optimizer.lr, config.optimizer.eps) == (3e-4, 1e-8)
    assert config.run.name == "2024-01-01"


def test_anchors_and_merge_keys_work() -> None:
    write("a.yaml", "sources:\n- &a {name: x, type: jsonl, paths: [p]}\n- {<<: *a, name: y}\n")
    assert [(s.name, s.paths) for s in load("a.yaml").config.sources] == [("x", ["p"]), ("y", ["p"])]


# --- the resolved tree ----------------------------------------------------------------------------------------------


def test_the_resolved_tree_reads_back_as_the_same_configuration() -> None:
    loaded = load("gpt-demo", ["run.name='1e-3'", "clean.languages=[no, 'true', '~']", "data.blend={x: 1e-9}"])
    path = Path("run.config")
    path.write_text(loaded.to_yaml())
    again = load_file(path)
    assert again.config == loaded.config
    assert again.to_yaml() == loaded.to_yaml()


@example("\xa0", 1.0, [])
@given(st.text(), st.floats(min_value=0, max_value=1e300, exclude_min=True), st.lists(st.text(), max_size=3))
def test_any_text_and_number_survives_the_round_trip(text: str, number: float, words: list[str]) -> None:
    from configs.source import Parsed, dump, dump_line

    value = {"a": text, "b": number, "c": words, "d": {"e": None, "f": True, "g": -3}}
    assert Parsed(dump(value), "x").value == value
    assert Parsed("\n".join(dump_line(k, v) for k, v in value.items()), "x").value == value


def test_values_of_the_environment_stay_out_of_the_resolved_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_TOKEN", "hunter2")
    write("a.yaml", 'tracking: {uri: "https://u:${env:TRACKER_TOKEN}@host"}\n')
    loaded = load("a.yaml", ["run.name=${env:TRACKER_TOKEN}"])
    assert loaded.config.tracking.uri == "https://u:hunter2@host"
    assert loaded.config.run.name == "hunter2"
    assert "hunter2" not in loaded.to_yaml() + str(loaded.to_dict()) + str(loaded.origins)
    assert loaded.to_dict()["tracking"]["uri"] == "https://u:${env:TRACKER_TOKEN}@host"
    write("again.yaml", loaded.to_yaml())
    assert load("again.yaml").config == loaded.config


def test_values_of_the_environment_stay_out_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a'b\nhunter2"
    monkeypatch.setenv("SECRET", secret)
    write(
        "a.yaml",
        "train: {steps: '${env:SECRET}', precision: '${env:SECRET}'}\nclean: {languages: '${env:SECRET}'}\n"
        "sources: [{name: '${env:SECRET}', type: jsonl}, {name: ok, type: jsonl, url_field: '${env:SECRET}'}]\n"
        "data: {unit_bytes: '${env:SECRET}'}\n",
    )
    text = "\n".join(map(str, problems("a.yaml")))
    assert "train.steps" in text and "data.unit_bytes" in text
    assert "hunter2" not in text


def test_an_unset_variable_and_an_unknown_reference_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    write("a.yaml", "run: {name: '${env:NOT_THERE}'}\ntracking:\n  uri: ${oc.env:X}\n")
    unset, unknown = problems("a.yaml")
    assert (unset.what, unset.where) == ("the environment has no variable NOT_THERE", "a.yaml:1 run.name")
    assert (unknown.where, "${env:NAME}" in unknown.hint) == ("a.yaml:3 tracking.uri", True)


def test_an_unset_variable_that_is_overridden_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    write("a.yaml", "run: {name: '${env:NOT_THERE}'}\n")
    assert load("a.yaml", ["run.name=x"]).config.run.name == "x"


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_three_mistakes_are_told_in_one_message_with_their_lines() -> None:
    write("a.yaml", "train:\n  steps: many\n  micro_bacth: 4\nlayout:\n  zero: 7\n")
    found = {p.where: p for p in problems("a.yaml", "lr=1")}
    assert found["a.yaml:2 train.steps"].what == "`train.steps` must be a whole number, found the text 'many'"
    assert found["a.yaml:3 train.micro_bacth"].hint == "did you mean `train.micro_batch`?"
    assert found["a.yaml:5 layout.zero"].what == "`layout.zero` must be at most 3, found 7"
    assert found["command line: lr=1"].hint == "did you mean `optimizer.lr`?"
    assert len(found) == 4


def test_mistakes_in_two_files_are_told_together() -> None:
    write("a.yaml", "train: {step: 1}\n")
    write("main.yaml", "include: [a.yaml, absent.yaml]\nmodle: {}\n")
    assert {p.where for p in problems("main.yaml")} == {
        "a.yaml:1 train.step",
        "main.yaml:1 include",
        "main.yaml:2 modle",
    }


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("model: {activation: gellu}", "must be 'gelu' or 'swiglu', found the text 'gellu'", "did you mean gelu?"),
        ("train: {steps: 1.0}", "must be a whole number, found 1.0", "write 1"),
        ("train: {steps: '7'}", "must be a whole number, found the text '7'", "write 7 without quotes"),
        ("train: {steps: true}", "must be a whole number, found true", ""),
        ("train: {steps: null}", "must be a whole number, found nothing", ""),
        ("train: [1]", "must be a section with keys of its own, found a list of 1", ""),
        ("train: 3", "must be a section with keys of its own, found 3", ""),
        ("optimizer: {lr: .nan}", "must be a finite number, found nan", ""),
        ("optimizer: {lr: 0}", "must be more than 0", "peak learning rate"),
        ("clean: {repair: yes}", "must be true or false, found the text 'yes'", "write true"),
        ("clean: {languages: en}", "must be a list, found the text 'en'", "write [en]"),
        ("data: {unit_bytes: 5 parsec}", "'5 parsec' is not a size", ""),
        ("data: {blend: {x: 0}}", "weights must be positive", ""),
        ("sources: [{type: jsonl, paths: [a]}]", "is missing", "name of the stream"),
        ("sources: [{name: x, type: jsonl}]", "needs `paths`", ""),
        ("sources: [{name: x, type: wark, paths: [a]}]", "found the text 'wark'", "did you mean warc?"),
    ],
)
def test_a_value_that_does_not_fit_says_what_was_found_and_what_is_expected(line: str, what: str, hint: str) -> None:
    write("a.yaml", f"run: {{name: x}}\n{line}\n")
    found = next(p for p in problems("a.yaml") if what in p.what)
    assert found.where.startswith("a.yaml:2 ")
    assert hint in found.hint


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("train: {steps: 1\n", "not YAML", "a.yaml:2"),
        ("train:\n\tsteps: 1\n", "not YAML", "a.yaml:2"),
        ("- 1\n", "does not hold a map of sections", "a.yaml:1"),
        ("", "is empty", "a.yaml"),
        ("# nothing\n", "is empty", "a.yaml"),
        ("train:\n  steps: 1\n  seed: 2\n  steps: 3\n", "key `train.steps` is given twice", "a.yaml:4 train.steps"),
        ("train: {steps: 1}\ntrain: {seed: 1}\n", "key `train` is given twice", "a.yaml:2 train"),
        ("a: &a [*a]\n", "an alias that contains itself", "a.yaml:1 a.0"),
        ("1: 2\n", "key 1 is not a name", "a.yaml:1"),
        ("run: !!python/object:os.system {}\n", "not YAML without code", "a.yaml:1 run"),
        ("run: !!python/name:os.system ''\n", "not YAML", "a.yaml:1"),
        ("run: !shout x\n", "not YAML", "a.yaml:1"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_told_with_its_line(text: str, what: str, where: str) -> None:
    write("a.yaml", text)
    found = problems("a.yaml")[0]
    assert what in found.what
    assert found.where == where


def test_a_file_that_is_not_text_is_told() -> None:
    Path("a.yaml").write_bytes(b"train: {}\n\xff\xfe\n")
    assert "a.yaml is not UTF-8 text: byte 10 is 0xff" in only("a.yaml").what


def test_a_name_that_is_no_preset_gets_the_nearest() -> None:
    assert "gpt-demo" in only("gpt-dmeo").hint
    write("configs/mine.yaml", "train: {}\n")
    assert "mine.yaml" in only("configs/mien.yaml").hint
    assert "is a directory" in only("configs").what


def test_an_include_that_comes_back_to_itself_is_told() -> None:
    write("a.yaml", "include: b.yaml\n")
    write("b.yaml", "include: [a.yaml]\n")
    assert only("a.yaml").where == "b.yaml:1 include"


@pytest.mark.parametrize(
    ("override", "what", "hint"),
    [
        ("train.steps", "is not an override", "key=value"),
        ("train.steps=[", "not YAML", "quote"),
        ("tran.steps=1", "unknown key `tran.steps`", "`train.steps`"),
        ("train.steps.x=1", "`train.steps` holds no keys", "set `train.steps` itself"),
        ("sources.name=x", "`sources` is a list", "sources.0"),
        ("sources.1.name=x", "`sources` has no entry 1: it is empty", "0"),
    ],
)
def test_an_override_that_cannot_be_applied_is_told(override: str, what: str, hint: str) -> None:
    write("a.yaml", "train: {steps: 1}\n")
    found = only("a.yaml", override)
    assert what in found.what
    assert found.where == f"command line: {override}"
    assert hint in found.hint


def test_a_mistake_leaves_the_other_half_of_the_road_to_be_checked() -> None:
    write("a.yaml", "train: {steps: x}\nclean: {min_language_score: 0.25}\n")
    with pytest.raises(ConfigError) as caught:
        load("a.yaml")
    error = caught.value
    assert error.sections_sound({"clean", "sources"})
    assert not error.sections_sound({"train"})
    assert isinstance(error.partial, Loaded)
    assert error.partial.config.clean.min_language_score == 0.25
    with pytest.raises(ConfigError) as caught:
        load("a.yaml", ["lr=1"])  # could be meant for any section
    assert not caught.value.sections_sound({"clean"})
