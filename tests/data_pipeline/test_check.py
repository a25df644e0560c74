"""Problems of a data configuration are found before anything starts, all of them, each with its place."""

import os
import shutil

import pytest

from configs.loader import load_file
from data_pipeline.check import problems


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text('{"text": "a"}\n')

    def run(text):
        path = tmp_path / "data.yaml"
        path.write_text(text)
        return problems(load_file(path))

    return run


def test_a_sound_configuration_has_no_problems(check):
    assert check("sources: [{name: a, type: jsonl, paths: [raw]}]\n") == []
    assert check("sources: [{name: a, type: installed-docs}]\n") == []


def test_no_sources_are_a_problem(check):
    [problem] = check("data: {dir: out}\n")
    assert "no sources" in problem.what and "installed-docs" in problem.hint


def test_all_problems_come_at_once_with_their_places(check):
    found = check(
        "sources:\n"
        "  - {name: a, type: jsonl, paths: [raw/b.jsonl]}\n"
        "  - {name: a, type: warc, paths: ['raw/*.warc']}\n"
        "split: {validation: 0.5, test: 0.5}\n"
        "data: {dir: raw/a.jsonl}\n"
    )
    assert [problem.what.split(":")[0] for problem in found] == [
        "two sources are named 'a'",
        "no such file or directory",
        "the glob matches no file",
        "split.validation + split.test is 1",
        "data.dir cannot be made",
    ]
    assert [problem.where.split("data.yaml:")[1].split()[0] for problem in found] == ["3", "2", "3", "4", "5"]
    assert "did you mean raw/a.jsonl?" in found[1].hint


def test_inputs_without_a_byte_are_a_problem(check, tmp_path):
    (tmp_path / "raw" / "a.jsonl").write_text("")
    [problem] = check("sources: [{name: a, type: jsonl, paths: [raw]}]\n")
    assert problem.what == "all inputs are empty files"


def test_a_corpus_inside_its_own_inputs_is_refused(check):
    [problem] = check("sources: [{name: a, type: jsonl, paths: [raw]}]\ndata: {dir: raw/corpus}\n")
    assert "lies inside the inputs of source 'a'" in problem.what


def test_too_little_room_is_told_in_advance(check, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=13))
    [problem] = check("sources: [{name: a, type: jsonl, paths: [raw]}]\n")
    assert problem.what.startswith("about 14 B are needed, 13 B are free in ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_a_problem(check, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    [problem] = check("sources: [{name: a, type: jsonl, paths: [raw]}]\ndata: {dir: closed/out}\n")
    assert "no permission" in problem.what


def test_the_check_imports_no_torch_and_reads_no_library_of_the_stages(tmp_path):
    import subprocess
    import sys

    (tmp_path / "data.yaml").write_text("sources: [{name: a, type: installed-docs, max_bytes: 1MB}]\n")
    code = (
        "import sys; from configs.loader import load_file; from data_pipeline.check import problems\n"
        "assert problems(load_file('data.yaml')) == []\n"
        "heavy = {'torch', 'resiliparse', 'ftfy', 'fasttext', 'sentencepiece', 'mlflow', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
