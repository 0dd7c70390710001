import pytest

from tests.collector.inventory.folders import problems, spoilt, write

CASES = [
    (
        "sites.csv",
        "id,name",
        "code,name",
        "sites.csv line 1: found the header 'code,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone', expected 'id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone'",
    ),
    (
        "sites.csv",
        "id,name,kind,former_province,lat,lon,web,agents,contact_name,contact_phone",
        "id;name;kind;former_province;lat;lon;web;agents;contact_name;contact_phone",
        "sites.csv line 1: the columns are separated by ';', expected ','",
    ),
    (
        "sites.csv",
        "04792,Ph",
        "4792,Ph",
        (
            "sites.csv line 2, column id: found '4792', expected the official code of 5 digits; a spreadsheet drops zeros in front\n"
            "lines.csv line 2, column site: found '04792', expected a site of sites.csv; did you mean '4792'?\n"
            "lines.csv line 3, column site: found '04792', expected a site of sites.csv; did you mean '4792'?\n"
            "lines.csv line 4, column site: found '04792', expected a site of sites.csv; did you mean '4792'?\n"
            "devices.csv line 2, column site: found '04792', expected a site of sites.csv; did you mean '4792'?\n"
            "devices.csv line 3, column site: found '04792', expected a site of sites.csv; did you mean '4792'?\n"
            "devices.csv line 4, column site: found '04792', expected a site of sites.csv; did you mean '4792'?\n"
            "checks.yml line 16, checks[line].agents.site: found '04792', which nothing in this folder has; did you mean '4792'?"
        ),
    ),
    (
        "sites.csv",
        "07900,Ph",
        "04792,Ph",
        (
            "sites.csv line 3, column agents: found '07900 07900-ttpv', expected 04792, or that and a suffix such as 04792-ttpv, by spaces\n"
            "sites.csv line 3, column id: found '04792', expected another than 04792; line 2 has it\n"
            "lines.csv line 5, column site: found '07900', expected a site of sites.csv; expected one of: 04792, 08209, dc\n"
            "lines.csv line 6, column site: found '07900', expected a site of sites.csv; expected one of: 04792, 08209, dc\n"
            "devices.csv line 5, column site: found '07900', expected a site of sites.csv; expected one of: 04792, 08209, dc\n"
            "devices.csv line 6, column site: found '07900', expected a site of sites.csv; expected one of: 04792, 08209, dc"
        ),
    ),
    (
        "sites.csv",
        ",phường,Hòa",
        ",phuong,Hòa",
        "sites.csv line 2, column kind: found 'phuong', expected one of these: xã, phường, đặc khu, trung tâm hành chính công, sở ngành, trung tâm dữ liệu",
    ),
    (
        "sites.csv",
        "Phường Tân Hòa",
        "",
        "sites.csv line 2, column name: found '', expected some text",
    ),
    (
        "sites.csv",
        "20.87292",
        '"20,87292"',
        "sites.csv line 2, column lat: found '20,87292', expected a number with a decimal point, -90 to 90",
    ),
    (
        "sites.csv",
        "20.87292",
        "200",
        "sites.csv line 2, column lat: found '200', expected -90 to 90",
    ),
    (
        "sites.csv",
        "20.87292,",
        "20,87292,",
        "sites.csv line 2: found 11 cells, expected 10; a text with a comma in it needs quotes",
    ),
    (
        "sites.csv",
        "viet-tri.mau",
        "tan-hoa.mau",
        "sites.csv line 3, column web: found 'tan-hoa.mau.example', expected another than tan-hoa.mau.example; line 2 has it",
    ),
    (
        "sites.csv",
        "viet-tri.mau",
        "https://viet-tri.mau",
        "sites.csv line 3, column web: found 'https://viet-tri.mau.example', expected the name of a web server, without https:// and path",
    ),
    (
        "sites.csv",
        "07900 07900-ttpv",
        "07900 ttpv",
        "sites.csv line 3, column agents: found '07900 ttpv', expected 07900, or that and a suffix such as 07900-ttpv, by spaces",
    ),
    (
        "sites.csv",
        "dc,Trung",
        "07900-ttpv,Trung",
        "checks.yml line 34, checks[web].agents.site: found 'dc', which nothing in this folder has; expected one of: 04792, 07900, 08209, 07900-ttpv",
    ),
    (
        "sites.csv",
        "Phường Việt Trì",
        '"Phường Việt\nTrì"',
        "sites.csv line 3: a cell holds a line break or a control character",
    ),
    (
        "sites.csv",
        "Phường Việt Trì",
        '"Phường "Việt Trì',
        "sites.csv line 3: is not CSV: ',' expected after '\"'",
    ),
    (
        "sites.csv",
        "Phường Việt Trì,phường,Phú Thọ,21.32001,105.39418",
        '"Phường Việt\nTrì",phường,Phú Thọ,21.32001,105.39418,viet-tri.mau.example,07900 07900-ttpv,,\n08210,Xã Một,xã,Phú Thọ,nam,',
        (
            "sites.csv line 3: a cell holds a line break or a control character\n"
            "sites.csv line 5, column agents: found '07900 07900-ttpv', expected 08210, or that and a suffix such as 08210-ttpv, by spaces\n"
            "sites.csv line 5, column lat: found 'nam', expected a number with a decimal point, -90 to 90"
        ),
    ),
    (
        "lines.csv",
        "08209,,viettel",
        "08210,,viettel",
        "lines.csv line 7, column site: found '08210', expected a site of sites.csv; did you mean '08209'?",
    ),
    (
        "lines.csv",
        "07900-ttpv,ttpv",
        "07900-hcc,ttpv",
        "lines.csv line 6, column agent: found '07900-hcc', expected an agent of this site: 07900, 07900-ttpv",
    ),
    (
        "lines.csv",
        ",viettel,viettel,ftth",
        ",viettel,vietel,ftth",
        "lines.csv line 3, column carrier: found 'vietel', expected a carrier of province.yml; did you mean 'viettel'?",
    ),
    (
        "lines.csv",
        "4g",
        "5g",
        "lines.csv line 7, column kind: found '5g', expected one of these: ftth, tslcd, 4g",
    ),
    (
        "lines.csv",
        ",none,",
        ",nothing,",
        "lines.csv line 5, column select: found 'nothing', expected one of these: source, interface, anchor, none",
    ),
    (
        "lines.csv",
        "200.5",
        "-1",
        "lines.csv line 3, column contracted_mbit_s: found '-1', expected 0.1 to 100000",
    ),
    (
        "lines.csv",
        "192.0.2.7,",
        "192.0.2,",
        "lines.csv line 2, column source: found '192.0.2', expected an IP address",
    ),
    (
        "lines.csv",
        "source,192.0.2.7,",
        "source,,",
        "lines.csv line 2, column source: found '', expected a value, because select is 'source'",
    ),
    (
        "lines.csv",
        "anchor,,,198.51.100.1",
        "anchor,,,",
        "lines.csv line 4, column anchor: found '', expected a value, because select is 'anchor'",
    ),
    (
        "lines.csv",
        "anchor,,,198",
        "anchor,,eth0,198",
        "lines.csv line 4, column interface: found 'eth0', expected nothing, because select is 'anchor'",
    ),
    (
        "lines.csv",
        "04792,,viettel,",
        "04792,,vnpt,",
        "lines.csv line 3, column line: found 'vnpt', expected a name that this site does not use yet",
    ),
    (
        "lines.csv",
        "04792,,viettel,",
        "04792,,each,",
        "lines.csv line 3, column line: found 'each', expected another name: checks.yml uses this word for itself",
    ),
    (
        "lines.csv",
        "07900,07900-ttpv,ttpv-vnpt",
        "07900,,ttpv-vnpt",
        "lines.csv line 6, column agent: found '', expected one of 07900, 07900-ttpv: an address belongs to one PC",
    ),
    (
        "lines.csv",
        "04792,,vnpt,vnpt,ftth,300,source,192.0.2.7,,203.0.113.1",
        "04792,,vnpt,vnpt,ftth,300,source,192.0.2.7,,",
        "checks.yml line 18, checks[line].targets: line 'vnpt' has no anchor in lines.csv",
    ),
    (
        "devices.csv",
        "printer-2,printer",
        "printer-1,printer",
        "devices.csv line 4, column device: found 'printer-1', expected an id that this site does not use yet",
    ),
    (
        "devices.csv",
        "192.0.2.22",
        "192.0.2.21",
        "devices.csv line 4, column address: found '192.0.2.21', expected one that no other device of this office has",
    ),
    (
        "devices.csv",
        "192.0.2.22",
        "",
        "devices.csv line 4, column address: found '', expected an IP address",
    ),
    (
        "devices.csv",
        "printer-2,printer",
        "printer-2,may-in",
        "devices.csv line 4, column kind: found 'may-in', expected one of these: gateway, tslcd-gateway, switch, printer, scanner, counter-pc, conference-endpoint, server",
    ),
    (
        "devices.csv",
        "printer-2,printer",
        "Máy in,printer",
        "devices.csv line 4, column device: found 'Máy in', expected small letters, digits, '.', '_' or '-', at most 64",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "expected"), CASES)
def test_a_mistake_is_told_with_its_place(tmp_path, file, old, new, expected):
    """Each mistake in the tables is refused with file, line, key and what was expected."""
    assert expected.split("\n") == problems(write(tmp_path, spoilt(file, old, new)))
