import pytest
from msgspec.structs import replace

from collector.diagnosis.sms import MOST_CHARACTERS, plain, sms
from tests.collector.a_province import YPHU
from tests.collector.diagnosis.test_sentences import HERE, MANY, SENTENCES, an_incident

URL = "https://tss.phu-tho.example/"


def test_one_place_and_many():
    """Without diacritics, names as long as there is room, how many there are in any case."""
    one = an_incident("site_silent")
    many = an_incident("carrier_outage", *MANY[:23], carrier="vnpt", area="Hòa Bình")

    assert sms(one, HERE, URL, "vi") == (
        "TS phu-tho-250701-001 Mat lien lac tu 12:00: Xa Yen Phu. https://tss.phu-tho.example/"
    )
    assert sms(many, HERE, URL, "vi") == (
        "TS phu-tho-250701-001 Dut duong VNPT dien rong vung Hoa Binh tu 12:00: 23 noi: Xa So 1, Xa So 2, +21."
        " Chu tri VNPT. https://tss.phu-tho.example/"
    )
    assert sms(many, HERE, URL, "en") == (
        "TS phu-tho-250701-001 Wide outage of VNPT in Hoa Binh since 12:00: 23 places:"
        " So 1 commune, So 2 commune, +21. Lead VNPT. https://tss.phu-tho.example/"
    )


def test_names_go_before_the_lead_and_the_lead_before_all_else():
    """Id, time, number and address are always there."""
    long = an_incident(
        "tslcd_outage", *MANY[:23], owner="Đơn vị vận hành Cổng Dịch vụ công quốc gia"
    )
    longer = replace(long, owner="Đơn vị " * 20)

    assert sms(long, HERE, URL, "vi") == (
        "TS phu-tho-250701-001 Mat mang TSLCD tu 12:00: 23 noi: Xa So 1, +22."
        " Chu tri Don vi van hanh Cong Dich vu cong quoc gia. https://tss.phu-tho.example/"
    )
    assert sms(longer, HERE, URL, "vi") == (
        "TS phu-tho-250701-001 Mat mang TSLCD tu 12:00: 23 noi: Xa So 1, Xa So 2, Xa So 3, +20."
        " https://tss.phu-tho.example/"
    )


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("incident", [one for one, _, _ in SENTENCES], ids=lambda one: one.cause)
def test_every_cause_fits_into_one_message(incident, language):
    """Also with many places and a long lead."""
    for one in (incident, replace(incident, sites=(YPHU, *MANY), owner="Sở " * 30)):
        text = sms(one, HERE, URL, language)

        assert text.isascii()
        assert len(text) <= MOST_CHARACTERS
        assert text.startswith("TS phu-tho-250701-001 ")
        assert text.endswith(URL)
        assert "12:00" in text


def test_letters_lose_their_marks():
    """Each Vietnamese letter becomes the one below its marks."""
    assert plain("Đứt đường ở Xã Ẵm Phượng, ỷ Ỡ Ắ") == "Dut duong o Xa Am Phuong, y O A"
