"""The pages of incidents over real sockets: what they say, and what their forms do."""

import sqlite3

import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Step
from collector.duty.acts import Act
from collector.duty.store import read_incident
from collector.wall.addresses import incident_url, incidents_url
from tests.collector.a_province import NOON, TCOC, YPHU
from tests.collector.inventory import folders
from tests.collector.served import AGENT, served
from tests.collector.wall.acting import Visitor, a_centre
from tests.collector.wall.looks import serving
from tests.collector.wall.test_locale import VIETNAMESE
from tests.collector.wall.test_render import EVIL, Tags
from tests.waiting import until


def test_addresses_are_made_in_one_place():
    """For links from pages, posts and the wall."""
    assert incident_url("https://tss.example", "phu-tho-250701-001") == (
        "https://tss.example/incidents/phu-tho-250701-001"
    )
    assert incident_url("", "a/b", lang="en", theme="") == "/incidents/a%2Fb?lang=en"
    assert incidents_url(state="closed") == "/incidents?state=closed"


async def test_an_incident_says_what_where_since_and_whose():
    """Title, place, times, lead, the failing target, the place's state and its timeline."""
    centre, incident = a_centre()
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        seen = await visitor.open(f"/incidents/{incident.id}")

    assert (seen.status, seen.headers["Cache-Control"]) == (200, "no-store")
    assert "form-action 'self'" in seen.headers["Content-Security-Policy"]
    for said in (
        "Sự cố: Kiểm tra gateway Xã Yên Phú: 192.168.1.1",
        f"đang mở Sự cố {incident.id}",
        "Từ lúc 12:00:00 01/07/2025",
        "Kéo dài 1 phút",
        "Chủ trì UBND xã",
        "Tiếp nhận Chưa tiếp nhận",
        "Chưa trở lại: 1 Xã Yên Phú mất kết nối từ",
        "Kiểm tra gateway: 192.168.1.1 12:00:00 hết thời gian chờ chưa",
        "Chưa có tài khoản: ai xem được trang này đều làm được",
        "12:00:00 Bắt đầu tại chỗ",
    ):
        assert said in seen.words
    Tags(seen.text)


async def test_acknowledging_is_one_press_and_the_name_is_remembered():
    """The browser is sent back to the page; who, when and from where are kept."""
    centre, incident = a_centre()
    path = f"/incidents/{incident.id}"
    async with serving(centre, lambda: NOON + 61) as url, Visitor.at(url) as visitor:
        await visitor.open(path)
        fields = {"act": "acknowledge", "name": " Nguyễn  Văn Hùng", "holder": ""}
        sent = await visitor.send(path + "?lang=vi&theme=dark", follow=False, **fields)
        seen = await visitor.open(path)
        other = await visitor.open("/incidents")

    assert (sent.status, sent.headers["Location"]) == (303, f"{path}?lang=vi&theme=dark")
    assert centre.acts.acts == [
        Act(
            incident=incident.id,
            at=NOON + 61,
            kind="acknowledged",
            who="Nguyễn Văn Hùng",
            address="127.0.0.1",
        )
    ]
    assert "Tiếp nhận Nguyễn Văn Hùng · 12:01" in seen.words
    assert "Tiếp nhận thay Nguyễn Văn Hùng Thôi tiếp nhận" in seen.words
    assert "12:01:01 Nguyễn Văn Hùng tiếp nhận" in seen.words
    assert 'value="Nguyễn Văn Hùng"' in seen.text
    assert "Đang mở 1 Chưa tiếp nhận 0 Đã tiếp nhận 1 Bảo trì 0" in other.words


