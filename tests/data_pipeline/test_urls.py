"""Addresses refused by lists."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.blocklists import Urls
from data_pipeline.clean import urls


def lists(folder, **named):
    paths = {}
    for name, text in named.items():
        path = folder / f"{name}.txt"
        path.write_text(text)
        paths[name] = [str(path)]
    return Urls(**paths)


@pytest.mark.parametrize(
    ("url", "labels"),
    [
        ("http://example.com", 2), ("https://a.b.example.com/x?y#z", 2), ("HTTP://EXAMPLE.COM./", 2),
        ("http://user:pa@ss@example.com:8080/", 2), ("http://ex%61mple.com/", 2), ("//example.com/x", 2),
        ("example.com", 2), ("example.com:443/x", 2), ("http://www.müller.de/", 2), ("http://xn--mller-kva.de", 2),
        ("http://MÜLLER.de", 2), ("http://www.müller。de", 2), ("ftp://deep.listed.org", 3), ("http://10.1.2.3/", 4),
        ("http://[2001:db8::1]:80/", 1),
        ("http://example.com.evil.net", 0), ("http://notexample.com", 0), ("http://listed.org", 0), ("http://com/", 0),
        ("http://evil.net/example.com", 0), ("http://evil.net/?u=http://example.com", 0), ("http://example.com@evil.net", 0),
        ("http://evil.net#@example.com", 0), ("mailto:jo@exampl.com", 0), ("", 0), ("docs:os.path", 0),
    ],
)  # fmt: skip
def test_a_listed_domain_takes_its_subdomains_and_no_other(tmp_path, url, labels):
    text = "# list\nexample.com\n\nMÜLLER.de # comment\n*.deep.listed.org\n0.0.0.0 hosts.example\n10.1.2.3\n[2001:db8::1]\n"
    config = lists(tmp_path, domains=text)
    assert urls.refuse(url, config) == (("url_domain", float(labels)) if labels else None)
    assert urls.refuse("http://hosts.example/", config) == ("url_domain", 2.0)


def test_a_listed_address_takes_what_lies_below_it(tmp_path):
    config = lists(tmp_path, domains="http://www.host.com/Bad/\nhost.com/q?x=1\n")
    for bad in (
        "https://host.com/bad",
        "http://www.host.com/BAD/page.html?y",
        "host.com/bad?x",
        "http://host.com/q?x=1",
    ):
        assert urls.refuse(bad, config)[0] == "url_domain", bad
    for good in ("http://host.com/", "http://host.com/badly", "http://host.com/q", "http://sub.host.com/bad"):
        assert urls.refuse(good, config) is None, good


def test_opt_out_has_its_own_reason_and_comes_first(tmp_path):
    config = lists(tmp_path, domains="both.com\nbad.com\n", opt_out="both.com\nnews.org\n")
    assert urls.refuse("http://both.com/", config) == ("opt_out", 2.0)
    assert urls.refuse("http://www.news.org/a", config) == ("opt_out", 2.0)
    assert urls.refuse("http://bad.com/", config) == ("url_domain", 2.0)


def test_words_are_whole_and_substrings_are_not(tmp_path):
    config = lists(tmp_path, words="casino\nsex\n", substrings="p0rn\n")
    assert urls.refuse("http://a.com/Best-CASINO_online?sex=1", config) == ("url_word", 2.0)
    assert urls.refuse("http://a.com/c%61sino", config) == ("url_word", 1.0)
    assert urls.refuse("http://xp0rnx.com/", config) == ("url_word", 1.0)
    assert urls.refuse("http://essex.com/casinos", config) is None


def test_directories_and_gzip_are_read_as_lists_are_published(tmp_path):
    for category in ("adult", "ads"):
        (tmp_path / "lists" / category).mkdir(parents=True)
    (tmp_path / "lists" / "adult" / "domains").write_text("one.com\n")
    (tmp_path / "lists" / "adult" / "urls").write_text("two.com/x\n")
    (tmp_path / "lists" / "adult" / "usage").write_text("black\n")
    (tmp_path / "lists" / "ads" / "domains.gz").write_bytes(gzip.compress(b"three.com\n"))
    config = Urls(domains=[str(tmp_path / "lists")])
    assert [url for url in ("one.com", "two.com/x", "two.com", "three.com", "black") if urls.refuse(url, config)] == [
        "one.com", "two.com/x", "three.com",
    ]  # fmt: skip
    assert [path.rpartition("lists/")[2] for _, path in urls.files(config)] == [
        "ads/domains.gz",
        "adult/domains",
        "adult/urls",
    ]
    assert urls.problems(config) == []


def test_what_is_wrong_with_lists_is_told_with_its_line(tmp_path):
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one.com\n" * 1000)[:30])
    config = lists(tmp_path, domains="fine.com\nnot a domain\n/only/path\n")
    config = config.model_copy(update={"words": [str(tmp_path / "absent")], "opt_out": [str(tmp_path / "cut.gz")]})
    told = [str(problem) for problem in urls.problems(config)]
    assert len(told) == 4
    assert "not a domain" in told[0] and "domains.txt:2" in told[0]
    assert "domains.txt:3" in told[1] and "cut.gz" in told[2] and "absent" in told[3]


@given(st.one_of(st.text(st.characters(codec=None)), st.text("htp:/@.%[]?#\\éa1", max_size=40)))
def test_any_address_has_a_host_and_a_path_or_none(url):
    host, _ = urls.split(url)
    assert host == host.lower()
    urls.refuse(url, Urls())


def test_many_domains_take_eight_bytes_each(tmp_path):
    config = lists(tmp_path, domains="".join(f"site{n}.example\n" for n in range(50_000)))
    assert urls.refuse("http://www.site49999.example/", config) and not urls.refuse("http://site50000.example", config)
    assert urls._lists(tuple(config.domains), ())[0].domains.nbytes == 400_000
