"""Personal data and secrets: what is found, what is not, and what takes its place."""

import gzip
import json
import re
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from configs.schema.private import Pii, PiiKinds
from data_pipeline.clean import accounts, contacts, phones, secrets
from data_pipeline.clean.pii import PLACEHOLDERS, find, masked, treat
from tests.data_pipeline.steps import count

PII = Pii(enabled=True)
# Fakes, put together here so that no scanner of repositories takes them for keys of someone.
SLACK = "xoxb-" + "123456789012-abcdefGHIJKLmnop"
STRIPE = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
GITHUB = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GOOGLE = "AIza" + "SyA1234567890abcdefghijklmnopqrstuv"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
BLOCK = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEowIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE " + "KEY-----"

FOUND = [
    ("email", "mail [john.doe+x@example.co.uk], please"),
    ("email", "'[a@b.com]' <[c_d@sub.example.org]>"),
    ("email", "联系[zhang@qq.com]请"),
    ("email", "[info@müller.de] mailto:[Jo@EXAMPLE.COM]."),
    ("email", "[andrea@univ-example.fr]Plus"),
    ("ip", "from [86.231.85.193] to [8.8.8.80]."),
    ("ip", "http://[93.184.216.34]:8080/x, IP:[93.184.216.34]"),
    ("ip", "host [2a00:1450:4001:81b::200e] and [2606:4700:4700:1111:2222:3333:4444:5555]"),
    ("phone", "[+49 (0)30 1234567] [+1-743-438-6774x62406] [+41 44 751 77 00]"),
    ("phone", "or [(212) 555-0187] or [555-123-4567] or [1.800.882.1166]"),
    ("phone", "[01 23 45 67 89], [02.51.40.38.62]"),
    ("phone", "[020 7946 0958] [03-1234-5678] [090-1234-5678] [010-1234-5678]"),
    ("phone", "[0171/1234567], [8-800-555-35-35], [138 1234 5678]"),
    ("phone", "电话：[13812345678] Tel: [785 8949]"),
    ("phone", "call me at [455 6186] or [0033 1 23 45 67 89]"),
    ("iban", "pay [GB29 NWBK 6016 1331 9268 19] or [DE89370400440532013000] now"),
    ("iban", "[gb29nwbk60161331926819], [NO93 8601 1117 947]"),
    ("credit_card", "[4111 1111 1111 1111], [5500-0000-0000-0004], [378282246310005] [3782 822463 10005]"),
    ("secret", f"key {AWS.join('[]')}, {GITHUB.join('[]')}; {SLACK.join('[]')} {STRIPE.join('[]')}"),
    ("secret", f"?key={GOOGLE.join('[]')}&x Bearer {JWT.join('[]')}"),
    ("secret", f"my key:\n{BLOCK.join('[]')}\nend"),
    ("secret", "https://bob:[hunter22]@example/ password = '[Summer2019!x]'"),
    ("secret", 'aws_secret_access_key=[wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY] API_KEY: "[9f8a7b6c5d4e3f2a1b0c]"'),
]
ABSENT = [
    "image@2x.png, react@next.js, medium.com/@john.smith, foo@bar, a@b, @home, user@localhost",
    "10.0.0.1 192.168.1.1 127.0.0.1 169.254.0.1 224.0.0.1 203.0.113.7 1.2.3.4 300.1.22.33 01.22.33.44",
    "version 12.34.56.78, Chrome/74.0.37.131, v10.11.12.13, section 10.11.12.13, 1.22.33.44.55",
    "::1 fe80::1 2001:db8::1 std::vector 12:30:45 fd00::1234 ab:cd:ef:01:23:45 d::",
    "2012-2014, 1999 2000 2001 2002, 01/02/2003, 2019-11-22, 12.000.000, 1,234,567 and 3.1415926535",
    "ISBN 978-3-16-148410-0, 9780061994937 0061994936 9780061994951, order 0012345678, SSN 078-05-1120",
    "$6,365.00 Catalog No. 02-080-015 04438-87110, 01 02 03 04 05 06 07 08 09 10",
    "4111 1111 1111 1112, 1234 5678 9012 3456, 0000 0000 0000 0000, GB29NWBK60161331926818, XX82123456789012",
    "Password: required. token: none. secret=changeme api_key = YOUR_API_KEY_HERE, password=********",
    "Math. 32 (1999) 7779-7789, tel 1.750.000, doi:10.1002/1097-0037(200010, seed 6581432544381372042",
    "token_stream = antlr4.CommonTokenStream, https://user:<password>@example.com/",
    "ghp_short AKIA1234 eyJhbGciOi sk_live_ -----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
    "https://example.com:8080/a@b https://example.com/?q=1:2",
]