async def test_all_that_can_be_done_is_on_one_line_of_time():
    """Note, assign and take back beside what the incident itself went through, newest first."""
    centre, incident = a_centre()
    life = (
        Step(at=NOON + 3, kind="opened", cause="check_down", sites=1),
        Step(at=NOON + 50, kind="widened", cause="check_down", sites=2),
    )
    centre.incidents._open[incident.id] = replace(incident, sites=(YPHU, TCOC), life=life)
    path, clock = f"/incidents/{incident.id}", iter(NOON + 70 + 10 * n for n in range(99))
    async with serving(centre, lambda: next(clock)) as url, Visitor.at(url) as visitor:
        await visitor.open(path)
        for act, more in (
            ("acknowledge", {}),
            ("note", {"text": "VNPT báo đứt cáp"}),
            ("assign", {"to": "Lan"}),
            ("take_back", {}),
        ):
            sent = await visitor.send(path, act=act, name="Hùng", **more)
            assert sent.status == 200, sent.words

    assert [act.kind for act in centre.acts.acts] == [
        "acknowledged",
        "noted",
        "assigned",
        "taken_back",
    ]
    timeline = sent.words[sent.words.index("Diễn biến") :]
    order = [
        timeline.index(said)
        for said in (
            "Hùng thôi tiếp nhận",
            "Hùng giao cho Lan",
            "Hùng ghi : VNPT báo đứt cáp",
            "Hùng tiếp nhận",
            "Lan rộng: 2 nơi",
            "Mở: Sự cố: Kiểm tra gateway, 1 nơi",
            "Bắt đầu tại chỗ",
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"act": "note", "text": "x", "name": " "}, 422, "Chưa ghi họ tên của bạn."),
        ({"act": "note", "text": " "}, 422, "Ghi chú đang trống."),
        ({"act": "assign", "to": ""}, 422, "Chưa ghi người nhận"),
        ({"act": "take_back"}, 409, "Sự cố chưa được ai tiếp nhận."),
        ({"act": "acknowledge", "holder": "Lan"}, 409, "người giữ sự cố vừa thay đổi"),
        ({"act": "note", "text": "giữ", "form": "0" * 32}, 403, "biểu mẫu đã cũ"),
        ({"act": "note", "text": "giữ", "form": ""}, 403, "biểu mẫu đã cũ"),
        ({"act": "acknowledge", "come_from": "cross-site"}, 403, "biểu mẫu đã cũ"),
    ],
)
async def test_what_is_refused_is_told_and_nothing_typed_is_lost(fields, status, said):
    """The page comes again with the reason; nothing was done."""
    centre, incident = a_centre()
    path = f"/incidents/{incident.id}"
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        await visitor.open(path)
        sent = await visitor.send(path, **{"name": "Hùng"} | fields)

    assert (sent.status, centre.acts.acts) == (status, [])
    assert said in sent.words
    assert fields.get("text", "").strip() in sent.text
    assert ('value="Hùng"' in sent.text) is (fields.get("name") != " ")


async def test_a_form_without_our_cookie_does_nothing():
    """As another site's would come."""
    centre, incident = a_centre()
    path = f"/incidents/{incident.id}"
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        sent = await visitor.send(path, act="acknowledge", name="Hùng", form="ab" * 16)

    assert (sent.status, centre.acts.acts) == (403, [])


async def test_what_cannot_be_written_was_not_done():
    """The person is told to try again, and whom to tell."""
    centre, incident = a_centre()

    def refuse(acts):
        raise sqlite3.OperationalError("disk full")

    centre.acts.add = refuse
    path = f"/incidents/{incident.id}"
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        await visitor.open(path)
        sent = await visitor.send(path, act="note", name="Hùng", text="dài lắm")

    assert sent.status == 503
    assert "máy chủ không ghi được xuống đĩa" in sent.words
    assert "dài lắm" in sent.text


async def test_a_shift_is_handed_over_from_the_list():
    """All that one person holds, with a note; who holds nothing is told so."""
    centre, incident = a_centre()
    path = f"/incidents/{incident.id}"
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        await visitor.open(path)
        await visitor.send(path, act="acknowledge", name="Hùng")
        done = await visitor.send("/incidents", name="hùng", to="Lan", text="ca tối")
        again = await visitor.send("/incidents", name="Hùng", to="Lan")
        one = await visitor.open(path)

    assert (done.status, again.status) == (200, 409)
    assert "Bạn không giữ sự cố nào đang mở." in again.words
    assert "Người đang giữ Lan" in one.words
    assert "hùng bàn giao ca cho Lan : ca tối" in one.words


async def test_a_closed_incident_is_read_and_noted():
    """From the list of the closed; its only form is the note."""
    centre, incident = a_centre()
    centre.closed = [replace(incident, id="phu-tho-250630-007", closed_at=NOON + 30)]
    path = "/incidents/phu-tho-250630-007"
    async with serving(centre, lambda: NOON + 600) as url, Visitor.at(url) as visitor:
        listed = await visitor.open("/incidents?state=closed")
        seen = await visitor.open(path)
        noted = await visitor.send(path, act="note", name="Hùng", text="chuột cắn cáp")
        refused = await visitor.send(path, act="acknowledge", name="Hùng")

    assert f'href="{path}?lang=vi"' in listed.text
    assert "Thông lúc 12:00:30 01/07/2025" in seen.words
    assert 'value="acknowledge"' not in seen.text
    assert "chuột cắn cáp" in noted.words
    assert (refused.status, len(centre.acts.acts)) == (409, 1)


async def test_there_is_no_page_of_nothing():
    """Unknown ids and unknown acts."""
    centre, incident = a_centre()
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        assert (await visitor.open("/incidents/phu-tho-250701-999")).status == 404
        await visitor.open("/incidents")
        for path, act, status in (
            ("/incidents/phu-tho-250701-999", "note", 404),
            (f"/incidents/{incident.id}", "explode", 400),
        ):
            assert (await visitor.send(path, act=act, name="Hùng")).status == status
        long = await visitor.send(f"/incidents/{incident.id}", act="note", text="x" * 20_000)

    assert long.status == 413


