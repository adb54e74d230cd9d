from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.wire import merkle

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
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]


def test_the_empty_tree_hashes_nothing():
    """RFC 9162 §2.1.1."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(()) == merkle.tree_root([]) == bytes.fromhex(empty)


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference_tree(size):
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.tree_root(HASHES[:size]) == root
    assert merkle.root(merkle.append((), 0, LEAVES[:size])) == root


def test_inclusion_proofs_are_those_of_the_reference_tree():
    def proof(index, size):
        return [node.hex() for node in merkle.inclusion_proof(HASHES[:size], index)]

    assert proof(0, 1) == []
    assert proof(0, 8) == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert proof(5, 8) == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert proof(2, 3) == ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
    assert proof(1, 5) == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


def test_consistency_proofs_are_those_of_the_reference_tree():
    def proof(old, new):
        return [node.hex() for node in merkle.consistency_proof(HASHES[:new], old)]

    assert proof(1, 1) == []
    assert proof(1, 8) == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert proof(6, 8) == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert proof(2, 5) == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=40), st.data())
def test_a_tree_grown_in_pieces_is_the_whole_tree(leaves, data):
    cut = data.draw(st.integers(0, len(leaves)))
    frontier = merkle.append(merkle.append((), 0, leaves[:cut]), cut, leaves[cut:])
    assert len(frontier) == len(leaves).bit_count()
    assert merkle.root(frontier) == merkle.tree_root([merkle.leaf_hash(x) for x in leaves])


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33])
def test_every_proof_of_a_tree_checks_and_fits_no_other_place(size):
    hashes = [merkle.leaf_hash(bytes((n,))) for n in range(size)]
    root = merkle.tree_root(hashes)
    for index in range(size):
        proof = merkle.inclusion_proof(hashes, index)
        merkle.check_inclusion(hashes[index], index, size, proof, root)
        other = (index + 1) % size
        if other != index:
            with pytest.raises(ValueError, match="proof"):
                merkle.check_inclusion(hashes[index], other, size, proof, root)
        for wrong in (proof[:-1], [*proof, root]):
            if wrong != proof:
                with pytest.raises(ValueError, match="proof"):
                    merkle.check_inclusion(hashes[index], index, size, wrong, root)
    for old in range(size + 1):
        proof = merkle.consistency_proof(hashes, old)
        old_root = merkle.tree_root(hashes[:old])
        merkle.check_consistency(old, size, proof, old_root, root)
        with pytest.raises(ValueError, match=r"root|proof"):
            merkle.check_consistency(old, size, proof, merkle.leaf_hash(b"x"), root)
        if 0 < old < size:
            with pytest.raises(ValueError, match=r"root|proof"):
                merkle.check_consistency(old, size, proof, old_root, merkle.leaf_hash(b"x"))
            with pytest.raises(ValueError, match="proof"):
                merkle.check_consistency(old, size, proof[:-1], old_root, root)
            with pytest.raises(ValueError, match="proof"):
                merkle.check_consistency(old, size, [*proof, root], old_root, root)


def test_leaves_outside_of_the_tree_have_no_proof():
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_proof(HASHES, 8)
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.check_inclusion(HASHES[0], -1, 8, [], HASHES[0])
    with pytest.raises(ValueError, match="never had"):
        merkle.consistency_proof(HASHES, 9)
    with pytest.raises(ValueError, match="never had"):
        merkle.check_consistency(9, 8, [], HASHES[0], HASHES[0])
