import stat
from http import HTTPStatus

import pytest

from collector.ingest.access import Access, AccessError
from collector.ingest.refused import Refused

NOW = 1_751_342_400.0


@pytest.fixture
def access(tmp_path):
    """Return the tokens as a running collector holds them."""
    opened = Access(tmp_path / "access.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def elsewhere(tmp_path, access):
    """Return the same file as the command line opens it."""
    opened = Access(tmp_path / "access.sqlite")
    yield opened
    opened.close()


def refusal(access: Access, header: str | None, now: float = NOW) -> tuple[int, str, str]:
    """Return how a header is refused."""
    with pytest.raises(Refused) as caught:
        access.verify(header, now)
    return caught.value.status, caught.value.code, caught.value.sentence


def test_a_token_opens_the_door_for_its_agent(access):
    """The token's text names the agent it is bound to, even one with dots in its id."""
    token = access.add("04792-ttpv.2", NOW)
    assert token.startswith("ts1.04792-ttpv.2.")
    assert access.verify(f"Bearer {token}", NOW) == "04792-ttpv.2"
    assert access.verify(f"bearer {token}", NOW) == "04792-ttpv.2"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "Bearer ts1.04792",
        "Bearer ts2.04792.x",
        "ts1.04792.x",
    ],
)
def test_what_is_no_token_is_refused_with_what_was_expected(access, header):
    """A header that is no token of ours is 401, and says what one looks like."""
    assert refusal(access, header) == (
        HTTPStatus.UNAUTHORIZED,
        "unauthorised",
        "Authorization: expected 'Bearer ts1.<agent>.<secret>', the agent's token",
    )


def test_a_wrong_secret_and_an_unknown_agent_are_told_alike(access):
    """Who guesses learns nothing about which agents exist."""
    token = access.add("04792", NOW)
    assert refusal(access, f"Bearer {token}x") == (
        HTTPStatus.UNAUTHORIZED,
        "unauthorised",
        "no such token for agent '04792'",
    )
    assert refusal(access, "Bearer ts1.04793.secret") == (
        HTTPStatus.UNAUTHORIZED,
        "unauthorised",
        "no such token for agent '04793'",
    )


def test_a_token_is_no_other_agents(access):
    """The agent's id is hashed along: the secret under another name opens nothing."""
    secret = access.add("04792", NOW).rsplit(".", 1)[1]
    access.add("04793", NOW)
    assert refusal(access, f"Bearer ts1.04793.{secret}")[1] == "unauthorised"


def test_bytes_that_are_no_text_are_refused(access):
    """A header of arbitrary bytes arrives with surrogates, and is refused like any other."""
    assert refusal(access, "Bearer ts1.04792.\udcff")[1] == "unauthorised"


def test_the_command_line_is_seen_at_the_next_push(access, elsewhere):
    """Tokens added, rotated and revoked in another process hold at once."""
    assert refusal(access, "Bearer ts1.04792.x")[1] == "unauthorised"
    first = elsewhere.add("04792", NOW)
    assert access.verify(f"Bearer {first}", NOW) == "04792"
    second = elsewhere.rotate("04792", NOW, grace_seconds=60)
    assert access.verify(f"Bearer {second}", NOW + 59) == "04792"
    assert access.verify(f"Bearer {first}", NOW + 59) == "04792"
    assert refusal(access, f"Bearer {first}", NOW + 60) == (
        HTTPStatus.FORBIDDEN,
        "revoked",
        "this token of agent '04792' was replaced by a newer one",
    )
    assert elsewhere.revoke("04792", NOW + 61) == 1
    assert refusal(access, f"Bearer {second}", NOW + 61) == (
        HTTPStatus.FORBIDDEN,
        "revoked",
        "this token of agent '04792' was revoked",
    )


def test_revoking_ends_a_grace_time_too(access):
    """A token in its grace time is revoked with the rest."""
    first = access.add("04792", NOW)
    access.rotate("04792", NOW, grace_seconds=3600)
    assert access.revoke("04792", NOW + 1) == 2
    assert (
        refusal(access, f"Bearer {first}", NOW + 1)[2] == "this token of agent '04792' was revoked"
    )


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (
            lambda a: a.add("04792", NOW),
            "agent '04792' has a token; use rotate, or revoke it first",
        ),
        (
            lambda a: a.rotate("04793", NOW, grace_seconds=1),
            "agent '04793' has no token that is valid; use add",
        ),
        (lambda a: a.revoke("04793", NOW), "agent '04793' has no token"),
        (
            lambda a: a.add("Xã Đông", NOW),
            (
                "agent 'Xã Đông': expected the site's code, or the code and a suffix such as 04792-ttpv"
                " (small letters, digits, '.', '_', '-', at most 64)"
            ),
        ),
    ],
)
def test_what_cannot_be_done_is_said(access, do, message):
    """Each mistake of the command line has its sentence."""
    access.add("04792", NOW)
    with pytest.raises(AccessError) as caught:
        do(access)
    assert str(caught.value) == message


def test_a_revoked_agent_gets_a_new_token(access):
    """Revoking is no ban for life."""
    access.add("04792", NOW)
    access.revoke("04792", NOW)
    token = access.add("04792", NOW + 1)
    assert access.verify(f"Bearer {token}", NOW + 1) == "04792"


async def test_the_list_says_when_a_token_was_last_used(access, elsewhere):
    """Use is written once in a while, and read by the command line."""
    token = access.add("04792", NOW)
    access.add("04793", NOW)
    access.verify(f"Bearer {token}", NOW + 7)
    assert [row.last_used_at for row in elsewhere.tokens()] == [None, None]
    await access.save_used()
    assert [(row.agent, row.last_used_at) for row in elsewhere.tokens()] == [
        ("04792", NOW + 7),
        ("04793", None),
    ]


def test_the_file_holds_no_secret_and_is_for_its_owner_only(access, tmp_path):
    """What is at rest opens no door, and nobody else may read it."""
    secret = access.add("04792", NOW).rsplit(".", 1)[1].encode()
    for path in tmp_path.iterdir():
        assert secret not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
