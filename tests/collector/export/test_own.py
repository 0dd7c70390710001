import re

from prometheus_client.parser import text_string_to_metric_families

from collector.export.own import Own


def test_the_page_has_each_figure_once():
    """Names with our prefix and the right suffix, no `_created` companions, process figures."""
    own = Own()
    own.pushes.inc()
    own.refused.labels(code="unauthorised").inc()

    page = own.page().decode()

    families = list(text_string_to_metric_families(page))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert "thongsuot_ingest_pushes_total 1.0\n" in page
    assert 'thongsuot_ingest_refused_total{code="unauthorised"} 1.0\n' in page
    assert "process_resident_memory_bytes" in page
    assert "_created" not in page
    assert all(re.match(r"thongsuot_|process_", name) for name in names)


def test_two_collectors_in_one_process_do_not_share():
    """Tests and provinces side by side: each has a registry of its own."""
    one, other = Own(), Own()

    one.pushes.inc()

    assert "thongsuot_ingest_pushes_total 0.0\n" in other.page().decode()
