"""No spelling of an address, no name and no redirect leads an update to a server that the operator did not allow."""

from __future__ import annotations

import pytest

from streamlets.errors import Rejected
from streamlets.servers.addresses import AllowList, check_address, parse_url

OPEN = AllowList(["http://*:*", "https://*:*"])

# What must never be called when only public servers are allowed, each in as many spellings as are known.
REFUSED = [
    *(f"{scheme}://{host}{port}/v2" for scheme in ("http", "https") for port in ("", ":8080") for host in (
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "[::]", "[::1]", "[::ffff:169.254.169.254]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2001::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]", "[2001:db8::1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    )),
    "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
    "http://127.1/", "http://127.0.1/", "http://0/", "http://127.0.0.1./", "http://00000127.0.0.1/", "http://1.2.3.256/",
    "http://0x7f.1/", "http://127.0.0.1.0x0/", "http://0xA9FEA9FE/", "http://2852039166/", "http://169.254.169.254:80/",
    "http://user@example.org/", "http://user:pass@example.org/", "http://example.org@127.0.0.1/",
    "http://127.0.0.1\\@example.org/", "http://example.org\\@127.0.0.1/", "http:\\\\127.0.0.1/", "http://@127.0.0.1/",
    "http://example.org#@127.0.0.1/", "http://example.org?@127.0.0.1/", "http://example.org/?x=1", "http://example.org/#",
    "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://127.0.0.1%2f@example.org/", "http://%31%32%37.0.0.1/",
    "http://exa\u00admple.org/", "http://ｅxample.org/", "http://example.org\t/", "http://example.org\n/",
    " http://example.org/", "http://example.org /", "http://example.org/\r\nHost: x", "http://exam ple.org/",
    "http:///v2", "http:127.0.0.1", "//127.0.0.1/", "127.0.0.1:80", "", "http://", "http://.", "http://-a.org/",
    "file:///etc/passwd", "gopher://127.0.0.1:6379/", "ftp://example.org/", "dict://x/", "jar:http://x/", "HTTP+UNIX://x/",
    "http://[fe80::1%25eth0]/", "http://[::1", "http://::1/", "http://[127.0.0.1]/", "http://[::1]extra/",
    "http://example.org:0/", "http://example.org:65536/", "http://example.org:-1/", "http://example.org:80:90/",
    "http://example.org/../admin", "http://example.org/%2e%2e/admin", "http://" + "a" * 300 + ".org/",
    "http://x/" + "a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_leads_inside_or_can_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(Rejected) as caught:
        OPEN.reach(url)
    assert caught.value.code in ("bad-url", "not-allowed")


def test_the_corpus_is_large_enough() -> None:
    assert len(REFUSED) > 150


def test_a_public_name_or_address_is_admitted_where_the_list_is_open_and_checked_again_when_connected() -> (
    None
):
    for url in (
        "http://example.org/",
        "https://Example.ORG.:8443/a/b",
        "http://93.184.216.34/",
        "http://[2606:2800::1]/",
    ):
        assert OPEN.reach(url) == ()
    assert parse_url("https://Example.ORG.:8443/a/").host == "example.org"


def test_scheme_host_and_port_must_all_be_on_the_list() -> None:
    allowed = AllowList(["http://models.example.org:8000", "https://*.example.org", "http://10.0.0.0/8:*"])
    assert allowed.reach("http://models.example.org:8000/x") is None
    assert allowed.reach("https://a.b.example.org") == ()
    assert allowed.reach("http://10.9.8.7:1") is None
    for url in (
        "https://models.example.org:8000",
        "http://models.example.org:8001",
        "http://models.example.org",
        "http://a.models.example.org:8000",
        "https://example.org",
        "https://badexample.org",
        "https://a.example.org:444",
        "http://11.0.0.1:1",
        "https://10.0.0.1",
        "http://example.org.evil.org:8000",
    ):
        with pytest.raises(Rejected) as caught:
            allowed.reach(url)
        assert caught.value.code == "not-allowed"


def test_behind_a_wildcard_only_public_addresses_and_listed_networks_may_be_connected_to() -> None:
    reach = AllowList(["http://*.svc:8000", "http://10.0.0.0/8:8000", "http://192.168.0.0/16:9"]).reach(
        "http://a.svc:8000"
    )
    assert reach == ("10.0.0.0/8",)
    check_address("10.1.2.3", reach)
    check_address("::ffff:10.1.2.3", reach)
    check_address("93.184.216.34", reach)
    for address in ("127.0.0.1", "192.168.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "64:ff9b::a01:203"):
        with pytest.raises(Rejected):
            check_address(address, reach)


@pytest.mark.parametrize(
    "pattern",
    ["127.0.0.1", "http://", "ftp://x", "http://a*:1", "http://*a.org", "http://x:99999", "http://10.0.0.1/8:1",
     "http://0x7f.1:1", "http://a@b:1", "*", "http://x:80/path", "http://10.0.0.0/99:1"],
)  # fmt: skip
def test_a_pattern_that_cannot_be_read_is_named(pattern: str) -> None:
    with pytest.raises(ValueError) as caught:
        AllowList([pattern])
    assert repr(pattern) in str(caught.value)
