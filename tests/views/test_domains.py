from dataclasses import replace
from io import BytesIO
from itertools import combinations

import pytest

from nooks_lab.views import domains
from nooks_lab.views.domains import ObjectShot


def test_natively_the_kernel_holds_every_module(native):
    graph = domains.graph(native)
    assert set(graph.edges(data="kind")) == {("kernel", "module e1000", "holds")}


def test_a_copied_object_has_two_versions_with_an_edge_between_them(isolated):
    graph = domains.graph(isolated)
    assert graph.edges["net_device c0001000", "net_device c0002000"]["kind"] == "copy"
    assert graph.edges["kernel", "net_device c0001000"]["kind"] == "owns"
    assert graph.edges["domain 1", "net_device c0002000"]["kind"] == "owns"


def test_an_object_that_is_not_copied_has_one_version(isolated):
    graph = domains.graph(isolated)
    assert graph.nodes["irqaction c0005000"]["kind"] == "shared"
    assert graph.edges["domain 1", "irqaction c0005000"]["kind"] == "uses"


def test_what_only_the_extension_has_is_not_the_kernels(isolated):
    graph = domains.graph(isolated)
    assert list(graph.predecessors("heap block c0002800")) == ["domain 1"]


@pytest.mark.parametrize("which", ["native", "isolated"])
def test_no_label_covers_another(which, request):
    figure = domains.draw(request.getfixturevalue(which))
    figure.savefig(BytesIO(), format="png")
    figure.draw_without_rendering()
    texts = [text for part in figure.subfigs for ax in part.axes for text in [*ax.texts, ax.title]]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text().strip()]
    width, height = figure.bbox.width, figure.bbox.height
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name
    # A table's name ends in an empty line that keeps room for the count below it.
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not first.overlaps(second) or one.endswith("\n") or other.endswith("\n"), (one, other)


def test_a_picture_is_a_pure_function_of_its_snapshot(isolated):
    first, second = BytesIO(), BytesIO()
    domains.draw(isolated).savefig(first, format="png")
    domains.draw(isolated).savefig(second, format="png")
    assert first.getvalue() == second.getvalue()


def test_the_list_of_writable_pages_stands_beside_the_shared_objects(isolated):
    (ax,) = domains.draw_ownership(isolated).axes
    listed = next(text for text in ax.texts if text.get_text().startswith("writable pages"))
    shared = next(text for text in ax.texts if text.get_text() == "irqaction")
    assert abs(listed.get_position()[1] - shared.get_position()[1]) < 0.5
    assert listed.get_position()[0] > shared.get_position()[0]


def test_many_shared_objects_need_no_more_room_for_the_list(isolated):
    (domain,) = isolated.domains
    many = tuple(ObjectShot(f"kind {number}", 0xC0006000 + number, 0, "explicit") for number in range(8))
    listed = replace(isolated, domains=(replace(domain, objects=many),))
    bare = replace(isolated, domains=(replace(domain, objects=many, writable={}),))
    assert domains.draw_ownership(listed).get_figheight() == domains.draw_ownership(bare).get_figheight()