@pytest.mark.parametrize(("kind", "marked"), FOUND)
def test_each_kind_is_found_exactly(kind, marked):
    text = re.sub(r"[\[\]]", "", marked)
    expected = re.findall(r"\[(.*?)\]", marked, re.DOTALL)
    spans = find(text, PiiKinds())
    assert [text[span.start : span.end] for span in spans] == expected
    assert {span.kind for span in spans} == {kind}
    assert masked(text) == re.sub(r"\[.*?\]", PLACEHOLDERS[kind], marked, flags=re.DOTALL)


@pytest.mark.parametrize("text", ABSENT)
def test_what_only_looks_like_it_stays(text):
    assert treat(text, PII) == (text, {}, [], "")


def test_each_kind_has_its_own_action():
    text = "Write to jo@example.com from 86.231.85.193, card 4111 1111 1111 1111."
    treated = treat(text, Pii(enabled=True, kinds=PiiKinds(ip="keep")))
    assert treated.text == "Write to <EMAIL> from 86.231.85.193, card <CREDIT_CARD>."
    assert treated.counts == {"email": 1, "ip": 1, "credit_card": 1}
    assert [text[span.start : span.end] for span in treated.spans] == [
        "jo@example.com", "86.231.85.193", "4111 1111 1111 1111",
    ]  # fmt: skip
    assert treated.drop == ""
    assert treat(text, Pii(enabled=True, kinds=PiiKinds(email="drop", ip="drop"))).drop == "email"
    assert treat("nothing here", Pii(enabled=True, kinds=PiiKinds(email="drop"))).drop == ""


def test_overlapping_kinds_become_one_span_of_the_stronger():
    text = "password=Jo99@example.com, "
    [span] = find(text, PiiKinds())
    assert (text[span.start : span.end], span.kind) == ("Jo99@example.com", "secret")
    assert treat(text, Pii(enabled=True, kinds=PiiKinds(secret="keep"))).text == "password=<EMAIL>, "
    assert treat(text, Pii(enabled=True, kinds=PiiKinds(email="drop"))).drop == "email"


def test_a_cut_leaves_no_half_of_anything():
    whole = f"{GITHUB} and {JWT} or john.doe@example.com, 4111 1111 1111 1111"
    for characters in range(len(whole) + 3):
        cut = masked(whole + " x" * 9000, characters)
        for part in ("ghp_", "eyJ", "dozj", "john", "example", "411"):
            assert part not in cut
    assert masked("plain text", 5) == "plain"


def test_placeholders_are_not_found_again():
    for words in ("{}", "call {} or {}", "password={} token: {}", "a{}b{}c", "{}{}{}", "1{}2 3{}4", "@{}@{}.com"):
        for placeholder in PLACEHOLDERS.values():
            text = words.replace("{}", placeholder)
            assert find(text, PiiKinds()) == []


def test_what_a_masked_number_hid_is_masked_too():
    # Only the first is announced while the others stand between the word and them.
    text = "tel 7858949 01 23 45 67 89 02 34 56 78 90"
    assert masked(masked(text)) == masked(text)


