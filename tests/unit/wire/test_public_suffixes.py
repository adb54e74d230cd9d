"""Our reading of the public suffix list, held against the package's own."""

from pathlib import Path

import pytest
from publicsuffixlist import PSLFILE, PublicSuffixList

from mintmark.wire import identifiers


@pytest.fixture(scope="module")
def rules():
    lines = Path(PSLFILE).read_text("utf-8").splitlines()
    texts = [line.strip() for line in lines if line.strip() and not line.startswith("//")]
    return [text if text.isascii() else text.encode("idna").decode() for text in texts]


@pytest.mark.parametrize("below", ["", "a.", "b.a."])
def test_every_rule_means_what_the_package_reads_in_it(rules, below):
    package = PublicSuffixList(accept_unknown=False)
    names = {below + rule.removeprefix("!").removeprefix("*.") for rule in rules}
    assert len(names) > 9000
    assert not [
        name
        for name in names
        if identifiers._is_public_suffix(name) != (package.publicsuffix(name) == name)
    ]


@pytest.mark.parametrize("name", ["localhost", "internal", "web.example.internal", "1"])
def test_names_without_a_rule_are_no_public_suffixes(name):
    assert not identifiers._is_public_suffix(name)
