"""A node that cannot start waits longer each time, and never gives up."""

from edge.start_history import LONGEST_WAIT_S, StartHistory


def failed(directory, times):
    for _ in range(times):
        StartHistory(directory).begin()
    return StartHistory(directory)


def test_the_first_starts_wait_for_nothing(tmp_path):
    assert [failed(tmp_path, 1).wait_s for _ in range(2)] == [0.0, 0.0]


def test_then_the_wait_doubles_up_to_five_minutes(tmp_path):
    failed(tmp_path, 2)
    waits = [failed(tmp_path, 1).wait_s for _ in range(10)]
    assert waits[:4] == [5.0, 10.0, 20.0, 40.0]
    assert waits[-1] == LONGEST_WAIT_S == 300.0


def test_a_good_start_forgets_the_bad_ones(tmp_path):
    history = failed(tmp_path, 9)
    history.succeed()
    assert (history.wait_s, StartHistory(tmp_path).wait_s) == (0.0, 0.0)


def test_nonsense_in_the_file_is_no_reason_to_wait(tmp_path):
    for content in (b"", b"many\n", b"\xff\xfe", b"-5"):
        (tmp_path / "failed-starts").write_bytes(content)
        assert StartHistory(tmp_path).wait_s == 0.0
    (tmp_path / "failed-starts").write_text("9" * 30)
    assert StartHistory(tmp_path).wait_s == LONGEST_WAIT_S


def test_a_folder_that_cannot_be_written_and_none_at_all(tmp_path):
    for directory in (tmp_path / "none", None):
        history = StartHistory(directory)
        history.begin()
        history.succeed()
        assert history.wait_s == 0.0