PIECES = st.sampled_from(
    [re.sub(r"[\[\]]", "", marked) for _, marked in FOUND] + ABSENT + list(PLACEHOLDERS.values())
    + ["tel ", "call ", " office", "@", ".", "-", " ", "1", "23", "4567", "+", "(", ")", ":", "=", "password", "\n", "é"]
)  # fmt: skip
ANY_TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=200),
    st.text("0123456789 .-+()/:@=xA", max_size=120),
    st.lists(PIECES, max_size=6).map("".join),
)


@given(ANY_TEXT)
@example("tel 1234567 1234567 1234567 1234567 1234567 1234567")
def test_masking_any_text_leaves_nothing_to_mask(text):
    treated = treat(text, PII)
    assert treat(treated.text, PII).text == treated.text == masked(text)


@given(ANY_TEXT)
def test_spans_lie_in_order_inside_the_text_and_lead_from_it_to_the_masked_one(text):
    treated = treat(text, PII)
    place, pieces = 0, []
    for span in treated.spans:
        assert place <= span.start < span.end <= len(text)
        pieces += [text[place : span.start], PLACEHOLDERS[span.kind]]
        place = span.end
    assert "".join([*pieces, text[place:]]) == treated.text
    assert treated.counts == Counter(span.kind for span in treated.spans)


def test_no_pattern_reads_without_bound():
    # A pattern of bounded width, tried once at each place, is linear in the length of the text.
    compiled = [value for module in (accounts, contacts, phones, secrets) for value in vars(module).values()]
    compiled = [value for value in compiled if isinstance(value, re.Pattern)]
    compiled += list(secrets._search()[2].values())
    assert len(compiled) > 40
    for pattern in compiled:
        widest = re._parser.parse(pattern.pattern, pattern.flags).getwidth()[1]
        assert widest <= 20_000, pattern.pattern


@pytest.mark.parametrize(
    "piece",
    ["a@", "@", "a@b.", "1", "1 ", "1.", "1-", "+1", "(1) ", ":", "::", "a:", "1:", "2:", "password=", "token", "eyJ",
     "eyJa.", "-----BEGIN RSA PRIVATE KEY-----", "://a:", "4111 ", "DE89", "tel 1234567 ", "a@b.com ", "8.8.8.80 "],
)  # fmt: skip
def test_ten_times_the_text_is_ten_times_the_work(piece):
    find(piece, PiiKinds())
    assert count(find, piece * 5000, PiiKinds()) <= 13 * count(find, piece * 500, PiiKinds()) + 1000


KINDS = {
    "PHONE_NUMBER": "phone", "CREDIT_CARD": "credit_card", "IBAN_CODE": "iban", "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
}  # fmt: skip
AT_LEAST = {"phone": 0.93, "credit_card": 1.0, "iban": 1.0, "email": 1.0, "ip": 0.7}
"""Recall. Half of the telephone numbers' sentences were looked at while the rules were written. Half of the addresses
are random, and those that no network holds (IPv6 outside 2000::/3, 10.0.0.0/8) are rightly left."""


def test_recall_and_precision_on_labelled_sentences(corpora):
    found, labelled, wrong = Counter(), Counter(), Counter()
    data = corpora / "pii" / "presidio" / "tests" / "data"
    for name in ("generated_large.json.gz", "generated_small.json.gz"):
        for sentence in json.loads(gzip.decompress((data / name).read_bytes())):
            gold = [
                (span["start_position"], span["end_position"], KINDS[span["entity_type"]])
                for span in sentence["spans"]
                if span["entity_type"] in KINDS
            ]
            spans = find(sentence["full_text"], PiiKinds())
            for start, end, kind in gold:
                labelled[kind] += 1
                found[kind] += any(s.kind == kind and s.start <= start and end <= s.end for s in spans)
            for span in spans:
                wrong[span.kind] += not any(
                    kind == span.kind and span.start < end and start < span.end for start, end, kind in gold
                )
    assert labelled["phone"] > 100 and labelled["credit_card"] > 100
    assert {kind: found[kind] / labelled[kind] >= low for kind, low in AT_LEAST.items()} == dict.fromkeys(
        AT_LEAST, True
    )
    assert sum(wrong.values()) == 0
