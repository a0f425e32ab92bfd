"""The index of a collection against a plain list that does the same slowly."""

from hypothesis import given
from hypothesis import strategies as st

from humansync.simulator.collection import Collection

ACT = st.tuples(st.sampled_from(["append", "load", "replace", "remove"]), st.integers(-50, 50), st.integers(0, 30))


@given(st.lists(ACT, max_size=60), st.integers(-60, 60), st.integers(-60, 60))
def test_a_collection_is_a_sorted_list(acts: list[tuple[str, int, int]], since: int, before: int) -> None:
    collection, model = Collection(), dict[int, int]()
    for act, updated, choice in acts:
        if act == "append":
            model[collection.append(b"x", updated, 0, 0)] = updated
        elif act == "load":
            model[collection.load(b"x", updated, 0, 0)] = updated
        elif model:
            slot = sorted(model)[choice % len(model)]
            if act == "replace":
                collection.replace(slot, b"y", updated, 0)
                model[slot] = updated
            else:
                collection.remove(slot)
                del model[slot]
    first, last = collection.span(since, before)
    expected = sorted((updated, slot) for slot, updated in model.items() if since <= updated < before)
    assert (collection.slots(first, last) if first < last else []) == [slot for _, slot in expected]
    assert [collection.at(position) for position in range(first, last)] == [slot for _, slot in expected]
    assert len(collection) == len(model)
    assert [slot for slot, _ in collection.rows()] == sorted(model)
