"""Room for everybody: how much one visitor, one network and all together may have going on."""

import pytest

from manyview.demo.places import Guest, Places


def test_each_has_a_few_and_gives_them_back() -> None:
    places = Places(each=2)
    with places.taken(Guest("a")), places.taken(Guest("a")):
        with pytest.raises(ValueError, match="2 pieces of work waiting or running already"), places.taken(Guest("a")):
            pass
        with places.taken(Guest("b", "other")):
            pass
    with pytest.raises(KeyError), places.taken(Guest("a")):
        raise KeyError
    with places.taken(Guest("a")), places.taken(Guest("a")):
        pass


def test_a_network_leaves_room_for_those_with_an_open_page() -> None:
    places = Places(each=9, address=1, address_open=2, most=9)
    with places.taken(Guest("a", "n")):
        with pytest.raises(ValueError, match="of your network"), places.taken(Guest("b", "n")):
            pass
        with (
            places.taken(Guest("b", "m")),
            places.taken(Guest("c", "n", is_open=True)),
            pytest.raises(ValueError, match="of your network"),
            places.taken(Guest("d", "n", is_open=True)),
        ):
            pass


def test_all_together() -> None:
    places = Places(most=1)
    with (
        places.taken(Guest("a", "n")),
        pytest.raises(ValueError, match="1 pieces of work are waiting already"),
        places.taken(Guest("b", "m")),
    ):
        pass
