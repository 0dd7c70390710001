"""What people are told when something breaks: one page, the right words, one close. All is real."""

import pytest
import pytest_asyncio

from tests.lab.province.pages import Play, Told
from tests.lab.province.raising import raised
from tests.lab.province.scenarios import SCENARIOS

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
TABLE: list[Told] = []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def province(tmp_path_factory):
    """Raise one for all scenarios, and print in the end how long each took."""
    folder = tmp_path_factory.mktemp("province")
    async with raised(folder) as here:
        await here.well()
        yield here
    print("\n" + "\n".join(told.row() for told in TABLE))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_scenario(province, scenario):
    """Exactly the pages of the table, each once, with its cause and its places; each closed once."""
    await province.well()
    TABLE.append(await Play(province, scenario).run())
