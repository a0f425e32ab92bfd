"""The API behind TLS, and behind a proxy that the environment names."""

import base64
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from humansync.api import Api, Page
from humansync.connections import open_pool
from humansync.errors import ConfigError, Unavailable
from humansync.kinds import KINDS
from tests.integration.test_api import APP_KEY, BEFORE, CLIENT_ID, RECORDS, SINCE, Answer, Server, answer

#: a certificate for 127.0.0.1 and 127.0.0.2 that vouches for itself, and its key: of these tests alone
PEM = Path(__file__).with_name("server.pem")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server, with TLS if asked."""
    with ExitStack() as stack:

        def start(reply: Answer, *, tls: bool = False) -> Server:
            server = stack.enter_context(Server(reply))
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(PEM)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give an environment that names no proxy and no certificates."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def fetch(base_url: str) -> Page:
    client = Api(base_url=base_url, client_id=CLIENT_ID, app_key=APP_KEY)
    try:
        return client.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=1, offset=0)
    finally:
        client.close()


def secure(server: Server) -> str:
    return server.url.replace("http:", "https:")


def forward(handler: BaseHTTPRequestHandler) -> None:
    """Answer CONNECT as a proxy does: both ways, until one end closes."""
    with socket.create_connection(("127.0.0.1", int(handler.path.rpartition(":")[2]))) as there:
        handler.send_response(200)
        handler.end_headers()
        back = threading.Thread(target=_pump, args=(there, handler.connection), daemon=True)
        back.start()
        _pump(handler.connection, there)
        back.join(10)
    handler.close_connection = True


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


# --- certificates ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_server_is_believed_by_a_certificate_that_the_environment_names(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    server = serve(answer(), tls=True)
    with pytest.raises(Unavailable, match="no answer from the API: SSLCertVerificationError"):
        fetch(secure(server))
    monkeypatch.setenv(name, str(PEM))
    assert fetch(secure(server)).records == RECORDS


def test_they_may_be_in_a_folder_under_the_names_that_openssl_gives(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to tell the name")
    named = subprocess.run([openssl, "x509", "-hash", "-noout", "-in", PEM], check=True, capture_output=True, text=True)
    shutil.copy(PEM, tmp_path / f"{named.stdout.strip()}.0")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert fetch(secure(serve(answer(), tls=True))).records == RECORDS


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_a_matter_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(ConfigError, match="REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names no file or folder"):
        open_pool("https://127.0.0.1/v1", 1)


# --- proxies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_is_given_whole_addresses_and_who_we_are(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = serve(answer())
    monkeypatch.setenv(variable, f"http://us%40er:p%E2%82%AC@127.0.0.1:{proxy.server_port}")
    assert fetch("http://api.invalid/v1").records == RECORDS
    (path, headers), *_ = proxy.asked
    assert path.startswith("http://api.invalid/v1/apps/")
    assert headers["Host"] == "api.invalid"
    assert headers["Proxy-Authorization"] == "Basic " + base64.b64encode("us@er:p€".encode()).decode()


@pytest.mark.parametrize("base_url", ["http://api.invalid/v1", "https://api.invalid/v1"])
def test_a_proxy_behind_tls_is_checked_as_the_api_is(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("all_proxy", "HTTPS://us@proxy.invalid")
    pool, _ = open_pool(base_url, 1)
    assert pool.proxy_config is not None
    assert isinstance(pool.proxy_config.ssl_context, ssl.SSLContext)
    assert pool.proxy_headers == {"Proxy-Authorization": "Basic " + base64.b64encode(b"us:").decode()}


def test_a_proxy_may_be_named_without_a_scheme(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{serve(answer()).server_port}")
    assert fetch("http://api.invalid/v1").records == RECORDS


def test_through_a_proxy_tls_reaches_to_the_api(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = serve(answer(), tls=True), serve(answer())
    connected: list[dict[str, str]] = []

    def connect(handler: BaseHTTPRequestHandler) -> None:
        connected.append(dict(handler.headers))
        forward(handler)

    monkeypatch.setattr("tests.integration.test_api.Handler.do_CONNECT", connect, raising=False)
    monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(PEM))
    assert fetch(secure(server).replace("127.0.0.1", "127.0.0.2")).records == RECORDS
    assert "authorization" not in {name.lower() for name in connected[0]}
    assert connected[0]["Proxy-Authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert (proxy.asked, proxy.connections) == ([], 1)  # it has seen nothing but where to
    assert "Proxy-Authorization" not in server.asked[0][1]


@pytest.mark.parametrize(
    ("base_url", "exempt"),
    [
        *(("http://api.invalid/v1", exempt) for exempt in ("api.invalid", ".invalid", "*", "api.invalid:80, other")),
        ("http://[2001:db8::1]:8080/v1", "2001:db8::1"),
        ("http://[2001:db8::1]:8080/v1", "[2001:db8::1]:8080"),
    ],
)
def test_a_host_may_be_exempt(monkeypatch: pytest.MonkeyPatch, base_url: str, exempt: str) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert open_pool(base_url, 1)[0].proxy is not None
    monkeypatch.setenv("no_proxy", exempt)
    exempted = "http://api.invalid:80/v1" if ":80," in exempt else base_url
    assert open_pool(exempted, 1)[0].proxy is None


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080/v1", "http://localhost/v1", "http://[::1]:8080/v1"])
def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert open_pool(base_url, 1)[0].proxy is None


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://127.0.0.1:1080", "is not supported: give an http"),
        ("http://[127", "is no address"),
        ("http://", "is no address"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_matter_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, proxy: str, said: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ConfigError, match=said):
        open_pool("http://api.invalid/v1", 1)


def test_what_cannot_be_used_is_said_with_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(Unavailable, match="no answer from the API: the proxy of the environment is not supported"):
        fetch("http://api.invalid/v1")


def test_a_proxy_that_is_away_is_an_api_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="no answer from the API: ConnectionRefusedError"):
        fetch("http://api.invalid/v1")


def test_a_command_says_so_in_one_sentence(tmp_path: Path) -> None:
    told = {"HUMANAPI_CLIENT_ID": "client", "HUMANAPI_APP_KEY": "key", "https_proxy": "socks5://127.0.0.1:1080"}
    command = [sys.executable, "-P", "-m", "workers.cli", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert "the proxy of the environment is not supported" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