async def test_english_is_complete_and_what_people_typed_is_no_html():
    """No Vietnamese of ours on the English pages; quotes and tags stay what they are."""
    centre, incident = a_centre()
    path = f"/incidents/{incident.id}?lang=en"
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        await visitor.open(path)
        seen = await visitor.send(path, act="assign", name=EVIL, to=EVIL, text="")
        noted = await visitor.send(path, act="note", name=EVIL, text=EVIL)
        listed = await visitor.open("/incidents?lang=en&state=acknowledged")

    assert "<script>alert" not in seen.text + noted.text + listed.text
    Tags(noted.text)
    Tags(listed.text)
    ours = noted.words + listed.words
    for name in ("Thông Suốt", "Yên Phú", "UBND xã", "Phú Thọ"):
        ours = ours.replace(name, "")
    assert VIETNAMESE.findall(ours) == []


async def test_maintenance_is_said_and_waits_for_nobody():
    """On the list and on the page; nothing calls for an acknowledgement."""
    centre, incident = a_centre()
    window = Act(incident=incident.id, at=NOON + 4, kind="maintenance", text="Thay tủ mạng", to="w")
    centre.duty._acts[incident.id].append(window)
    centre.acts.acts.append(window)
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        listed = await visitor.open("/incidents?state=maintenance")
        waiting = await visitor.open("/incidents?state=unacknowledged")
        seen = await visitor.open(f"/incidents/{incident.id}")

    assert incident.id in listed.words
    assert incident.id not in waiting.words
    assert 'class="unack"' not in listed.text + seen.text
    assert "Bảo trì có kế hoạch Thay tủ mạng" in seen.words
    assert "phiếu việc, không gọi ai" in seen.words
    assert "Trong giờ bảo trì “Thay tủ mạng”: không gọi ai" in seen.words


async def test_trouble_with_alertmanager_is_told_where_it_matters():
    """On the list, and on what somebody has acknowledged."""
    centre, incident = a_centre()
    centre.silencer.problem = "http://am.example: refused"
    path = f"/incidents/{incident.id}"
    async with serving(centre, lambda: NOON + 60) as url, Visitor.at(url) as visitor:
        before = await visitor.open(path)
        listed = await visitor.open("/incidents")
        after = await visitor.send(path, act="acknowledge", name="Hùng")

    said = "chưa tắt được nhắc lại, đang thử tiếp: http://am.example: refused"
    assert [said in page.words for page in (before, listed, after)] == [False, True, True]


async def test_acts_survive_a_restart_of_the_collector(tmp_path):
    """Acknowledged on the wall of one process, and still so on that of the next."""
    province = folders.FILES["province.yml"].replace(
        "default_profile: calm", "default_profile: fast"
    )
    folders.write(tmp_path, {**folders.FILES, "province.yml": province})
    async with served(tmp_path) as here:
        await here.push(agent=AGENT)
        await until(lambda: here.centre.incidents.open, seconds=10, what="a silent site")
        (identity,) = here.centre.incidents.open
        path = f"/incidents/{identity}"
        async with Visitor.at(here.url) as visitor:
            await visitor.open(path)
            seen = await visitor.send(path, act="acknowledge", name="Hùng")
            assert seen.status == 200

    async with served(tmp_path) as here, Visitor.at(here.url) as visitor:
        assert list(here.centre.duty.acknowledged) == [identity]
        seen = await visitor.open(path)
        await here.push(agent=AGENT)
        await until(lambda: not here.centre.incidents.open, what="closed")
        await until(lambda: not here.centre.duty.acknowledged, what="nothing to silence")
        file = tmp_path / "state" / "state.sqlite"
        await until(lambda: read_incident(file, identity)[0].closed_at, what="written down")
        closed = await visitor.open(path)

    assert "Hùng tiếp nhận" in seen.words
    assert "Hùng tiếp nhận" in closed.words
    assert "đã đóng" in closed.words


async def test_the_wall_says_who_took_it_and_leads_there():
    """The card names the person and links to the page; the title counts only what waits."""
    centre, incident = a_centre()
    async with serving(centre, lambda: NOON + 61) as url, Visitor.at(url) as visitor:
        before = await visitor.open("/")
        await visitor.open(f"/incidents/{incident.id}")
        await visitor.send(f"/incidents/{incident.id}", act="acknowledge", name="Hùng")
        after = await visitor.open("/")

    assert f'href="/incidents/{incident.id}?lang=vi"' in after.text
    assert "Chưa tiếp nhận" in before.words
    assert "<title>(1 chưa tiếp nhận) Phú Thọ" in before.text
    assert "Hùng nhận 12:01" in after.words
    assert "Chưa tiếp nhận" not in after.words
    assert "<title>Phú Thọ" in after.text
    assert 'class="incident st-down newest"' in before.text
    assert "newest" not in after.text
