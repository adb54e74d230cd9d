from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.wire import merkle
from tests import tree

# The reference tree of Certificate Transparency: leaves and root hashes of its eight sizes.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [tree.leaf_hash(leaf) for leaf in LEAVES]


def test_the_empty_tree_hashes_nothing():
    """RFC 9162 §2.1.1."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(()) == tree.root([]) == bytes.fromhex(empty)


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference_tree(size):
    root = bytes.fromhex(ROOTS[size - 1])
    assert tree.root(HASHES[:size]) == root
    assert merkle.root(merkle.append((), 0, LEAVES[:size])) == root


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=40), st.data())
def test_a_tree_grown_in_pieces_is_the_whole_tree(leaves, data):
    cut = data.draw(st.integers(0, len(leaves)))
    frontier = merkle.append(merkle.append((), 0, leaves[:cut]), cut, leaves[cut:])
    assert len(frontier) == len(leaves).bit_count()
    assert merkle.root(frontier) == tree.root([tree.leaf_hash(x) for x in leaves])
